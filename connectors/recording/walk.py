"""The read paths that a recording holds, walked in a fixed order: once through the real system, later in each test."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from hub.contracts import StockKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hub.contracts import ErpConnector, ItemPage, StockPage

_KEYS = 5


def walk(connector: ErpConnector, *, pages: int, items: bool) -> dict[str, Any]:
    """Walk the self-check, articles, places, some pages of stock, some keys, and the changes since a moment ago.

    Args:
        pages: of stock, and of articles, at most.
        items: read articles at all.

    Returns:
        What came of it, as counts without any value of the system's: JSON-ready, the same for a recording of it.

    Raises:
        RemoteError: the ERP misbehaves.
    """
    found: dict[str, Any] = {"checks": len(connector.check())}
    if items:
        found["items"] = _count_items(islice(connector.get_items(), pages))
    found["locations"] = len(connector.get_locations())
    stock = list(islice(connector.iter_stock(), pages))
    found["stock"] = _count_stock(stock)
    # of one place, since several would be asked for in the order of their names, which a recording does not keep
    rows = [row for page in stock for row in page.rows]
    place = rows[0].location if rows else ""
    keys = dict.fromkeys(StockKey(row.item, row.location) for row in rows if row.location == place)
    found["keys"] = _count_stock(list(connector.iter_stock(list(keys)[:_KEYS]))) if keys else None
    cursor = connector.changed_keys(None).cursor
    found["changes"] = len(connector.changed_keys(cursor).keys)
    return found


def _count_items(pages: Iterable[ItemPage]) -> dict[str, Any]:
    read = list(pages)
    return {
        "pages": len(read),
        "complete": bool(read) and read[-1].complete,
        "records": sum(len(page.records) for page in read),
        "barcodes": sum(len(record.barcodes) for page in read for record in page.records),
        "rejected": _counted(entry.reason for page in read for entry in page.rejected),
    }


def _count_stock(pages: list[StockPage]) -> dict[str, Any]:
    rows = [row for page in pages for row in page.rows]
    return {
        "pages": len(pages),
        "complete": bool(pages) and pages[-1].complete,
        "rows": len(rows),
        "articles": len({row.item for row in rows}),
        "places": len({row.location for row in rows}),
        "statuses": _counted(str(row.status) for row in rows),
        "units": _counted(row.unit for row in rows),
        "consigned": sum(bool(row.owner) for row in rows),
        "below_zero": sum(row.quantity < 0 for row in rows),
        "rejected": _counted(entry.reason for page in pages for entry in page.rejected),
    }


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
