"""Demand (占用): what is firmly gone from a level and not yet in its base, by orders and store sales.

Supply (待入) is its counterpart: what is usable at a place and surely not in the base. Both are judged anew with each
base (`hub.stock.coverage`); the rules of booking stand in the database's functions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from hub.db.rows import one_value
from hub.stock.ticks import draw_tick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import psycopg

    from hub.stock.reservations import Line

DemandKind = Literal["order", "sale", "transfer"]
SupplyKind = Literal["return", "transfer"]

_CLAIM = "SELECT stock_claim_push(%s, %s, %s)"
_CLAIM_SUPPLY = """
UPDATE stock_supply SET push_sent = COALESCE(push_sent, %(tick)s)
WHERE kind = %(kind)s AND number = %(number)s AND state = 'open'
"""


def record_sale(
    connection: psycopg.Connection,
    number: str,
    reference: str,
    lines: Sequence[Line],
    sold_at: datetime,
    *,
    channel: str,
    whole: bool,
    brought_back: Sequence[Line] = (),
) -> list[Mapping[str, Any]]:
    """Book what a store sold, in the caller's transaction; return the lines that nobody knows, and book nothing then.

    Args:
        whole: covered as soon as any line of a document with the reference is posted at the place (a day's settlement).
        brought_back: what the same receipt takes back.
    """
    values = (number, reference, whole, channel, _json(lines), _json(brought_back), sold_at)
    statement = "SELECT stock_record_sale(%s, %s, %s, %s, %s::jsonb, %s::jsonb, %s)"
    unknown = one_value(connection.execute(statement, values))
    return list(unknown or ())


def add_supply(
    connection: psycopg.Connection, kind: SupplyKind, number: str, lines: Sequence[Line], usable_at: datetime
) -> list[Mapping[str, Any]]:
    """Count usable goods that the hub will tell the ERP of; return the lines that nobody knows, and count none then."""
    values = (kind, number, _json(lines), usable_at)
    return list(one_value(connection.execute("SELECT stock_add_supply(%s, %s, %s::jsonb, %s)", values)) or ())


def claim_push(connection: psycopg.Connection, kind: DemandKind, number: str) -> bool:
    """Note that demand is about to be sent to the ERP; False if it is not to be sent any more.

    Must be committed before the first byte leaves. The first attempt's tick stays, however often it is sent.
    The connection must be in autocommit mode.
    """
    return bool(one_value(connection.execute(_CLAIM, (kind, number, draw_tick(connection)))))


def claim_supply_push(connection: psycopg.Connection, kind: SupplyKind, number: str) -> bool:
    """Note that supply is about to be sent to the ERP, as `claim_push` does for demand."""
    values = {"tick": draw_tick(connection), "kind": kind, "number": number}
    return connection.execute(_CLAIM_SUPPLY, values).rowcount > 0


def cancel(connection: psycopg.Connection, kind: DemandKind, number: str) -> str | None:
    """Cancel demand: released if it was never sent, else cancel_pending, which keeps its stock; None: there is none."""
    return _end(connection, kind, number, "released", though_sent=False)


def end_unposted(connection: psycopg.Connection, kind: DemandKind, number: str) -> str | None:
    """Release demand of which the ERP has said that it has not posted it and can't any more."""
    return _end(connection, kind, number, "released", though_sent=True)


def end_reversed(connection: psycopg.Connection, kind: DemandKind, number: str) -> str | None:
    """End demand whose reversal the ERP has posted and answered."""
    return _end(connection, kind, number, "reversed", though_sent=True)


def end_supply(
    connection: psycopg.Connection, kind: SupplyKind, number: str, state: Literal["posted", "withdrawn"]
) -> bool:
    """Count supply no longer: the base contains it for good, or it never was there. False if there is none."""
    return bool(one_value(connection.execute("SELECT stock_end_supply(%s, %s, %s)", (kind, number, state))))


def _end(connection: psycopg.Connection, kind: str, number: str, state: str, *, though_sent: bool) -> str | None:
    values = (kind, number, state, though_sent)
    ended: str | None = one_value(connection.execute("SELECT stock_end_demand(%s, %s, %s, %s)", values))
    return ended


def _json(lines: Sequence[Line]) -> str:
    return json.dumps([{"sku": line.sku, "location": line.location, "quantity": str(line.quantity)} for line in lines])
