"""Pseudonyms that keep the form of what they stand for: length, kinds of characters, leading zeros, check digits."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from datetime import date, timedelta
from typing import TYPE_CHECKING

from stdnum import ean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W_]+")
_TIME = r"[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?"
_ISO = re.compile(rf"(\d{{4}}-\d{{2}}-\d{{2}})((?:{_TIME})?)", re.ASCII)
_TICKS = re.compile(r"/Date\((-?\d+)((?:[+-]\d+)?)\)/", re.ASCII)
_TIME_OF_DAY = re.compile(r"PT(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?", re.ASCII)
_GTIN_LENGTHS = frozenset({8, 12, 13, 14})
_KEY_BYTES = 32
_DAY_MILLISECONDS = 86_400_000
_SHORTEST_SHIFT, _SHIFTS = 200, 1000
# These stand for "no date" or "for ever", and would not any more on another day.
_NO_DAYS = frozenset({"0001-01-01", "1753-01-01", "1900-01-01", "9999-12-31"})
_NO_TICKS = frozenset({-62_135_596_800_000, -2_208_988_800_000, 253_402_214_400_000})
_TRIES = 400
_LONG = 4
_FIRST_HAN, _HANS = 0x4E00, 20_000
_WIDE = 0xFEE0
_DIGITS = 10
_LETTERS = 26


class Pseudonyms:
    """One recording's pseudonyms: the same word has the same one everywhere, and no two words share one.

    The key is random, and nothing keeps it: nobody can find a word by trying.

    Attributes:
        days: how far times are moved back.

    Args:
        avoid: texts whose words must be nobody's pseudonym, not even by chance.
    """

    def __init__(self, avoid: Iterable[str] = ()) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)
        self.days = timedelta(days=_SHORTEST_SHIFT + secrets.randbelow(_SHIFTS))
        self._known: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._owner = {_fold(word): "" for text in avoid for word in _WORD.findall(text) if len(word) >= _LONG}
        self._numbers: dict[str, str] = {}
        self._numbers_taken: set[str] = set()

    def text(self, value: str) -> str:
        """Return the text with each of its words replaced; what stands between them stays, and so does a time."""
        return self.moment(value) or _WORD.sub(lambda found: self._word(found[0]), value)

    def moment(self, value: str) -> str | None:
        """Return a time on an earlier day, all by the same number of days; None if it is none. Times of day stay."""
        if found := _ISO.fullmatch(value):
            return self._earlier(found[1]) + found[2]
        if found := _TICKS.fullmatch(value):
            ticks = int(found[1])
            moved = ticks if ticks in _NO_TICKS else ticks - self.days.days * _DAY_MILLISECONDS
            return f"/Date({moved}{found[2]})/"
        return value if value != "PT" and _TIME_OF_DAY.fullmatch(value) else None

    def number(self, value: str) -> str:
        """Return another number that is spelled the same: sign, digits before and behind the point, zeros, exponent.

        Zero stays zero: whether there is any stock at all is part of the form. Two numbers never share a pseudonym:
        whether two rows tell the same is part of it too.
        """
        if value not in self._numbers:
            self._numbers[value] = made = self._choose_number(value)
            self._numbers_taken.add(made)
        return self._numbers[value]

    def _choose_number(self, value: str) -> str:
        mantissa = re.split("[eE]", value, maxsplit=1)[0]
        if not mantissa.strip("+-0. "):
            return value
        behind = value[len(mantissa.rstrip("0")) :] if "." in mantissa else value[len(mantissa) :]
        changing = value[: len(value) - len(behind)]
        longer = ""
        while True:
            for attempt in range(_TRIES):
                made = self._make_number(changing, self._stream("number", value, attempt)) + longer
                rounded = "." in changing and made.endswith("0")
                if not rounded and made + behind != value and made + behind not in self._numbers_taken:
                    return made + behind
            # All numbers of this form are taken, as with those of one digit.
            longer += "5"

    def _make_number(self, text: str, stream: Iterator[int]) -> str:
        made, started = "", False
        for char in text:
            made += _digit(char, stream, leading=not started) if char.isdigit() else char
            started = started or char in "123456789"
        return made

    def _earlier(self, day: str) -> str:
        try:
            return day if day in _NO_DAYS else (date.fromisoformat(day) - self.days).isoformat()
        except (ValueError, OverflowError):
            return _WORD.sub(lambda found: self._word(found[0]), day)

    def _word(self, word: str) -> str:
        """Return a word's pseudonym; words that a database takes for the same (case, width) have the same one."""
        if word not in self._shown:
            folded = _fold(word)
            if folded not in self._known:
                self._known[folded] = self._choose(word, folded)
            chosen = self._known[folded]
            self._shown[word] = "".join(map(_like, chosen, word)) + chosen[len(word) :]
        return self._shown[word]

    def _choose(self, word: str, folded: str) -> str:
        if not word.strip("0"):
            return word
        valid = _is_gtin(word)
        longer = ""
        while True:
            for attempt in range(_TRIES):
                made = self._make(word + longer, folded, attempt, valid=valid and not longer)
                if _fold(made) not in self._owner and _fold(made) != folded and _is_gtin(made) == valid:
                    self._owner[_fold(made)] = folded
                    return made
            # All words of this form are taken, as with sizes of one letter.
            longer += "1" if word[-1].isdigit() else "x"
            valid = False

    def _make(self, word: str, folded: str, attempt: int, *, valid: bool) -> str:
        stream = self._stream("word", folded, attempt)
        started = False
        made = []
        for char in word:
            if char.isdigit() and unicodedata.normalize("NFKC", char).isascii():
                made.append(_digit(char, stream, leading=not started))
                started = started or char != "0"
            else:
                started = True
                made.append(_letter(char, stream))
        text = "".join(made)
        return text[:-1] + ean.calc_check_digit(text[:-1]) if valid else text

    def _stream(self, kind: str, value: str, attempt: int) -> Iterator[int]:
        block = 0
        while True:
            message = f"{kind}\n{attempt}\n{block}\n{value}".encode()
            digest = hmac.new(self._key, message, hashlib.sha256).digest()
            for place in range(0, len(digest), 2):
                yield int.from_bytes(digest[place : place + 2])
            block += 1


def _digit(char: str, stream: Iterator[int], *, leading: bool) -> str:
    if leading and char == "0":
        return char
    return str(1 + next(stream) % (_DIGITS - 1)) if leading else str(next(stream) % _DIGITS)


def _letter(char: str, stream: Iterator[int]) -> str:
    if unicodedata.normalize("NFKC", char).isascii():
        return chr(ord("a") + next(stream) % _LETTERS)
    return chr(_FIRST_HAN + next(stream) % _HANS)


def _like(made: str, char: str) -> str:
    """Return a character of a pseudonym in the case and width of the one it stands for."""
    if char.isupper():
        made = made.upper()
    is_wide = char != unicodedata.normalize("NFKC", char) and made.isascii()
    return chr(ord(made) + _WIDE) if is_wide else made


def _fold(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


def _is_gtin(word: str) -> bool:
    return len(word) in _GTIN_LENGTHS and word.isascii() and word.isdigit() and bool(ean.is_valid(word))
