"""What the database knows of the levels that are checked, as the rules want it.

Every question is about the levels in the temporary table `checked_level`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.contracts import StockKey
from hub.reconcile.rules import Change, Known, Level, Off, Surplus, Waiting
from hub.stock.coverage import LIVE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    import psycopg

    from hub.settings import StockSettings
    from hub.sync.staging import StagedRead

_CREATE = "CREATE TEMP TABLE checked_level (item_id bigint, location_id bigint, item text, place text)"
_NAMED = """
SELECT level.item_id, level.location_id, min(item.external_id), min(place.external_id)
FROM {levels} AS level
JOIN location ON location.id = level.location_id AND location.stock_source = %(source)s AND location.active
JOIN external_reference AS item ON item.our_id = level.item_id AND item.kind = 'item' AND item.system = %(source)s
JOIN external_reference AS place
  ON place.our_id = level.location_id AND place.kind = 'location' AND place.system = %(source)s
GROUP BY 1, 2
"""
_CHOOSE_SOME = "INSERT INTO checked_level " + _NAMED.format(
    levels="unnest(%(items)s::bigint[], %(places)s::bigint[])"
).replace("AS level\n", "AS level(item_id, location_id)\n")
# What a full read names counts too, though no level of it may be kept yet.
_CHOOSE_ALL = "INSERT INTO checked_level " + _NAMED.format(
    levels="(SELECT item_id, location_id FROM stock_level UNION SELECT item_id, location_id FROM staged_level)"
)
_DROP_DUE = """
DELETE FROM checked_level AS checked USING stock_due AS due
WHERE due.source = %s AND due.item = checked.item AND due.location = checked.place
"""
_NEAR = """COALESCE((SELECT sum((part ->> 'quantity')::numeric) FROM jsonb_array_elements(staged.unsellable) AS part
                  WHERE part ->> 'status' = 'expiring' AND part ->> 'owner' = ''), 0)"""
# Between an unchanged level's own read and the last complete snapshot nothing changed: that snapshot is its base. An
# item that became known later has none.
_CHANGES = f"""
SELECT * FROM (
    SELECT checked.*, COALESCE(level.on_hand, 0) + COALESCE(near.quantity, 0) AS before,
           COALESCE(staged.on_hand + {_NEAR}, 0) AS now, base.tick,
           COALESCE((SELECT drawn_at FROM tick_time WHERE tick <= base.tick ORDER BY tick DESC LIMIT 1),
                    clock_timestamp() - interval '30 days'),
           staged.item_id IS NULL
    FROM checked_level AS checked
    JOIN stock_floor AS floor USING (location_id)
    LEFT JOIN staged_level AS staged USING (item_id, location_id)
    LEFT JOIN stock_level AS level USING (item_id, location_id)
    LEFT JOIN stock_unsellable AS near
      ON near.item_id = checked.item_id AND near.location_id = checked.location_id
     AND near.status = 'expiring' AND near.owner = ''
    CROSS JOIN LATERAL (SELECT GREATEST(COALESCE(level.read_began, 0), floor.read_began) AS tick) AS base
    WHERE (staged.item_id IS NOT NULL OR %(everything)s)
      AND COALESCE(staged.read_began, %(began)s) > base.tick
      AND level.on_hand IS DISTINCT FROM staged.on_hand AND level.doubted_at IS NULL
      AND (level.read_began > floor.read_began OR EXISTS (
            SELECT FROM external_reference AS reference JOIN feed ON feed.source = reference.system
            WHERE reference.system = %(source)s AND reference.kind = 'item'
              AND reference.our_id = checked.item_id AND reference.linked_at < feed.full_read_at))
      AND NOT EXISTS (SELECT FROM stock_due AS due
                      WHERE due.source = %(source)s AND due.item = checked.item AND due.location = checked.place)
) AS found
WHERE before <> now
ORDER BY item_id, location_id
"""
# Demand that is still subtracted and of which the ERP holds no document, or too small a one. The receipts of a day that
# is settled as a whole wait for one document: they are one case, once the last of them is late.
_WAITING = f"""
SELECT checked.*, demand.kind, CASE count(*) WHEN 1 THEN min(demand.number) ELSE demand.reference END,
       demand.reference, sum(demand.quantity - COALESCE(demand.covered, 0)), sum(demand.quantity), told.quantity,
       min(demand.effective_at)
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
HAVING max(demand.effective_at) < clock_timestamp() - make_interval(
    secs => 3600 * CASE demand.kind WHEN 'sale' THEN %(sale_hours)s ELSE %(order_hours)s END)
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
_LAST = """(SELECT entry.quantity_after FROM stock_ledger AS entry
            WHERE entry.item_id = level.item_id AND entry.location_id = level.location_id
              AND entry.status = '{status}' AND entry.owner = '' ORDER BY entry.id DESC LIMIT 1)"""
