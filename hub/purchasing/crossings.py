"""Levels below their safety stock (库存预警): each is told to purchasing once, until it is there again.

A crossing begins when what is there and neither sold nor held is less than the safety stock, and ends when it is that
much again. The outbox tells of its beginning at once (topic `stock.low`); people are told with the next look for
alerts, of all that have begun and still last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub.alerts.book import Told, announce
from hub.alerts.rules import Kind
from hub.db.rows import one_value
from hub.stock.withheld import apply_rules, follow_lag, measure_rates_if_due

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    import psycopg

    from hub.settings import Settings

SUBJECT = "purchasing"
_AT_ONCE = 1000
_LINES = 10  # as many as WeCom's 4,096 bytes hold
_MESSAGES = 6
_NOTE = "SELECT stock_note_crossings(%s)"
_OPEN = """
SELECT crossing.id, item.sku, place.code, crossing.began_at, crossing.told_at, crossing.stock, crossing.safety_stock,
       COALESCE(offer.quantity, crossing.lacking), offer.code, offer.name, offer.article_no, offer.lead_time_days
FROM {crossings} AS crossing
JOIN item ON item.id = crossing.item_id
JOIN location AS place ON place.id = crossing.location_id
LEFT JOIN LATERAL purchasing_offer(crossing.item_id, crossing.lacking) AS offer ON true
ORDER BY crossing.id
"""
_ALL_OPEN = _OPEN.format(crossings="(SELECT * FROM stock_crossing WHERE ended_at IS NULL)")
# Whoever else looks at this moment tells the others.
_UNTOLD = _OPEN.format(
    crossings="""(
        SELECT * FROM stock_crossing WHERE ended_at IS NULL AND told_at IS NULL ORDER BY id LIMIT %s
        FOR NO KEY UPDATE SKIP LOCKED)"""
)
_TOLD = "UPDATE stock_crossing SET told_at = clock_timestamp() WHERE id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Crossing:
    """A level that is below its safety stock, and whom to buy from now.

    `stock` and `safety_stock` are those of when it began. `quantity` fills it up to the target, as the supplier
    delivers; `supplier` and what follows are None when no supplier is available.
    """

    id: int
    sku: str
    location: str
    began_at: datetime
    told_at: datetime | None
    stock: Decimal
    safety_stock: Decimal
    quantity: Decimal
    supplier: str | None
    supplier_name: str | None
    article_no: str | None
    lead_time_days: int | None


def watch_levels(connection: psycopg.Connection) -> None:
    """Bring levels to their rules, and note which are below their safety stock, and which are there again.

    Whoever changes a rule or makes a level brings levels to their rules himself; what is left (an article's category
    has changed) is found once an hour. The connection must be in autocommit mode: locks are held for some levels at a
    time.
    """
    if measure_rates_if_due(connection):
        apply_rules(connection)
    else:
        follow_lag(connection)
    note_crossings(connection)


def note_crossings(connection: psycopg.Connection) -> int:
    """Note which levels are below their safety stock, and which are there again; return how many there were to note."""
    noted = 0
    while some := int(one_value(connection.execute(_NOTE, (_AT_ONCE,)))):
        noted += some
    return noted


def load_crossings(connection: psycopg.Connection) -> list[Crossing]:
    """Return what is below its safety stock, oldest first."""
    return [Crossing(*row) for row in connection.execute(_ALL_OPEN)]


def tell_crossings(connection: psycopg.Connection, settings: Settings) -> list[Told]:
    """Queue messages for the channels of purchasing about what has begun and was not told; return what they are about.

    One look tells of sixty at most, lest other alerts wait behind them; the others wait for the next one. Without a
    channel nobody is told, and they wait on.
    """
    channels = list(settings.alerts.enabled_channels("purchasing"))
    if not channels:
        return []
    told: list[Told] = []
    with connection.transaction():
        untold = [Crossing(*row) for row in connection.execute(_UNTOLD, (_LINES * _MESSAGES,))]
        for first in range(0, len(untold), _LINES):
            some = untold[first : first + _LINES]
            facts = {"count": len(some), "lines": [_line(crossing) for crossing in some]}
            told.append(announce(connection, Kind.STOCK_LOW, SUBJECT, facts, channels))
        connection.execute(_TOLD, ([crossing.id for crossing in untold],))
    return told


def _line(crossing: Crossing) -> Mapping[str, Any]:
    return {
        "sku": crossing.sku,
        "location": crossing.location,
        "stock": _number(crossing.stock),
        "safety_stock": _number(crossing.safety_stock),
        "quantity": _number(crossing.quantity),
        "supplier": crossing.supplier,
        "supplier_name": crossing.supplier_name,
        "article_no": crossing.article_no,
        "lead_time_days": crossing.lead_time_days,
    }


def _number(quantity: Decimal) -> str:
    return f"{quantity.normalize():f}"
