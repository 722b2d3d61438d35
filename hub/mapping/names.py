"""Say what is allowed, and what was probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def unknown(what: str, word: str, allowed: Iterable[str]) -> str:
    """Return a message that names the unknown word, the closest allowed one and all that are allowed."""
    known = sorted(allowed)
    close = get_close_matches(word, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"unknown {what} {word!r}{hint} allowed: {', '.join(known) or 'none'}"