_OF_LEVEL = "item_id = level.item_id AND location_id = level.location_id"
# One statement sees one moment, and every writer changes a sum and its rows in one transaction.
_OFF = f"""
SELECT * FROM (
    SELECT checked.*,
           level.held - COALESCE((SELECT sum(quantity) FROM hold_bucket WHERE {_OF_LEVEL}), 0) AS held,
           level.demand - COALESCE((SELECT sum(quantity - COALESCE(covered, 0)) FROM stock_demand
                                    WHERE {_OF_LEVEL} AND state IN {LIVE}), 0) AS demand,
           level.supply - COALESCE((SELECT sum(quantity) FROM stock_supply
                                    WHERE {_OF_LEVEL} AND state = 'open' AND counted), 0) AS supply,
           level.on_hand - COALESCE({_LAST.format(status="sellable")}, 0) AS on_hand_of_ledger,
           level.demand - COALESCE({_LAST.format(status="demand")}, 0) AS demand_of_ledger,
           level.supply - COALESCE({_LAST.format(status="supply")}, 0) AS supply_of_ledger,
           COALESCE((SELECT sum(held) FROM stock_pool WHERE {_OF_LEVEL}), 0) - COALESCE((
                SELECT sum(part.quantity) FROM (
                    SELECT channel, quantity FROM hold_bucket WHERE {_OF_LEVEL}
                    UNION ALL
                    SELECT channel, quantity - COALESCE(covered, 0) FROM stock_demand
                    WHERE {_OF_LEVEL} AND state IN {LIVE}) AS part
                JOIN stock_pool AS pool ON pool.channel = part.channel
                 AND pool.item_id = level.item_id AND pool.location_id = level.location_id), 0) AS pools
    FROM checked_level AS checked JOIN stock_level AS level USING (item_id, location_id)) AS sums
WHERE (held, demand, supply, on_hand_of_ledger, demand_of_ledger, supply_of_ledger, pools)
      IS DISTINCT FROM (0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric)
ORDER BY item_id, location_id
"""
_SUMS = ("held", "demand", "supply", "on_hand_of_ledger", "demand_of_ledger", "supply_of_ledger", "pools")
_FACTORS = "SELECT item_id, factor FROM barcode WHERE item_id = ANY(%s) AND factor <> 1 ORDER BY item_id, factor"
_KNOWN = """
SELECT document, reference, quantity, posted, changed < %(base)s FROM stock_posting
WHERE item_id = %(item)s AND location_id = %(location)s AND source = %(source)s AND changed_at >= %(since)s
"""
_MAPPING = """
SELECT mapping_version FROM stock_batch WHERE source = %s AND state = 'applied' AND started_at <= %s
ORDER BY id DESC LIMIT 1
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


def choose_levels(
    connection: psycopg.Connection, source: str, levels: Collection[tuple[int, int]] | None
) -> dict[tuple[int, int], Level]:
    """Make `checked_level` hold some levels of a source, or all that are kept or staged (None).

    Returns those that were chosen by name.
    """
    connection.execute("DROP TABLE IF EXISTS checked_level")
    connection.execute(_CREATE)
    if levels is None:
        connection.execute(_CHOOSE_ALL, {"source": source})
        connection.execute("ANALYZE checked_level")
        return {}
    items, places = [item for item, _ in levels], [place for _, place in levels]
    connection.execute(_CHOOSE_SOME, {"source": source, "items": items, "places": places})
    return {level.ids: level for level in map(_level, connection.execute("SELECT * FROM checked_level"))}


def leave_out_due(connection: psycopg.Connection, source: str) -> None:
    """Take levels out of `checked_level` that are due to be read: something is under way there."""
    connection.execute(_DROP_DUE, (source,))


def find_changes(connection: psycopg.Connection, read: StagedRead, *, everything: bool) -> list[Change]:
    """Return where a staged read says another quantity than the base; `everything`: what it does not name is zero."""
    values = {"source": read.source, "everything": everything, "began": read.first_began}
    found: list[Change] = []
    for *named, before, now, base, base_at, absent in connection.execute(_CHANGES, values):
        level = _level(named)
        if not (absent and read.unknown.may_hide(level.key)):
            found.append(Change(level, before, now, int(base), base_at))
    return found


def find_waiting(connection: psycopg.Connection, source: str, rules: StockSettings) -> list[Waiting]:
    """Return demand that is late."""
    rows = connection.execute(_WAITING, {"source": source, **_hours(rules)})
    return [Waiting(_level(row[:4]), *row[4:]) for row in rows]


def find_surplus(connection: psycopg.Connection, source: str, rules: StockSettings) -> list[Surplus]:
    """Return documents that took more than was sold under their number."""
    rows = connection.execute(_SURPLUS, {"source": source, **_hours(rules)})
    return [
        Surplus(_level(named), reference, wanted, posted, tuple(documents or ()), settles, late)
        for *named, reference, wanted, posted, documents, settles, late in rows
    ]


def find_off(connection: psycopg.Connection) -> list[Off]:
    """Return levels whose sums are not those of their rows."""
    return [
        Off(_level(row[:4]), {name: by for name, by in zip(_SUMS, row[4:], strict=True) if by})
        for row in connection.execute(_OFF)
    ]


def load_factors(connection: psycopg.Connection, levels: Iterable[Level]) -> Mapping[int, Sequence[Decimal]]:
    """Return the contents of the articles' packages (装箱数), by item."""
    found: dict[int, list[Decimal]] = {}
    for item, factor in connection.execute(_FACTORS, (list({level.item_id for level in levels}),)):
        found.setdefault(int(item), []).append(factor)
    return found


