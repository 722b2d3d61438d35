"""Texts in Chinese and English: catalogues compiled in memory from the .po files, and the choice of language."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES = ("zh", "en")
LOCALE_DIR = Path(__file__).with_name("staff") / "locale"
_LOCALES = {"zh": "zh_CN", "en": "en"}
_HTML_TAGS = {"zh": "zh-CN", "en": "en"}


def N_(text: str) -> str:  # noqa: N802 - the name that Babel's extraction knows
    """Mark a text for translation where it is defined; it is translated where it is used."""
    return text


@dataclass(frozen=True)
class Language:
    """One language and its texts."""

    code: str
    translations: Translations

    @property
    def tag(self) -> str:
        """The language as HTML and HTTP name it."""
        return _HTML_TAGS[self.code]

    @property
    def locale(self) -> str:
        """The language as Babel names it."""
        return _LOCALES[self.code]

    def text(self, message: str, **values: object) -> str:
        """Return the message in this language, with `%(name)s` filled in."""
        translated = self.translations.ugettext(message)
        return translated % values if values else translated


class Languages:
    """All languages; `default` is spoken to those who ask for none of them."""

    def __init__(self, default: str, directory: Path = LOCALE_DIR) -> None:
        self._directory = directory
        self._default = default

    @cached_property
    def _all(self) -> Mapping[str, Language]:
        return {code: Language(code, self._load(_LOCALES[code])) for code in LANGUAGES}

    def _load(self, locale: str) -> Translations:
        path = self._directory / locale / "LC_MESSAGES" / "messages.po"
        with path.open("rb") as file:
            catalogue = read_po(file, locale=locale)
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        return Translations(compiled)

    def __getitem__(self, code: str) -> Language:
        """Return a language by its code."""
        return self._all[code]

    def choose(self, *wishes: str | None, accept: str = "") -> Language:
        """Return the first of `wishes` that is spoken here, else the best of an Accept-Language header."""
        for wish in wishes:
            if wish in LANGUAGES:
                return self[wish]
        return self[_accepted(accept) or self._default]


def _accepted(header: str) -> str | None:
    """Return the spoken language that the header likes best, or None."""
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(header[:500].split(",")):
        tag, _, parameters = part.partition(";")
        code = tag.strip().lower().partition("-")[0]
        if code in LANGUAGES and (quality := _quality(parameters)) > 0:
            ranked.append((-quality, place, code))
    return min(ranked)[2] if ranked else None


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
