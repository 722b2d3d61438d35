"""The stock synchronization of one source: the full snapshot, the delta, and the refresh of given keys.

These are plain functions. Prefect flows and the near-real-time loop call the same ones.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from hub.clock import utc_now
from hub.contracts import Rejection
from hub.db.rows import one_value
from hub.errors import Truncated
from hub.stock.apply import Applied, SuspiciousSnapshotError, apply_full, apply_keys
from hub.stock.summing import ExpiryRule
from hub.sync.due import add_due, clear_due, load_due
from hub.sync.feed import database_time, load_position, move_position, note_failure, note_refusal, note_success
from hub.sync.outbox import write_outbox
from hub.sync.quarantine import quarantine, rejection_key, resolve_keys, resolve_not_seen
from hub.sync.staging import ROW, StagedRead, Stager

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from hub.contracts import ErpConnector, StockKey
    from hub.db.session import Database
    from hub.settings import StockSettings

_MOST_SKUS_IN_EVENT = 500
SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one read cycle did. `state` is `applied`, `incomplete` or `quarantined`."""

    source: str
    kind: str
    batch_id: int
    state: str
    pages: int = 0
    rows: int = 0
    rejected: int = 0
    changed: tuple[tuple[str, str], ...] = ()
    read_again: frozenset[StockKey] = field(default_factory=frozenset)
    reason: str = ""


