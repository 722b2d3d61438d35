"""What the list of documents says of numbers of ours at the levels in `checked_level`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub.reconcile.facts import level_of
from hub.reconcile.rules import Surplus, Waiting
from hub.stock.coverage import LIVE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import psycopg

    from hub.reconcile.rules import Level
    from hub.settings import StockSettings

_ENDED = "('posted', 'released', 'reversed')"
_LATE = """max({effective}) < clock_timestamp() - make_interval(
    secs => 3600 * CASE {kind} WHEN 'sale' THEN %(sale_hours)s ELSE %(order_hours)s END)"""
_LATE_DEMAND = _LATE.format(effective="demand.effective_at", kind="demand.kind")
_LATE_SUPPLY = _LATE.format(effective="supply.effective_at", kind="supply.kind")
# What was told since does not make a case end: it lasts until it can't be seen any more.
_IS_OPEN = """EXISTS (
    SELECT FROM stock_difference AS known
    WHERE known.item_id = {level}.item_id AND known.location_id = {level}.location_id
      AND known.subject = {reference} AND known.healed_at IS NULL AND known.resolved_at IS NULL)"""
_IS_OPEN_DEMAND = _IS_OPEN.format(level="demand", reference="demand.reference")
_DOCUMENT = "regexp_replace(posting.document, '/[^/]*$', '')"
_CHECKED = "checked.item_id, checked.location_id, checked.item, checked.place"
# Demand that is still subtracted and of which the ERP holds no document, or too small a one. The receipts of a day that
# is settled as a whole wait for one document: they are one case, once the last of them is late. An order's number is
# its own, so a document that carries it at a place where nothing was ordered is of this order; receipts of two stores
# may have the same number.
_WAITING = f"""
SELECT waiting.*, elsewhere.documents, false
FROM (
    SELECT checked.*, demand.kind, CASE count(*) WHEN 1 THEN min(demand.number) ELSE demand.reference END AS number,
           demand.reference, sum(demand.quantity - COALESCE(demand.covered, 0)), sum(demand.quantity), told.quantity,
           min(demand.effective_at) AS since, {_LATE_DEMAND} AS late, min(demand.id) AS oldest
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
                             AND posting.source = %(source)s AND posting.posted
                             AND (posting.told_by = '' OR posting.item_id = demand.item_id))
          ELSE told.quantity < (
            SELECT sum(twin.quantity) FROM stock_demand AS twin
            WHERE twin.item_id = demand.item_id AND twin.location_id = demand.location_id
              AND twin.reference = demand.reference AND twin.state IN {LIVE}) END
    GROUP BY {_CHECKED}, demand.item_id, demand.location_id, demand.kind, demand.reference, told.quantity
    HAVING {_LATE_DEMAND} OR {_IS_OPEN_DEMAND}) AS waiting
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT {_DOCUMENT} || ' at ' || place.code) AS documents
    FROM stock_posting AS posting
    JOIN location AS place ON place.id = posting.location_id AND place.stock_source = posting.source
    WHERE waiting.kind <> 'sale' AND posting.reference = waiting.reference AND posting.item_id = waiting.item_id
      AND posting.location_id <> waiting.location_id AND posting.posted AND posting.quantity > 0
      AND NOT EXISTS (
            SELECT FROM stock_demand AS twin
            WHERE twin.reference = posting.reference AND twin.item_id = posting.item_id
              AND twin.location_id = posting.location_id)) AS elsewhere
ORDER BY waiting.since, waiting.oldest
"""
# Supply that the hub has not sent to the ERP. If the ERP contains it all the same, it is offered twice.
_SUPPLY = f"""
SELECT checked.*, min(supply.kind), supply.number, upper(supply.number), sum(supply.quantity), sum(supply.quantity),
       told.quantity, min(supply.effective_at), {_LATE_SUPPLY}, NULL::text[], true
FROM checked_level AS checked
JOIN stock_supply AS supply USING (item_id, location_id)
CROSS JOIN LATERAL (
    SELECT COALESCE(-sum(posting.quantity), 0) AS quantity FROM stock_posting AS posting
    WHERE posting.reference = upper(supply.number) AND posting.item_id = supply.item_id
      AND posting.location_id = supply.location_id AND posting.source = %(source)s AND posting.posted
      AND posting.quantity < 0) AS told
