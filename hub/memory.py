"""How a process that moves much data keeps its memory."""

from __future__ import annotations

import gc

_YOUNG_OBJECTS = 100_000


def collect_cycles_rarely() -> None:
    """Let Python look for cyclic garbage after 100,000 new objects, not after 700, for the rest of the process.

    A page of stock is tens of thousands of dicts and rows that all die together, none of them in a cycle; looking
    through them again and again took two fifths of a full read's time.
    """
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
