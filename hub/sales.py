"""Store sales (门店销售) as the tills tell them: gone at once, each receipt once.

A sale is demand until the ERP's document that carries its number is in the base: the receipt's own document, or the
settlement (日结) of its business day. What was brought back (`returns`) is kept with the sale and counts when the ERP's
stock shows it: the till posts it, so nobody can say which read contains it already. The ERP's document of the receipt
may net it, so that less stands posted than was sold.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hub.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from sqlalchemy.ext.asyncio import AsyncConnection

_STORE = """
SELECT id, time_zone, sale_posting, settlement_number, day_begins FROM location WHERE code = %(store)s AND active
"""
_KEEP = """
INSERT INTO store_sale (location_id, receipt_no, sold_at, business_date, reference, member, lines, returns, digest,
                        principal)
VALUES (%(location_id)s, %(receipt_no)s, %(sold_at)s, %(business_date)s, %(reference)s, %(member)s, %(lines)s::jsonb,
        %(returns)s::jsonb, %(digest)s, %(principal)s)
ON CONFLICT (location_id, receipt_no) DO NOTHING
RETURNING true
"""
_KEPT = "SELECT digest FROM store_sale WHERE location_id = %(location_id)s AND receipt_no = %(receipt_no)s"
_BOOK = """
SELECT stock_record_sale(%(number)s, %(reference)s, %(whole)s, %(channel)s, %(lines)s::jsonb, %(returns)s::jsonb,
                         %(sold_at)s)
"""


@dataclass(frozen=True, slots=True)
class SoldLine:
    """So much of an article, in its base unit, above zero."""

    sku: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Sale:
    """A receipt. `member` is the number of the member's card, empty when none was shown."""

    store: str
    receipt_no: str
    sold_at: datetime
    lines: tuple[SoldLine, ...]
    returns: tuple[SoldLine, ...] = ()
    member: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The sale is booked. `reference` is the number by which the ERP will name it; `replayed`: it was booked before."""

    business_date: date
    reference: str
    replayed: bool


async def record_sale(connection: AsyncConnection, sale: Sale, *, channel: str, principal: str) -> Recorded:
    """Book a sale in the caller's transaction.

    Raises:
        DomainError: the hub has no such place, the store has told another sale under this number, or lines name what
            nobody knows. Nothing may be kept then: the caller must roll back.
    """
    store = (await connection.exec_driver_sql(_STORE, {"store": sale.store})).first()
    if store is None:
        raise DomainError(f"there is no store {sale.store}", code="location-not-found", status=404)
    location_id, time_zone, posting, settlement_number, day_begins = store
    day = business_date(sale.sold_at, ZoneInfo(time_zone), time.fromisoformat(day_begins))
    whole = posting == "daily_summary"
    reference = settlement_number.format(store=sale.store, date=f"{day:%Y%m%d}") if whole else sale.receipt_no
    kept = {
        "location_id": location_id,
        "receipt_no": sale.receipt_no,
        "sold_at": sale.sold_at,
        "business_date": day,
        "reference": reference,
        "member": sale.member,
        "lines": _json(sale.lines),
        "returns": _json(sale.returns),
        "digest": _digest(sale),
        "principal": principal,
    }
    if (await connection.exec_driver_sql(_KEEP, kept)).first() is None:
        # a new statement: it sees what another request has committed meanwhile
        if (await connection.exec_driver_sql(_KEPT, kept)).scalar_one() != kept["digest"]:
            message = f"receipt {sale.receipt_no} of {sale.store} was told with another content"
            raise DomainError(message, code="receipt-reused")
        return Recorded(day, reference, replayed=True)
    await _book(connection, sale, reference, channel, whole=whole)
    return Recorded(day, reference, replayed=False)


def business_date(moment: datetime, zone: ZoneInfo, begins: time) -> date:
    """Return the day that a moment belongs to in a store whose days begin at `begins`, local time."""
    local = moment.astimezone(zone)
    return local.date() - timedelta(days=local.time() < begins)


async def _book(connection: AsyncConnection, sale: Sale, reference: str, channel: str, *, whole: bool) -> None:
    values = {
        "number": f"{sale.store}/{sale.receipt_no}",
        "reference": reference,
        "whole": whole,
        "channel": channel,
        "lines": _at_store(sale.store, sale.lines),
        "returns": _at_store(sale.store, sale.returns),
        "sold_at": sale.sold_at,
    }
    unknown = (await connection.exec_driver_sql(_BOOK, values)).scalar_one()
    if unknown:
        raise DomainError("the sale names what nobody knows", code="unknown-line", status=422, lines=unknown)


def _at_store(store: str, lines: Sequence[SoldLine]) -> str:
    return json.dumps([{"sku": line.sku, "location": store, "quantity": str(line.quantity)} for line in lines])


def _digest(sale: Sale) -> bytes:
    content = [sale.sold_at.timestamp(), sale.member, _json(sale.lines), _json(sale.returns)]
    return hashlib.sha256(json.dumps(content).encode()).digest()


def _json(lines: Sequence[SoldLine]) -> str:
    return json.dumps([{"sku": line.sku, "quantity": format(line.quantity.normalize(), "f")} for line in lines])