WHERE supply.state = 'open' AND supply.counted AND supply.push_sent IS NULL
GROUP BY {_CHECKED}, supply.item_id, supply.location_id, supply.kind, supply.number, told.quantity
HAVING told.quantity > 0 OR {_LATE_SUPPLY} OR {_IS_OPEN.format(level="supply", reference="upper(supply.number)")}
ORDER BY min(supply.effective_at), min(supply.id)
"""
# How numbers look: with letters, all of one kind have the same, and digits that count. A number of digits alone looks
# like one of the same length that begins as it does; an ERP's own numbers are of digits too.
_FORM = """CASE WHEN {reference} ~ '^[0-9]+$'
    THEN rpad(left({reference}, length({reference}) / 2), length({reference}), '#')
    ELSE regexp_replace(upper({reference}), '[0-9]+', '9', 'g') END"""
_FORMS_OF_STORE = f"""
    SELECT {_FORM.format(reference="recent.reference")}
    FROM (SELECT reference FROM store_sale WHERE store_sale.location_id = {{place}}
          ORDER BY business_date DESC LIMIT 100) AS recent"""
# A surplus can only have come with a document that has changed since the last round. Those that were found are looked
# at for as long as they are open; all that was ever posted at a level is not.
_RECENT = """(SELECT COALESCE(min(tick), 0) FROM tick_time
              WHERE drawn_at >= clock_timestamp() - make_interval(secs => 3600 * (2 * %(sale_hours)s + 48)))"""
# More than was sold under the number; or under a number that nobody told, in the form of the store's own numbers.
_SURPLUS = f"""
SELECT checked.*, asked.reference, CASE WHEN sold.known THEN sold.quantity END, stands.quantity, stands.documents,
       stands.quantities, COALESCE(sold.whole, false),
       stands.changed_at < clock_timestamp() - make_interval(secs => 3600 * %(sale_hours)s)
FROM (SELECT posting.item_id, posting.location_id, posting.reference
      FROM checked_level JOIN stock_posting AS posting USING (item_id, location_id)
      WHERE posting.changed >= {_RECENT} AND posting.source = %(source)s AND posting.reference <> ''
      UNION
      SELECT known.item_id, known.location_id, known.subject
      FROM checked_level JOIN stock_difference AS known USING (item_id, location_id)
      WHERE known.healed_at IS NULL AND known.resolved_at IS NULL AND known.subject <> '') AS asked
JOIN checked_level AS checked USING (item_id, location_id)
CROSS JOIN LATERAL (
    SELECT sum(quantity) AS quantity, array_agg(document) FILTER (WHERE quantity > 0) AS documents,
           array_agg(quantity) FILTER (WHERE quantity > 0) AS quantities, max(changed_at) AS changed_at
    FROM (SELECT {_DOCUMENT} AS document, sum(posting.quantity) AS quantity, max(posting.changed_at) AS changed_at
          FROM stock_posting AS posting
          WHERE posting.reference = asked.reference AND posting.item_id = asked.item_id
            AND posting.location_id = asked.location_id AND posting.source = %(source)s AND posting.posted
          GROUP BY 1 ORDER BY 1) AS document) AS stands
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(demand.quantity) FILTER (WHERE demand.state <> 'released'), 0) AS quantity,
           count(*) > 0 AS known, bool_or(demand.whole) AS whole,
           COALESCE(bool_or(demand.state = 'reversed'), false) AS reversed
    FROM (SELECT quantity, whole, state FROM stock_demand
          WHERE item_id = asked.item_id AND location_id = asked.location_id AND reference = asked.reference
            AND state IN {LIVE}
          UNION ALL
          SELECT quantity, whole, state FROM stock_demand
          WHERE item_id = asked.item_id AND location_id = asked.location_id AND reference = asked.reference
            AND state IN {_ENDED}) AS demand) AS sold
WHERE stands.quantity > sold.quantity AND NOT sold.reversed
  AND (sold.known
       OR {_FORM.format(reference="asked.reference")} IN ({_FORMS_OF_STORE.format(place="asked.location_id")}))
ORDER BY asked.reference
"""
# A day that was settled covers all that was sold on it, so a settlement of less leaves the rest in the ERP's number. Of
# receipts that only bring an article back, the sale alone tells.
_SHORT = f"""
SELECT {_CHECKED}, day.reference, day.sold - back.quantity, stands.quantity, stands.documents, NULL::numeric[], true,
       stands.changed_at < clock_timestamp() - make_interval(secs => 3600 * %(sale_hours)s)
FROM (SELECT demand.item_id, demand.location_id, demand.reference, sum(demand.quantity) AS sold,
             sum(demand.returned) AS returned, min(demand.effective_at)::date - 2 AS first_day,
             max(demand.effective_at)::date + 2 AS last_day
      FROM checked_level JOIN stock_demand AS demand USING (item_id, location_id)
      WHERE demand.whole AND (demand.state IN {LIVE} OR demand.state = 'posted' AND {_IS_OPEN_DEMAND})
      GROUP BY 1, 2, 3) AS day
JOIN checked_level AS checked USING (item_id, location_id)
JOIN location AS place ON place.id = day.location_id
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(posting.quantity) FILTER (WHERE posting.item_id = day.item_id), 0) AS quantity,
           array_agg(DISTINCT {_DOCUMENT}) AS documents, max(posting.changed_at) AS changed_at
    FROM stock_posting AS posting
    WHERE posting.reference = day.reference AND posting.location_id = day.location_id
      AND posting.source = %(source)s AND posting.posted) AS stands
