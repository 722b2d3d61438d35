"""What of an answer may stay, and the replacement of everything else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from connectors.spelling import Number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests

    from connectors.recording.pseudonyms import Pseudonyms
    from hub.mapping import Mapping as MappingFile

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_.:$]*")
_CODE = re.compile(r"[A-Za-z0-9/_.-]{0,40}")
_TOKEN = re.compile(
    r"(?P<kind>datetimeoffset|datetime|time|guid)?'(?P<literal>(?:[^']|'')*)'"
    r"|(?P<name>[A-Za-z_$][A-Za-z0-9_.]*)|(?P<number>-?\d+(?:\.\d+)?)"
)
_OPERATORS = frozenset(
    {"and", "or", "not", "eq", "ne", "gt", "ge", "lt", "le", "in", "is", "null", "like", "asc", "desc"}
)
_HEADERS = frozenset({"content-type", "dataserviceversion", "retry-after"})
_LIMITS = re.compile(r"(x-)?rate-?limit[a-z-]*", re.IGNORECASE)
_PLAIN_HEADER = re.compile(r"[A-Za-z0-9/+;=., _-]{0,80}")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What may stay of the values.

    Field names are compared without regard to case.

    Attributes:
        words: by field, the codes that may stay: those that our mapping files list.
        numbers: fields that hold quantities, which become other numbers of the same spelling.
        plain: fields of the protocol itself, whose values stay when they look like a code or a number.
    """

    words: Mapping[str, frozenset[str]]
    numbers: frozenset[str]
    plain: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(
        cls, mappings: Iterable[MappingFile], *, words: Mapping[str, Iterable[str]], plain: Iterable[str]
    ) -> Vocabulary:
        """Collect what mapping files list, with further words of the protocol."""
        found: dict[str, set[str]] = {name.lower(): set(codes) for name, codes in words.items()}
        numbers: set[str] = set()
        for mapping in mappings:
            for spec in mapping.spec.fields:
                tables = [mapping.spec.tables[spec.lookup].entries] if spec.lookup in mapping.spec.tables else []
                listed = {word for table in tables for word in table} | set(_boolean_words(spec.transforms))
                for source in spec.sources:
                    found.setdefault(source.lower(), set()).update(listed)
                    if any(transform.name == "decimal" for transform in spec.transforms):
                        numbers.add(source.lower())
            for condition in mapping.spec.keep_when:
                if condition.operator in {"in", "not_in", "equals"}:
                    found.setdefault(condition.path.lower(), set()).update(condition.words)
        kept = {name: frozenset(codes) for name, codes in found.items() if codes}
        return cls(kept, frozenset(numbers), frozenset(name.lower() for name in plain))


class Redactor:
    """Replaces what may not stay, with the pseudonyms of one recording."""

    def __init__(self, vocabulary: Vocabulary, pseudonyms: Pseudonyms) -> None:
        self._vocabulary = vocabulary
        self._pseudonyms = pseudonyms

    def value(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return what may be shown of the value of a field, with all that is below it."""
        if isinstance(value, dict):
            return {self.key(key): self.value(key, below) for key, below in value.items()}
        if isinstance(value, list):
            return [self.value(name, below) for below in value]
        if value is None or isinstance(value, bool) or self._may_stay(name.lower(), str(value)):
            return value
        kind = Number if isinstance(value, Number) else str
        if name.lower() in self._vocabulary.numbers:
            return kind(self._pseudonyms.number(str(value)))
        return kind(self._unlisted(name.lower(), str(value)))

    def key(self, name: str) -> str:
        """Return the name of a field, which stays if it can be one."""
        return name if _NAME.fullmatch(name) else self._pseudonyms.text(name)

    def text(self, value: str) -> str:
        """Return a text with all its words replaced."""
        return self._pseudonyms.text(value)

    def condition(self, text: str) -> str:
        """Return a filter, an order or a key with its values replaced; names and operators are the connector's own."""
        name = ""

        def replace(found: re.Match[str]) -> str:
            nonlocal name
            if (literal := found["literal"]) is not None:
                shown = str(self.value(name, literal.replace("''", "'")))
                return f"{found['kind'] or ''}'" + shown.replace("'", "''") + "'"
            if found["number"] is not None:
                return str(self.value(name, Number(found["number"])))
            name = found["name"] if found["name"].lower() not in _OPERATORS else name
            return str(found["name"])

        return _TOKEN.sub(replace, text)

    def headers(self, response: requests.Response) -> dict[str, str]:
        """Return the headers that may be shown; cookies, hosts and whatever else is not named here are left out."""
        shown = {
            name: value
            for name, value in response.headers.items()
            if (name.lower() in _HEADERS or _LIMITS.fullmatch(name)) and _PLAIN_HEADER.fullmatch(value)
        }
        try:
            told = parsedate_to_datetime(response.headers.get("Date", ""))
        except (TypeError, ValueError):
            return shown
        earlier = told.astimezone(UTC) - self._pseudonyms.days
        return {**shown, "Date": format_datetime(earlier, usegmt=True)}

    def _unlisted(self, name: str, text: str) -> str:
        """Return the pseudonym of a value; one of a code that no file lists is no listed code either."""
        made = self._pseudonyms.text(text)
        return self._pseudonyms.text(text + text) if self._may_stay(name, made) else made

    def _may_stay(self, name: str, text: str) -> bool:
        words = self._vocabulary.words.get(name, frozenset())
        plain = name in self._vocabulary.plain and _CODE.fullmatch(text) is not None
        return not text.strip() or plain or text.strip() in words or text.strip().upper() in words


def _boolean_words(transforms: Iterable[Any]) -> Iterable[str]:
    for transform in transforms:
        if transform.name == "boolean" and isinstance(transform.argument, dict):
            for words in transform.argument.values():
                yield from [words] if isinstance(words, str) else words
