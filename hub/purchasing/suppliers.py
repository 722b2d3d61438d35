"""Suppliers (供应商), and for each article the ordered list of whom to ask: the first that is available is named."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from hub.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_SAVE = """
INSERT INTO supplier (code, name) VALUES (%s, %s)
ON CONFLICT (code) DO UPDATE SET name = excluded.name, changed_at = clock_timestamp()
"""
_SUPPLIERS = """
SELECT supplier.code, supplier.name, supplier.available, count(offer.item_id)
FROM supplier LEFT JOIN item_supplier AS offer ON offer.supplier_id = supplier.id
GROUP BY supplier.id ORDER BY supplier.code
"""
_OFFERS = """
SELECT item.sku, supplier.code, offer.position, offer.lead_time_days, offer.article_no, offer.minimum_quantity,
       offer.order_multiple
FROM item_supplier AS offer
JOIN item ON item.id = offer.item_id
JOIN supplier ON supplier.id = offer.supplier_id
WHERE %(sku)s::text IS NULL OR item.sku = %(sku)s
ORDER BY item.sku, offer.position, supplier.code
"""
_SAVE_OFFER = """
INSERT INTO item_supplier (item_id, supplier_id, position, lead_time_days, article_no, minimum_quantity, order_multiple)
SELECT item.id, supplier.id, %(position)s, %(lead_time_days)s, %(article_no)s, %(minimum)s, %(multiple)s
FROM item, supplier WHERE item.sku = %(sku)s AND supplier.code = %(supplier)s
ON CONFLICT (item_id, supplier_id) DO UPDATE
SET position = excluded.position, lead_time_days = excluded.lead_time_days, article_no = excluded.article_no,
    minimum_quantity = excluded.minimum_quantity, order_multiple = excluded.order_multiple
"""
_DROP_OFFER = """
DELETE FROM item_supplier AS offer USING item, supplier
WHERE item.id = offer.item_id AND supplier.id = offer.supplier_id AND item.sku = %s AND supplier.code = %s
"""
_DROP_LIST = "DELETE FROM item_supplier AS offer USING item WHERE item.id = offer.item_id AND item.sku = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Supplier:
    """Whom articles are bought from; `articles` is how many have it in their lists."""

    code: str
    name: str
    available: bool
    articles: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A supplier in an article's list. Smaller positions are asked first; quantities are in the article's base unit.

    Attributes:
        lead_time_days: from the order to the goods; None: not known.
        article_no: the supplier's own number of the article.
        minimum: they deliver so much or more. `multiple`: in multiples of this; None: any quantity.
    """

    sku: str
    supplier: str
    position: int
    lead_time_days: int | None = None
    article_no: str = ""
    minimum: Decimal = Decimal(0)
    multiple: Decimal | None = None


def save_supplier(connection: psycopg.Connection, code: str, name: str) -> None:
    """Make a supplier known, or name it anew."""
    connection.execute(_SAVE, (code, name))


def mark_supplier(connection: psycopg.Connection, code: str, *, available: bool) -> None:
    """Say whether a supplier can deliver: alerts from now on name the next in the list when it can't.

    Raises:
        DomainError: there is no such supplier.
    """
    statement = "UPDATE supplier SET available = %s, changed_at = clock_timestamp() WHERE code = %s"
    if connection.execute(statement, (available, code)).rowcount == 0:
        raise DomainError(f"there is no supplier {code}", code="supplier-not-found", status=404)


def load_suppliers(connection: psycopg.Connection) -> list[Supplier]:
    """Return all suppliers by their codes."""
    return [Supplier(*row) for row in connection.execute(_SUPPLIERS)]


def save_offer(connection: psycopg.Connection, offer: Offer) -> None:
    """Put a supplier into an article's list, or change what is said of it there.

    Raises:
        DomainError: the article or the supplier is not known, or a number makes no sense.
    """
    numbers = (Decimal(offer.lead_time_days or 0), offer.minimum, offer.multiple or Decimal(0))
    if not all(number.is_finite() and number >= 0 for number in numbers) or offer.multiple == 0:
        raise DomainError("lead time and quantities must not be negative", code="offer-negative", status=422)
    values = {name: getattr(offer, name) for name in Offer.__slots__}
    if connection.execute(_SAVE_OFFER, values).rowcount == 0:
        raise DomainError(
            f"there is no SKU {offer.sku}, or no supplier {offer.supplier}", code="offer-unknown", status=404
        )


def drop_offer(connection: psycopg.Connection, sku: str, supplier: str) -> bool:
    """Take a supplier out of an article's list; False if it was not in there."""
    return connection.execute(_DROP_OFFER, (sku, supplier)).rowcount > 0


def load_offers(connection: psycopg.Connection, sku: str | None = None) -> list[Offer]:
    """Return the list of an article, or of all, in the order in which suppliers are asked."""
    return [Offer(*row) for row in connection.execute(_OFFERS, {"sku": sku})]


def replace_lists(connection: psycopg.Connection, offers: Sequence[Offer]) -> int:
    """Replace the lists of all articles that are named, in the caller's transaction; return how many articles.

    Raises:
        DomainError: as `save_offer`; the caller must roll back.
    """
    skus = sorted({offer.sku for offer in offers})
    connection.execute(_DROP_LIST, (skus,))
    for offer in offers:
        save_offer(connection, offer)
    return len(skus)