CROSS JOIN LATERAL (
    SELECT GREATEST(day.returned, COALESCE(sum(part.quantity), 0)) AS quantity
    FROM store_sale AS told
    CROSS JOIN LATERAL jsonb_array_elements(told.returns) AS line
    CROSS JOIN LATERAL stock_parts(jsonb_build_array(line || jsonb_build_object('location', place.code)), true) AS part
    WHERE stands.documents IS NOT NULL AND stands.quantity < day.sold - day.returned
      AND told.location_id = day.location_id AND told.business_date BETWEEN day.first_day AND day.last_day
      AND told.reference = day.reference AND part.item_id = day.item_id) AS back
WHERE stands.documents IS NOT NULL AND stands.quantity < day.sold - back.quantity
ORDER BY day.reference
"""
_TOLD = """
SELECT posting.item_id, posting.location_id, regexp_replace(posting.document, '/told$', '')
FROM unnest(%s::bigint[], %s::bigint[]) AS asked(item_id, location_id)
JOIN stock_posting AS posting USING (item_id, location_id)
WHERE posting.told_by <> '' AND posting.posted
"""
_OURS = f"""
WITH asked AS (
    SELECT * FROM unnest(%(items)s::bigint[], %(places)s::bigint[], %(references)s::text[])
        AS told(item_id, location_id, reference)
    WHERE reference <> '')
SELECT item_id, location_id, reference, demand.kind = 'sale' FROM asked
JOIN stock_demand AS demand USING (item_id, location_id, reference) WHERE demand.state IN {LIVE}
UNION
SELECT asked.item_id, location_id, reference, demand.kind = 'sale' FROM asked
JOIN stock_demand AS demand USING (location_id, reference) WHERE demand.state IN {_ENDED}
UNION
SELECT asked.item_id, asked.location_id, reference, false FROM asked
JOIN stock_supply AS supply USING (item_id, location_id)
WHERE supply.state = 'open' AND upper(supply.number) = reference
UNION
SELECT item_id, location_id, reference, true FROM asked
WHERE {_FORM.format(reference="asked.reference")} IN ({_FORMS_OF_STORE.format(place="asked.location_id")})
"""


def find_waiting(connection: psycopg.Connection, source: str, rules: StockSettings) -> list[Waiting]:
    """Return demand and supply that is late, or was so when it was found; the oldest first."""
    values = {"source": source, **_hours(rules)}
    return [_waiting(*row) for statement in (_WAITING, _SUPPLY) for row in connection.execute(statement, values)]


def find_surplus(connection: psycopg.Connection, source: str, rules: StockSettings) -> list[Surplus]:
    """Return documents that took more than was sold under their number, or settle less than the store has told."""
    values = {"source": source, **_hours(rules)}
    rows = [*connection.execute(_SURPLUS, values), *connection.execute(_SHORT, values)]
    return [
        Surplus(level_of(named), reference, wanted, posted, tuple(documents or ()), tuple(each or ()), settles, late)
        for *named, reference, wanted, posted, documents, each, settles, late in rows
    ]


def load_taken(connection: psycopg.Connection, levels: Collection[Level]) -> set[tuple[tuple[int, int], str]]:
    """Return the documents of which a person has told what they stand for, by level."""
    ids = [level.item_id for level in levels], [level.location_id for level in levels]
    return {((int(item), int(place)), str(document)) for item, place, document in connection.execute(_TOLD, ids)}


def load_ours(
    connection: psycopg.Connection, asked: Mapping[Level, Collection[str]]
) -> dict[tuple[int, int], tuple[frozenset[str], frozenset[str]]]:
    """Return of each level which of its references are numbers of ours, and which of those of store sales."""
    pairs = [(level, reference) for level, references in asked.items() for reference in sorted(references)]
    values: dict[str, Sequence[object]] = {
        "items": [level.item_id for level, _ in pairs],
        "places": [level.location_id for level, _ in pairs],
        "references": [reference for _, reference in pairs],
    }
    rows = connection.execute(_OURS, values).fetchall()
    ours: dict[tuple[int, int], set[str]] = {level.ids: set() for level in asked}
    sales: dict[tuple[int, int], set[str]] = {level.ids: set() for level in asked}
    for item, place, reference, is_sale in rows:
        ours[item, place].add(reference)
        if is_sale:
            sales[item, place].add(reference)
    return {ids: (frozenset(names), frozenset(sales[ids])) for ids, names in ours.items()}


def _hours(rules: StockSettings) -> dict[str, float]:
    return {"sale_hours": rules.sale_late_after_hours, "order_hours": rules.order_late_after_hours}


def _waiting(*row: Any) -> Waiting:  # noqa: ANN401 - the columns of a statement
    kind, number, reference, quantity, wanted, posted, since, late, *_, elsewhere, brings = row[4:]
    values = (kind, number, reference, quantity, wanted, posted, since, late)
    return Waiting(level_of(row[:4]), *values, tuple(elsewhere or ()), brings)
