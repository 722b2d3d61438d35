"""Asking the ERP of one place what it would confirm of an article, before the shop promises it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.contracts import AvailabilityCheck, StockKey
from hub.errors import ConfigError, DomainError

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

    import psycopg

    from hub.contracts import ErpConnector, Promise
    from hub.locations import Location

_NUMBERS = """
SELECT reference.external_id
FROM external_reference AS reference JOIN item ON item.id = reference.our_id
WHERE reference.kind = 'item' AND reference.system = %s AND item.sku = %s
ORDER BY reference.external_id
"""


def ask_promise(
    connection: psycopg.Connection,
    connector: ErpConnector,
    location: Location,
    sku: str,
    quantity: Decimal,
    wanted_on: date,
) -> Promise:
    """Ask the place's own ERP what it would confirm of a SKU on a day; nothing is reserved.

    Args:
        connector: of the location's source.
        wanted_on: a day at the place.

    Raises:
        ConfigError: this ERP, as it is connected, knows no such check.
        DomainError: the ERP does not know the SKU, or knows it under several numbers.
        RecordError: the quantity is none.
        RemoteError: the ERP refuses, or can't be asked.
    """
    source = location.stock_from
    if not isinstance(connector, AvailabilityCheck):
        raise ConfigError(f"source {source} has no availability check (SAP over RFC has one)")
    numbers = [str(number) for (number,) in connection.execute(_NUMBERS, (source, sku))]
    if len(numbers) != 1:
        known = f"knows {sku} as {', '.join(numbers)}" if numbers else f"knows no SKU {sku}"
        raise DomainError(f"source {source} {known}", code="no_single_number", status=404)
    return connector.check_availability(StockKey(numbers[0], location.erp_codes[source]), quantity, wanted_on)