def load_known(
    connection: psycopg.Connection, source: str, level: Level, base: int, since: datetime
) -> dict[str, Known]:
    """Return the lines that the list learned of since a moment, by document; `base` is the tick the base began at."""
    values = {"source": source, "item": level.item_id, "location": level.location_id, "base": base, "since": since}
    rows = connection.execute(_KNOWN, values)
    return {str(document): Known(str(document), *rest) for document, *rest in rows}


def load_ours(
    connection: psycopg.Connection, level: Level, references: Collection[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return which of the references are numbers of ours, and which of those are numbers of store sales."""
    values = {"item": level.item_id, "location": level.location_id, "references": sorted(references)}
    rows = connection.execute(_OURS, values).fetchall()
    return frozenset(name for name, _ in rows), frozenset(name for name, is_sale in rows if is_sale)


def mapping_at(connection: psycopg.Connection, source: str, moment: datetime) -> str:
    """Return the version of the mapping files at a moment; empty when nothing was read before it."""
    row = connection.execute(_MAPPING, (source, moment)).fetchone()
    return "" if row is None else str(row[0])


def _hours(rules: StockSettings) -> dict[str, float]:
    return {"sale_hours": rules.sale_late_after_hours, "order_hours": rules.order_late_after_hours}


def _level(row: Sequence[object]) -> Level:
    item_id, location_id, item, place = row
    return Level(int(str(item_id)), int(str(location_id)), StockKey(str(item), str(place)))