class InventorySync:
    """Brings one source's stock into the levels."""

    def __init__(
        self, database: Database, connector: ErpConnector, rules: StockSettings, *, poll_seconds: float | None = None
    ) -> None:
        self.database = database
        self.poll_seconds = poll_seconds
        self.connector = connector
        self.source = connector.source
        self._rules = rules
        self._log = structlog.get_logger().bind(source=self.source)

    def snapshot(self, *, accept_shrink: bool = False) -> SyncReport:
        """Read everything and apply it, if it is complete and believable.

        Raises:
            RemoteError: the ERP could not be read; nothing was changed and the feed grows stale.
        """
        with self._reading("full") as (connection, batch_id):
            began_at = database_time(connection)
            position = load_position(connection, self.source)
            # Changes from before the snapshot are in it; those from now on are the stream's.
            changes = self.connector.changed_keys(None) if position is None else None
            read = self._stager(connection).read_all()
            if not read.complete:
                return self._refuse(connection, batch_id, read, "incomplete", "the answer ended before it was complete")

            def apply() -> Applied:
                applied = apply_full(connection, read, batch_id, self._rules, accept_shrink=accept_shrink)
                note_success(connection, self.source, began_at, full=True)
                resolve_not_seen(connection, self.source, ROW, began_at)
                resolve_not_seen(connection, self.source, SNAPSHOT, began_at)
                if changes is not None:
                    move_position(connection, self.source, changes.cursor)
                return applied

            try:
                return self._commit(connection, batch_id, read, "full", apply)
            except SuspiciousSnapshotError as error:
                return self._refuse(connection, batch_id, read, "quarantined", str(error))

    def refresh(
        self,
        keys: Collection[StockKey],
        *,
        cause: str = "refresh",
        also: Callable[[psycopg.Connection], None] | None = None,
    ) -> SyncReport:
        """Read the named keys whole and apply them; `also` runs in the same transaction.

        Raises:
            RemoteError: the ERP could not be read; nothing was changed and `also` did not run.
        """
        with self._reading("keys") as (connection, batch_id):
            read = self._stager(connection).read_keys(keys)
            if not read.complete:
                raise Truncated("the answer ended before it was complete", system=self.source, operation="iter_stock")

            def apply() -> Applied:
                applied = apply_keys(connection, read, batch_id, cause=cause)
                clear_due(connection, self.source, keys)
                well = {f"{key.item}@{key.location}" for key in keys} - {rejection_key(r) for r in read.rejections}
                resolve_keys(connection, self.source, ROW, well)
                if also is not None:
                    also(connection)
                return applied

            return self._commit(connection, batch_id, read, "keys", apply)

    def delta(self) -> SyncReport | None:
        """Ask for changed keys, read them and those that are due, apply them and move the position, all or nothing.

        Returns None when nothing changed; the feed is fresh all the same.

        Raises:
            RemoteError: the ERP could not be read; the position did not move.
        """
        with self._telling_failure(), self.database.driver() as connection:
            began_at = database_time(connection)
            due = load_due(connection, self.source)
            changes = self.connector.changed_keys(load_position(connection, self.source))

        def also(connection: psycopg.Connection) -> None:
            move_position(connection, self.source, changes.cursor)
            note_success(connection, self.source, began_at)

        keys = changes.keys | due
        if keys:
            return self.refresh(keys, cause="delta", also=also)
        with self.database.driver() as connection, connection.transaction():
            also(connection)
        return None

    def _stager(self, connection: psycopg.Connection) -> Stager:
        return Stager(connection, self.connector, ExpiryRule(self._rules.expiring_days), utc_now)

    @contextmanager
    def _telling_failure(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, SQLAlchemyError):
            raise  # ours, not the source's
        except Exception as error:
            self._log.warning("source_failed", error=repr(error))
            with self.database.driver() as connection:
                note_failure(connection, self.source, str(error) or repr(error))
            raise

    @contextmanager
    def _reading(self, kind: str) -> Iterator[tuple[psycopg.Connection, int]]:
        with self._telling_failure(), self.database.driver() as connection:
            batch_id = _begin_batch(connection, self.source, kind, self.connector.mapping_version)
            try:
                yield connection, batch_id
            except Exception as error:
                if not connection.closed:
                    _end_batch(connection, batch_id, "failed", reason=str(error))
                raise

    def _commit(
        self,
        connection: psycopg.Connection,
        batch_id: int,
        read: StagedRead,
        kind: str,
        apply: Callable[[], Applied],
    ) -> SyncReport:
        with connection.transaction():
            quarantine(connection, self.source, ROW, read.rejections)
            applied = apply()
            add_due(connection, self.source, applied.read_again)
            _end_batch(connection, batch_id, "applied", read=read, changed=len(applied.changed))
            if applied.changed:
                write_outbox(connection, "stock.changed", self.source, _change_event(self.source, batch_id, applied))
        self._log.info(
            "stock_applied",
            kind=kind,
            batch=batch_id,
            pages=read.pages,
            rows=read.rows,
            rejected=len(read.rejections),
            changed=len(applied.changed),
        )
        return SyncReport(
            self.source,
            kind,
            batch_id,
            "applied",
            read.pages,
            read.rows,
            len(read.rejections),
            applied.changed,
            applied.read_again,
        )

    def _refuse(
        self, connection: psycopg.Connection, batch_id: int, read: StagedRead, state: str, reason: str
    ) -> SyncReport:
        facts = {"batch": batch_id, "pages": read.pages, "rows": read.rows}
        with connection.transaction():
            _end_batch(connection, batch_id, state, read=read, reason=reason)
            quarantine(connection, self.source, SNAPSHOT, [Rejection(state, reason, facts, item=self.source)])
            note_refusal(connection, self.source, f"snapshot {state}: {reason}")
        self._log.warning("snapshot_refused", state=state, reason=reason, **facts)
        return SyncReport(
            self.source, "full", batch_id, state, read.pages, read.rows, len(read.rejections), reason=reason
        )


def _change_event(source: str, batch_id: int, applied: Applied) -> dict[str, object]:
    skus = sorted({sku for sku, _ in applied.changed})
    named = skus if len(skus) <= _MOST_SKUS_IN_EVENT else None
    return {"source": source, "batch": batch_id, "changed": len(applied.changed), "skus": named}


def _begin_batch(connection: psycopg.Connection, source: str, kind: str, mapping_version: str) -> int:
    begun = connection.execute(
        "INSERT INTO stock_batch (source, kind, state, mapping_version) VALUES (%s, %s, 'running', %s) RETURNING id",
        (source, kind, mapping_version),
    )
    return int(one_value(begun))


def _end_batch(
    connection: psycopg.Connection,
    batch_id: int,
    state: str,
    *,
    read: StagedRead | None = None,
    changed: int = 0,
    reason: str | None = None,
) -> None:
    connection.execute(
        "UPDATE stock_batch SET state = %s, finished_at = clock_timestamp(), pages = %s, rows = %s, rejected = %s,"
        " changed = %s, reason = %s WHERE id = %s",
        (
            state,
            read.pages if read else 0,
            read.rows if read else 0,
            len(read.rejections) if read else 0,
            changed,
            reason[:500] if reason else None,
            batch_id,
        ),
    )
