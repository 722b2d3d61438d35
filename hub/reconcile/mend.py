"""What a person can do about a difference: tell what the ERP's documents don't, and have sums made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.db.rows import one_value
from hub.errors import DomainError
from hub.reconcile.book import resolve
from hub.stock.ticks import draw_tick

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

LONGEST_DOCUMENT = 60
_TELL = "SELECT stock_tell_posted(%s, %s, %s, %s, %s, %s)"
_NOT_SOLD = "SELECT stock_not_sold(%s, %s, %s, %s)"
_REBUILD = "SELECT stock_rebuild(%s, %s, %s)"
_REFUSED = {
    "nothing": "nothing waits under its number at this level",
    "taken": "this document stands for another number at this level",
}


def resolve_posted(connection: psycopg.Connection, difference_id: int, resolution: str, by: str, document: str) -> bool:
    """Resolve a difference whose number the ERP has posted by a document that does not carry it.

    What waits for the number at the level is covered by the next read, as if the document carried it; supply counts no
    more at once. The connection must be in autocommit mode.

    Returns False if no difference of that id is open.

    Raises:
        DomainError: nothing waits under its number, or the document stands for another one. Nothing was changed.
    """
    tick = draw_tick(connection)
    with connection.transaction():
        case = resolve(connection, difference_id, f"{resolution} (posted by {document})", by)
        if case is None:
            return False
        outcome = str(one_value(connection.execute(_TELL, (*case, document, tick, by))))
        if outcome in _REFUSED:
            raise DomainError(_REFUSED[outcome], code=f"difference-{outcome}")
    return True


def resolve_not_sold(connection: psycopg.Connection, difference_id: int, resolution: str, by: str) -> bool:
    """Resolve a difference about a sale that a till has told by mistake: its goods are given back at this level.

    Returns False if no difference of that id is open.

    Raises:
        DomainError: no sale waits under its number. Nothing was changed.
    """
    with connection.transaction():
        case = resolve(connection, difference_id, f"{resolution} (not sold)", by)
        if case is None:
            return False
        if not one_value(connection.execute(_NOT_SOLD, (*case, by))):
            raise DomainError("no sale waits under its number at this level", code="difference-nothing")
    return True


def rebuild(connection: psycopg.Connection, sku: str, location: str, by: str) -> Mapping[str, list[str]] | None:
    """Make the counters of a level anew from their rows; return what was changed, [before, after] by name.

    None: there is no such level.
    """
    changed: Mapping[str, list[str]] | None = one_value(connection.execute(_REBUILD, (sku, location, by)))
    return changed
