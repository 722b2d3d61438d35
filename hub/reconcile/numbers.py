"""What the list of documents says of numbers of ours at the levels in `checked_level`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.reconcile.facts import level_of
from hub.reconcile.rules import Surplus, Waiting
from hub.stock.coverage import LIVE

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

    from hub.reconcile.rules import Level
    from hub.settings import StockSettings

_LATE = """max(demand.effective_at) < clock_timestamp() - make_interval(
    secs => 3600 * CASE demand.kind WHEN 'sale' THEN %(sale_hours)s ELSE %(order_hours)s END)"""
# What was told since does not make a case end: it lasts until it can't be seen any more.
_IS_OPEN = """EXISTS (
    SELECT FROM stock_difference AS known
    WHERE known.item_id = {level}.item_id AND known.location_id = {level}.location_id
      AND known.subject = {reference} AND known.healed_at IS NULL AND known.resolved_at IS NULL)"""
# Demand that is still subtracted and of which the ERP holds no document, or too small a one. The receipts of a day that
# is settled as a whole wait for one document: they are one case, once the last of them is late.
_WAITING = f"""
SELECT checked.*, demand.kind, CASE count(*) WHEN 1 THEN min(demand.number) ELSE demand.reference END,
       demand.reference, sum(demand.quantity - COALESCE(demand.covered, 0)), sum(demand.quantity), told.quantity,
       min(demand.effective_at), {_LATE}
FROM checked_level AS checked
JOIN stock_demand AS demand USING (item_id, location_id)
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(posting.quantity), 0) AS quantity FROM stock_posting AS posting
    WHERE posting.reference = demand.reference AND posting.item_id = demand.item_id
      AND posting.location_id = demand.location_id AND posting.source = %(source)s AND posting.posted) AS told
WHERE demand.state IN {LIVE} AND demand.covered IS DISTINCT FROM demand.quantity
  AND CASE WHEN demand.whole
      THEN NOT EXISTS (SELECT FROM stock_posting AS posting
                       WHERE posting.reference = demand.reference AND posting.location_id = demand.location_id
                         AND posting.source = %(source)s AND posting.posted)
      ELSE told.quantity < (
        SELECT sum(twin.quantity) FROM stock_demand AS twin
        WHERE twin.item_id = demand.item_id AND twin.location_id = demand.location_id
          AND twin.reference = demand.reference AND twin.state IN {LIVE}) END
GROUP BY checked.item_id, checked.location_id, checked.item, checked.place, demand.kind, demand.reference, told.quantity
HAVING {_LATE} OR {_IS_OPEN.format(level="checked", reference="demand.reference")}
ORDER BY min(demand.effective_at), min(demand.id)
"""
_ENDED = "('posted', 'released', 'reversed')"
_FORM = "regexp_replace(upper({reference}), '[0-9]+', '9', 'g')"
# More than was sold under the number; or under a number that nobody told, in the form of the store's own numbers.
_SURPLUS = f"""
SELECT checked.*, stands.reference, sold.quantity, stands.quantity, stands.documents, COALESCE(sold.whole, false),
       stands.changed_at < clock_timestamp() - make_interval(secs => 3600 * %(sale_hours)s)
FROM (SELECT posting.item_id, posting.location_id, posting.reference, sum(posting.quantity) AS quantity,
             array_agg(DISTINCT regexp_replace(posting.document, '/[^/]*$', '')) FILTER (WHERE posting.quantity > 0)
                 AS documents,
             max(posting.changed_at) AS changed_at
      FROM checked_level JOIN stock_posting AS posting USING (item_id, location_id)
      WHERE posting.source = %(source)s AND posting.posted AND posting.reference <> ''
      GROUP BY 1, 2, 3) AS stands
JOIN checked_level AS checked USING (item_id, location_id)
CROSS JOIN LATERAL (
    SELECT sum(demand.quantity) AS quantity, bool_or(demand.whole) AS whole,
           COALESCE(bool_or(demand.state IN ('released', 'reversed')), false) AS withdrawn
    FROM (SELECT quantity, whole, state FROM stock_demand
          WHERE item_id = stands.item_id AND location_id = stands.location_id AND reference = stands.reference
            AND state IN {LIVE}
          UNION ALL
          SELECT quantity, whole, state FROM stock_demand
          WHERE item_id = stands.item_id AND location_id = stands.location_id AND reference = stands.reference
            AND state IN {_ENDED}) AS demand) AS sold
WHERE stands.quantity > COALESCE(sold.quantity, 0) AND NOT sold.withdrawn
  AND (sold.quantity IS NOT NULL
       OR {_FORM.format(reference="stands.reference")} IN (
            SELECT {_FORM.format(reference="recent.reference")}
            FROM (SELECT reference FROM store_sale WHERE store_sale.location_id = stands.location_id
                  ORDER BY business_date DESC LIMIT 100) AS recent))
ORDER BY stands.reference
"""
_OURS = f"""
SELECT reference, kind = 'sale' FROM stock_demand
WHERE item_id = %(item)s AND location_id = %(location)s AND reference = ANY(%(references)s) AND state IN {LIVE}
UNION
SELECT reference, kind = 'sale' FROM stock_demand
WHERE location_id = %(location)s AND reference = ANY(%(references)s) AND state IN {_ENDED}
UNION
SELECT reference, true FROM unnest(%(references)s::text[]) AS told(reference)
WHERE reference <> '' AND {_FORM.format(reference="told.reference")} IN (
    SELECT {_FORM.format(reference="recent.reference")}
    FROM (SELECT reference FROM store_sale WHERE location_id = %(location)s
          ORDER BY business_date DESC LIMIT 100) AS recent)
"""


def find_waiting(connection: psycopg.Connection, source: str, rules: StockSettings) -> list[Waiting]:
    """Return demand that is late, or was so when it was found."""
    rows = connection.execute(_WAITING, {"source": source, **_hours(rules)})
    return [Waiting(level_of(row[:4]), *row[4:]) for row in rows]


def find_surplus(connection: psycopg.Connection, source: str, rules: StockSettings) -> list[Surplus]:
    """Return documents that took more than was sold under their number."""
    rows = connection.execute(_SURPLUS, {"source": source, **_hours(rules)})
    return [
        Surplus(level_of(named), reference, wanted, posted, tuple(documents or ()), settles, late)
        for *named, reference, wanted, posted, documents, settles, late in rows
    ]


def load_ours(
    connection: psycopg.Connection, level: Level, references: Collection[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return which of the references are numbers of ours, and which of those are numbers of store sales."""
    values = {"item": level.item_id, "location": level.location_id, "references": sorted(references)}
    rows = connection.execute(_OURS, values).fetchall()
    return frozenset(name for name, _ in rows), frozenset(name for name, is_sale in rows if is_sale)


def _hours(rules: StockSettings) -> dict[str, float]:
    return {"sale_hours": rules.sale_late_after_hours, "order_hours": rules.order_late_after_hours}
