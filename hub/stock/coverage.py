"""Which demand the base of a level contains, and which supply it surely does not. Part of applying a read.

Demand is covered as far as lines of documents with its number stand in the list before the read began and in the list
that was brought up to date after it had ended, with the same version. Supply counts while it was not sent to the ERP,
or sent after the read had ended. The two rules differ on purpose: what is not known counts against us in either.

All of it happens under the locks of the levels, for those in the table `fresh_level`, whose `was` is the tick at which
the read began that was in force before (0 for none), and whose `settles` says whether there is anything to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

LIVE = "('open', 'cancel_pending')"


def settles(level: str, base: str) -> str:
    """Return the condition that a new base of a level may change what is covered or counted.

    Args:
        level: alias of what has the level's item_id and location_id.
        base: the tick at which the read in force began.
    """
    of_level = f"item_id = {level}.item_id AND location_id = {level}.location_id"
    return f"""(
        EXISTS (SELECT FROM stock_demand WHERE {of_level} AND state IN {LIVE}
                AND (whole OR covered IS DISTINCT FROM quantity))
        OR EXISTS (SELECT FROM stock_posting WHERE {of_level} AND changed >= {base})
        OR EXISTS (SELECT FROM stock_supply WHERE {of_level} AND state = 'open'))"""


def is_open(level: str) -> str:
    """Return the condition that anything on a level depends on what is known of the ERP's documents."""
    of_level = f"item_id = {level}.item_id AND location_id = {level}.location_id"
    return f"""(
        EXISTS (SELECT FROM stock_demand WHERE {of_level} AND state IN {LIVE})
        OR EXISTS (SELECT FROM stock_supply WHERE {of_level} AND state = 'open'))"""


