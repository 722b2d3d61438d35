"""Parts of a level that are set apart for a sales channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.db.rows import one_value

if TYPE_CHECKING:
    from decimal import Decimal

    import psycopg


def set_pool(
    connection: psycopg.Connection,
    sku: str,
    location: str,
    channel: str,
    ring_fenced: Decimal | None,
    percent: Decimal | None,
) -> bool:
    """Set a fixed quantity apart for a channel, or a share in percent of the base less safety stock; neither: none.

    Returns False when there is no such level.
    """
    values = (sku, location, channel, ring_fenced, percent)
    return bool(one_value(connection.execute("SELECT stock_set_pool(%s, %s, %s, %s::numeric, %s::numeric)", values)))
