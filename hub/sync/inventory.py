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
from hub.errors import AuthFailed, Truncated
from hub.stock.apply import Applied, SuspiciousSnapshotError, apply_full, apply_keys, take_turn
from hub.stock.summing import ExpiryRule
from hub.sync.batch import begin_batch, end_batch, let_go_of_batch
from hub.sync.due import add_due, clear_due, load_due
from hub.sync.feed import (
    database_time,
    left_alone_until,
    load_position,
    note_failure,
    note_not_let_in,
    note_refusal,
    note_success,
)
from hub.sync.looks import is_anything_open, list_again, look
from hub.sync.outbox import write_outbox
from hub.sync.quarantine import quarantine, rejection_key, resolve_keys, resolve_not_seen
from hub.sync.staging import ROW, StagedRead, Stager

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from hub.contracts import ErpConnector, StockKey
    from hub.db.session import Database
    from hub.settings import StockSettings

    Judge = Callable[[psycopg.Connection, StagedRead], Callable[[psycopg.Connection], None]]
    """Compares a staged read with what the levels hold; returns what is to be done just before it is applied, in that
    transaction. It is called without one, after the documents were listed, so it may ask the ERP."""

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
    """(sku, location code) of changed levels: all `changed_count` of them, or the first thousand."""
    changed_count: int = 0
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

    def snapshot(self, *, accept_shrink: bool = False, judge: Judge | None = None) -> SyncReport:
        """Read everything and apply it, if it is complete and believable; `judge` sees it first.

        Raises:
            RemoteError: the ERP could not be read; nothing was changed and the feed grows stale.
        """
        with self._reading("full") as (connection, batch_id):
            began_at, due, read = self._read_everything(connection)
            if not read.complete:
                return self._refuse(connection, batch_id, read, "incomplete", "the answer ended before it was complete")
            settle = judge(connection, read) if judge else None

            def apply() -> Applied:
                if settle:
                    settle(connection)
                applied = apply_full(connection, read, batch_id, self._rules, accept_shrink=accept_shrink)
                note_success(connection, self.source, began_at, full=True)
                clear_due(connection, self.source, due)
                resolve_not_seen(connection, self.source, ROW, began_at)
                resolve_not_seen(connection, self.source, SNAPSHOT, began_at)
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
        judge: Judge | None = None,
    ) -> SyncReport:
        """Read the named keys whole and apply them; `also` runs in the same transaction, `judge` sees them before.

        Raises:
            RemoteError: the ERP could not be read; nothing was changed and `also` did not run.
        """
        with self._reading("keys") as (connection, batch_id):
            due = load_due(connection, self.source, limit=self._rules.keys_at_once)
            read = self._read_keys(connection, keys)
            settle = judge(connection, read) if judge else None

            def apply() -> Applied:
                if settle:
                    settle(connection)
                applied = apply_keys(connection, read, batch_id, cause=cause)
                clear_due(connection, self.source, {key: due[key] for key in keys if key in due})
                well = {f"{key.item}@{key.location}" for key in keys} - {rejection_key(r) for r in read.rejections}
                resolve_keys(connection, self.source, ROW, well)
                if also is not None:
                    also(connection)
                return applied

            return self._commit(connection, batch_id, read, "keys", apply)

    def delta(self) -> SyncReport | None:
        """Ask for changed keys, read them and those that were due before, and apply them.

        What is named is due from then on, whatever becomes of the read: whoever dies of it is continued by the next
        one. Returns None when nothing is due; the feed is fresh all the same. When more keys are due than one read may
        take, the first of them are read, and the feed is fresh when the last of them are.

        Raises:
            RemoteError: the ERP could not be read. `AuthFailed` also when it is left alone because it did not let us
                in before.
        """
        self._leave_alone()
        most = self._rules.keys_at_once
        with self._telling_failure(), self.database.driver() as connection:
            began_at = database_time(connection)
            look(connection, self.connector)
            due = list(load_due(connection, self.source, limit=most + 1))

        def also(connection: psycopg.Connection) -> None:
            if len(due) <= most:
                note_success(connection, self.source, began_at)

        if due:
            return self.refresh(due[:most], cause="delta", also=also)
        with self.database.driver() as connection, connection.transaction():
            also(connection)
        return None

    def _read_everything(
        self, connection: psycopg.Connection
    ) -> tuple[datetime, Mapping[StockKey, datetime], StagedRead]:
        """Return when it began, what was due then, and the read, with the documents listed on either side of it."""
        with self._telling_failure():
            began_at = database_time(connection)
            # Changes from before the snapshot are in it; those from now on are the stream's. Where nothing is sold, a
            # snapshot needs no more than the stock itself.
            if load_position(connection, self.source) is None or self._is_anything_open(connection):
                look(connection, self.connector)
            due = load_due(connection, self.source)
            read = self._stager(connection).read_all(most_again=self._rules.keys_at_once)
            if read.complete and self._is_anything_open(connection):
                self._list_documents(connection, read, everywhere=True)
            return began_at, due, read

    def _read_keys(self, connection: psycopg.Connection, keys: Collection[StockKey]) -> StagedRead:
        with self._telling_failure():
            read = self._stager(connection).read_keys(keys)
            if not read.complete:
                raise Truncated("the answer ended before it was complete", system=self.source, operation="iter_stock")
            if is_anything_open(connection, self.source, everywhere=False):
                self._list_documents(connection, read, everywhere=False)
            return read

    def _leave_alone(self) -> None:
        with self.database.driver() as connection:
            until = left_alone_until(connection, self.source)
        if until is not None:
            raise AuthFailed(
                f"not let in, and not asked again before {until:%H:%M:%S} UTC lest the user be locked; a full read or a"
                " restart asks at once",
                system=self.source,
                operation="delta",
            )

    def _is_anything_open(self, connection: psycopg.Connection) -> bool:
        return is_anything_open(connection, self.source, everywhere=True)

    def _list_documents(self, connection: psycopg.Connection, read: StagedRead, *, everywhere: bool) -> None:
        """List the ERP's documents once more, after the read, since what is sold must be judged by them."""
        list_again(connection, self.connector, everywhere=everywhere)
        read.listed = True

    def _stager(self, connection: psycopg.Connection) -> Stager:
        return Stager(connection, self.connector, ExpiryRule(self._rules.expiring_days), utc_now)

    @contextmanager
    def _telling_failure(self) -> Iterator[None]:
        """Note as the source's failure what is raised within. What judges a read, or applies it, stands outside."""
        try:
            yield
        except (psycopg.Error, SQLAlchemyError):
            raise  # ours, not the source's
        except Exception as error:
            self._log.warning("source_failed", error=repr(error))
            with self.database.driver() as connection:
                note_failure(connection, self.source, str(error) or repr(error))
                if isinstance(error, AuthFailed):
                    note_not_let_in(connection, self.source)
            raise

    @contextmanager
    def _reading(self, kind: str) -> Iterator[tuple[psycopg.Connection, int]]:
        with self.database.driver() as connection:
            batch_id = begin_batch(connection, self.source, kind, self.connector.mapping_version)
            try:
                yield connection, batch_id
            except Exception as error:
                if not connection.closed:
                    end_batch(connection, batch_id, "failed", reason=str(error))
                raise
            finally:
                if not connection.closed:
                    let_go_of_batch(connection, batch_id)

    def _commit(
        self,
        connection: psycopg.Connection,
        batch_id: int,
        read: StagedRead,
        kind: str,
        apply: Callable[[], Applied],
    ) -> SyncReport:
        with connection.transaction():
            take_turn(connection, self.source)  # first of all: who has it waits for no row that is written here
            quarantine(connection, self.source, ROW, read.rejections)
            applied = apply()
            add_due(connection, self.source, applied.read_again)
            reason = f"{read.again} rows were torn or left out at first and read again" if read.again else None
            end_batch(connection, batch_id, "applied", read=read, changed=applied.changed_count, reason=reason)
            if applied.changed:
                write_outbox(connection, "stock.changed", self.source, _change_event(self.source, batch_id, applied))
        self._log.info(
            "stock_applied",
            kind=kind,
            batch=batch_id,
            pages=read.pages,
            rows=read.rows,
            rejected=len(read.rejections),
            changed=applied.changed_count,
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
            applied.changed_count,
            applied.read_again,
        )

    def _refuse(
        self, connection: psycopg.Connection, batch_id: int, read: StagedRead, state: str, reason: str
    ) -> SyncReport:
        facts = {"batch": batch_id, "pages": read.pages, "rows": read.rows}
        with connection.transaction():
            take_turn(connection, self.source)
            end_batch(connection, batch_id, state, read=read, reason=reason)
            quarantine(connection, self.source, SNAPSHOT, [Rejection(state, reason, facts, item=self.source)])
            note_refusal(connection, self.source, f"snapshot {state}: {reason}")
        self._log.warning("snapshot_refused", state=state, reason=reason, **facts)
        return SyncReport(
            self.source, "full", batch_id, state, read.pages, read.rows, len(read.rejections), reason=reason
        )


def _change_event(source: str, batch_id: int, applied: Applied) -> dict[str, object]:
    skus = sorted({sku for sku, _ in applied.changed})
    all_named = len(applied.changed) == applied.changed_count and len(skus) <= _MOST_SKUS_IN_EVENT
    named = skus if all_named else None
    return {"source": source, "batch": batch_id, "changed": applied.changed_count, "skus": named}