# Demand that is posted for good has its part of what is contained, and is judged again only when a document changes.
# What a person tells of a day's settlement is of one article; the ERP's own document is of all.
# Only numbers of which a line changed since the base that was in force began, or that were never looked at: of all
# others the same lines stand in the new lists as in the old ones.
_COVER = f"""
CREATE TEMP TABLE fresh_cover ON COMMIT DROP AS
WITH asked AS (
    SELECT posting.item_id, posting.location_id, posting.reference
    FROM fresh_level AS fresh JOIN stock_posting AS posting USING (item_id, location_id)
    WHERE fresh.settles AND posting.changed >= fresh.was AND posting.reference <> ''
    UNION
    SELECT demand.item_id, demand.location_id, demand.reference
    FROM fresh_level AS fresh JOIN stock_demand AS demand USING (item_id, location_id)
    WHERE fresh.settles AND demand.state IN {LIVE}
      AND (demand.covered IS NULL
           OR demand.whole AND EXISTS (
                SELECT FROM stock_posting AS posting
                WHERE posting.reference = demand.reference AND posting.location_id = demand.location_id
                  AND posting.changed >= fresh.was))),
summed AS (
    SELECT asked.*, fresh.read_began, place.stock_source, posted.taken, posted.brought, booked.sold, booked.returned,
           booked.done
    FROM asked JOIN fresh_level AS fresh USING (item_id, location_id)
    JOIN location AS place ON place.id = asked.location_id
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(posting.quantity) FILTER (WHERE posting.quantity > 0), 0) AS taken,
               COALESCE(-sum(posting.quantity) FILTER (WHERE posting.quantity < 0), 0) AS brought
        FROM stock_posting AS posting
        WHERE posting.reference = asked.reference AND posting.item_id = asked.item_id
          AND posting.location_id = asked.location_id
          AND posting.source = place.stock_source AND posting.posted
          AND posting.changed < fresh.read_began) AS posted
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(demand.quantity), 0) AS sold, COALESCE(sum(demand.returned), 0) AS returned,
               COALESCE(sum(demand.quantity) FILTER (WHERE demand.state = 'posted'), 0) AS done
        FROM stock_demand AS demand
        WHERE demand.reference = asked.reference AND demand.item_id = asked.item_id
          AND demand.location_id = asked.location_id AND NOT demand.whole
          AND demand.state IN ('open', 'cancel_pending', 'posted')) AS booked),
contained AS (
    SELECT summed.*, CASE WHEN returned > 0 AND taken > 0 AND taken - brought >= sold - returned THEN sold
                          ELSE taken - GREATEST(brought - returned, 0) END - done AS quantity
    FROM summed),
shared AS (
    SELECT demand.id, demand.quantity,
           CASE WHEN NOT demand.whole
                THEN contained.quantity - (sum(demand.quantity) OVER earlier - demand.quantity)
                WHEN EXISTS (
                    SELECT FROM stock_posting AS posting
                    WHERE posting.reference = contained.reference AND posting.location_id = contained.location_id
                      AND posting.source = contained.stock_source AND posting.posted
                      AND (posting.told_by = '' OR posting.item_id = contained.item_id)
                      AND posting.changed < contained.read_began)
                THEN demand.quantity ELSE 0 END AS left_over
    FROM contained JOIN stock_demand AS demand USING (item_id, location_id, reference)
    WHERE demand.state IN {LIVE}
    WINDOW earlier AS (
        PARTITION BY demand.item_id, demand.location_id, demand.reference, demand.whole ORDER BY demand.id))
SELECT demand.id, demand.item_id, demand.location_id, demand.channel, demand.kind, demand.number,
       COALESCE(demand.covered, 0) AS before, LEAST(GREATEST(shared.left_over, 0), demand.quantity) AS covered
FROM shared JOIN stock_demand AS demand USING (id)
"""
_WRITE_COVERED = """
UPDATE stock_demand AS demand SET covered = fresh.covered FROM fresh_cover AS fresh WHERE demand.id = fresh.id
"""
# What the base contains no more of a channel's pool is gone from the pool as well.
_POOLS = """
UPDATE stock_pool AS pool
SET held = pool.held - moved.quantity,
    ring_fenced = CASE WHEN pool.ring_fenced IS NOT NULL THEN GREATEST(pool.ring_fenced - moved.quantity, 0) END
FROM (SELECT item_id, location_id, channel, sum(covered - before) AS quantity
      FROM fresh_cover GROUP BY 1, 2, 3) AS moved
WHERE pool.item_id = moved.item_id AND pool.location_id = moved.location_id AND pool.channel = moved.channel
  AND moved.quantity <> 0
"""
_COUNT = """
CREATE TEMP TABLE fresh_count ON COMMIT DROP AS
SELECT supply.id, supply.item_id, supply.location_id, supply.quantity, supply.kind, supply.number,
       supply.counted AS before, COALESCE(supply.push_sent > fresh.read_ended, true) AS counted
FROM fresh_level AS fresh JOIN stock_supply AS supply USING (item_id, location_id)
WHERE fresh.settles AND supply.state = 'open'
"""
_WRITE_COUNTED = """
UPDATE stock_supply AS supply SET counted = fresh.counted
FROM fresh_count AS fresh WHERE supply.id = fresh.id AND supply.counted <> fresh.counted
"""
_MOVED = """
    SELECT item_id, location_id, 'demand' AS status, before - covered AS moved, kind, number, id FROM fresh_cover
    WHERE covered <> before
    UNION ALL
    SELECT item_id, location_id, 'supply', CASE WHEN counted THEN quantity ELSE -quantity END, kind, number, id
    FROM fresh_count WHERE counted <> before
"""
_LEDGER = f"""
INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source, batch_id,
                          read_began, read_ended, effective_at)
SELECT item_id, location_id, entry.status, stood + (sum(moved) OVER so_far - moved), stood + sum(moved) OVER so_far,
       entry.kind || ' in base', entry.number, %(batch)s, fresh.read_began, fresh.read_ended, clock_timestamp()
FROM ({_MOVED}) AS entry
JOIN fresh_level AS fresh USING (item_id, location_id)
JOIN stock_level AS level USING (item_id, location_id)
CROSS JOIN LATERAL (SELECT CASE entry.status WHEN 'demand' THEN level.demand ELSE level.supply END AS stood) AS sums
WINDOW so_far AS (PARTITION BY item_id, location_id, entry.status ORDER BY entry.id)
ORDER BY item_id, location_id, entry.status, entry.id
"""
_LEVELS = f"""
UPDATE stock_level AS level
SET demand = level.demand + moved.demand, supply = level.supply + moved.supply, changed_at = clock_timestamp()
FROM (SELECT item_id, location_id, COALESCE(sum(moved) FILTER (WHERE status = 'demand'), 0) AS demand,
             COALESCE(sum(moved) FILTER (WHERE status = 'supply'), 0) AS supply
      FROM ({_MOVED}) AS entry GROUP BY 1, 2) AS moved
WHERE level.item_id = moved.item_id AND level.location_id = moved.location_id
"""


def settle(connection: psycopg.Connection, batch_id: int) -> None:
    """Judge demand and supply of the levels in `fresh_level` by their new bases, in the caller's transaction."""
    connection.execute(_COVER)
    connection.execute(_WRITE_COVERED)
    connection.execute(_POOLS)
    connection.execute(_COUNT)
    connection.execute(_WRITE_COUNTED)
    connection.execute(_LEDGER, {"batch": batch_id})
    connection.execute(_LEVELS)
