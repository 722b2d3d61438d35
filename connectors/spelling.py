"""JSON with every number kept as it was spelled: `1.50`, `1.5` and `15e-1` are three different things here."""

from __future__ import annotations

import json
from typing import Any


class Number(str):
    """A JSON number, as its text."""

    __slots__ = ()


def read_spelled(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Return what a JSON text holds, numbers as `Number`.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=Number)


def write_spelled(value: Any, depth: int = 0) -> str:  # noqa: ANN401
    """Return JSON text: two levels of lists and objects take a line for each entry, what is inside them one line."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        entries = [
            f"{json.dumps(str(key), ensure_ascii=False)}: {write_spelled(value[key], depth + 1)}" for key in value
        ]
        return _join("{", entries, "}", depth)
    if isinstance(value, list):
        return _join("[", [write_spelled(entry, depth + 1) for entry in value], "]", depth)
    return json.dumps(value, ensure_ascii=False)


_DEEPEST_LINES = 6


def _join(start: str, entries: list[str], end: str, depth: int) -> str:
    if not entries or depth >= _DEEPEST_LINES or sum(map(len, entries)) < _SHORT:
        return f"{start}{', '.join(entries)}{end}"
    pad = " " * (depth + 1)
    return f"{start}\n{pad}" + f",\n{pad}".join(entries) + f"\n{' ' * depth}{end}"


_SHORT = 1000
