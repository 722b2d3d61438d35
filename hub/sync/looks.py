"""Looking for what changed in an ERP: which keys, and which documents with a number of ours.

Looks of one source follow one another, whichever processes make them, so that the newest of them is the one that is
written last. What a look names is kept at once: keys become due, the list of documents is brought up to date, and the
position moves, all or nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hub.contracts import DocumentReader
from hub.db.rows import one_value
from hub.stock.postings import note_postings, standing_documents, take_back
from hub.stock.ticks import draw_tick
from hub.sync.due import add_due
from hub.sync.feed import load_position, move_position

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import psycopg

    from hub.contracts import Changes, ErpConnector

_LOCK = "SELECT pg_advisory_lock(hashtext('oneshelf.look'), hashtext(%s))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtext('oneshelf.look'), hashtext(%s))"
# Demand or supply at a place of the source.
_ANY_OPEN = """
SELECT EXISTS (SELECT FROM stock_demand JOIN location ON location.id = location_id
               WHERE state IN ('open', 'cancel_pending') AND stock_source = %(source)s{staged})
    OR EXISTS (SELECT FROM stock_supply JOIN location ON location.id = location_id
               WHERE state = 'open' AND stock_source = %(source)s{staged})
"""
_STAGED = " AND (item_id, location_id) IN (SELECT item_id, location_id FROM staged_level)"


def look(connection: psycopg.Connection, connector: ErpConnector) -> Changes:
    """Ask for changes and keep what they name. The connection must be in autocommit mode.

    Raises:
        RemoteError: the ERP could not be asked; nothing was kept.
    """
    with _in_turn(connection, connector.source):
        return _look(connection, connector)


def list_again(connection: psycopg.Connection, connector: ErpConnector, *, everywhere: bool) -> None:
    """Bring the list up to date when the read in `staged_level` has ended, as far as the read is judged by it.

    Only documents that stood in the list before can cover anything; where there is none, the ERP is not asked.

    Args:
        everywhere: the read also tells of levels that it does not name.

    Raises:
        RemoteError: the ERP could not be asked; the read must not be applied.
    """
    source = connector.source
    with _in_turn(connection, source):
        documents = standing_documents(connection, source, everywhere=everywhere)
        if not documents:
            return
        if not isinstance(connector, DocumentReader):
            _look(connection, connector)
            return
        _read_documents(connection, source, connector, documents)


def find_gone(connection: psycopg.Connection, connector: ErpConnector, documents: Collection[str]) -> set[str]:
    """Ask how documents stand that the list holds, and keep that; return those that are gone from the ERP.

    Where documents can't vanish, none is.

    Raises:
        RemoteError: the ERP could not be asked; nothing was kept.
    """
    if not documents or not isinstance(connector, DocumentReader):
        return set()
    with _in_turn(connection, connector.source):
        return _read_documents(connection, connector.source, connector, documents)


def is_anything_open(connection: psycopg.Connection, source: str, *, everywhere: bool) -> bool:
    """Tell whether anything is sold or expected, at the levels that are staged or everywhere."""
    statement = _ANY_OPEN.format(staged="" if everywhere else _STAGED)
    return bool(one_value(connection.execute(statement, {"source": source})))


def _read_documents(
    connection: psycopg.Connection, source: str, reader: DocumentReader, documents: Collection[str]
) -> set[str]:
    """Read documents by their identity and bring the list up to date; return those that are gone."""
    postings = reader.read_documents(documents)
    tick = draw_tick(connection)
    gone = set(documents) - {posting.document for posting in postings}
    with connection.transaction():
        concerned = note_postings(connection, source, postings, tick) | take_back(connection, source, gone, tick)
        add_due(connection, source, concerned)
    return gone


def _look(connection: psycopg.Connection, connector: ErpConnector) -> Changes:
    source = connector.source
    position = load_position(connection, source)
    changes = connector.changed_keys(position)
    tick = draw_tick(connection)
    if changes.cursor == position and not changes.keys and not changes.postings:
        return changes
    with connection.transaction():
        concerned = note_postings(connection, source, changes.postings, tick)
        add_due(connection, source, changes.keys | concerned)
        move_position(connection, source, changes.cursor)
    return changes


@contextmanager
def _in_turn(connection: psycopg.Connection, source: str) -> Iterator[None]:
    connection.execute(_LOCK, (source,))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(_UNLOCK, (source,))
