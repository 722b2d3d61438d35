"""Every table of the hub. Quantities are NUMERIC, times are timestamptz, ticks are numbers of one sequence."""

from __future__ import annotations

from hub.db.tables import levels, master, people, promises, sources
from hub.db.tables.columns import metadata

__all__ = ["levels", "master", "metadata", "people", "promises", "sources"]
