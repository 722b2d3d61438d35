"""Applying a staged read to the levels, in one transaction, by the rules of the base triple.

A read replaces the base of a level only if it began later than the read in force. What a complete snapshot does not
name is zero. A snapshot that is empty or sharply shrunk is not applied. See docs/stock.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.contracts import StockKey
from hub.db.rows import one_value
from hub.stock.coverage import is_open, settle, settles

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

    from hub.settings import StockSettings
    from hub.sync.staging import StagedRead

MOST_NAMED = 1000
"""So many changed levels are named; when there are more, their number tells."""

# Appliers of one source take turns: within the turn, the base of its levels changes by nobody else.
_TURN = "SELECT pg_advisory_xact_lock(hashtext('oneshelf.stock_base'), hashtext(%s))"

_FRESH = """
CREATE TEMP TABLE fresh_level ON COMMIT DROP AS
SELECT staged.*, level.on_hand AS before, COALESCE(level.read_began, 0) AS was, {settles} AS settles
FROM staged_level AS staged
LEFT JOIN stock_level AS level USING (item_id, location_id)
LEFT JOIN stock_floor AS floor USING (location_id)
WHERE staged.read_began > COALESCE(level.read_began, 0) AND staged.read_began > COALESCE(floor.read_began, 0)
  AND {may_be_judged}
"""
# A snapshot leaves levels that are as it says without a trace, and these are nearly all of them.
_OTHER = """
  AND (level.on_hand IS DISTINCT FROM staged.on_hand OR level.doubted_at IS NOT NULL OR staged.unsellable IS NOT NULL
       OR EXISTS (SELECT FROM stock_unsellable AS apart
                  WHERE apart.item_id = staged.item_id AND apart.location_id = staged.location_id)
       OR {settles})
"""
# Something has been sold there since it was decided that nobody need look at the documents.
_NOT_LISTED = f"""
SELECT item.external_id, location.external_id
FROM staged_level AS staged
JOIN external_reference AS item ON item.our_id = staged.item_id AND item.kind = 'item' AND item.system = %(source)s
JOIN external_reference AS location
  ON location.our_id = staged.location_id AND location.kind = 'location' AND location.system = %(source)s
WHERE {is_open("staged")}
"""
# Newer than the level's own read, yet not newer than the last complete snapshot, in which an unchanged level leaves no
# trace: it may be older than what that snapshot saw. Reading it once more settles it.
_BELOW_FLOOR = """
WITH below AS MATERIALIZED (
    SELECT staged.* FROM staged_level AS staged JOIN stock_floor AS floor USING (location_id)
    WHERE staged.read_began <= floor.read_began)
SELECT item.external_id, location.external_id
FROM below
LEFT JOIN stock_level AS level USING (item_id, location_id)
JOIN external_reference AS item ON item.our_id = below.item_id AND item.kind = 'item' AND item.system = %(source)s
JOIN external_reference AS location
  ON location.our_id = below.location_id AND location.kind = 'location' AND location.system = %(source)s
WHERE below.read_began > COALESCE(level.read_began, 0)
"""
_ABSENT = """
WITH missing AS MATERIALIZED (
    SELECT level.item_id, level.location_id, level.on_hand, level.read_began FROM stock_level AS level
    WHERE level.location_id = ANY(%(locations)s)
      AND NOT EXISTS (SELECT FROM staged_level AS staged
                      WHERE staged.item_id = level.item_id AND staged.location_id = level.location_id))
INSERT INTO fresh_level (item_id, location_id, on_hand, unsellable, read_began, read_ended, before, was, settles)
SELECT level.item_id, level.location_id, 0, NULL, %(began)s, %(ended)s, level.on_hand, level.read_began, {settles}
FROM missing AS level
LEFT JOIN stock_floor AS floor USING (location_id)
WHERE level.read_began < %(began)s AND COALESCE(floor.read_began, 0) < %(began)s
  AND {may_be_judged}
  AND (level.on_hand <> 0 OR {settles} OR EXISTS (
        SELECT FROM stock_unsellable AS apart
        WHERE apart.item_id = level.item_id AND apart.location_id = level.location_id))
  AND NOT EXISTS (
        SELECT FROM external_reference AS item
        JOIN external_reference AS place
          ON place.our_id = level.location_id AND place.kind = 'location' AND place.system = %(source)s
        WHERE item.our_id = level.item_id AND item.kind = 'item' AND item.system = %(source)s
          AND (item.external_id = ANY(%(unknown_items)s)
               OR (item.external_id, place.external_id) IN (
                    SELECT * FROM unnest(%(unknown_key_items)s::text[], %(unknown_key_locations)s::text[]))))
"""
_SHRINK = """
SELECT location.code, count(*) FILTER (WHERE level.on_hand > 0) AS stocked,
       count(*) FILTER (WHERE level.on_hand > 0 AND fresh.on_hand <= 0) AS vanishing
FROM stock_level AS level
JOIN location ON location.id = level.location_id
LEFT JOIN fresh_level AS fresh USING (item_id, location_id)
WHERE level.location_id = ANY(%(locations)s)
GROUP BY location.code ORDER BY location.code
"""
# A key read on purpose is written even if nothing changed: its ticks then refuse every older read of it.
_UPSERT = """
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended, changed_at)
SELECT item_id, location_id, on_hand, read_began, read_ended, clock_timestamp()
FROM fresh_level
WHERE %(every)s OR settles OR COALESCE(before, 0) <> on_hand OR (before IS NULL AND unsellable IS NOT NULL)
ORDER BY item_id, location_id
ON CONFLICT (item_id, location_id) DO UPDATE
SET on_hand = excluded.on_hand, read_began = excluded.read_began, read_ended = excluded.read_ended,
    changed_at = CASE WHEN stock_level.on_hand = excluded.on_hand THEN stock_level.changed_at
                      ELSE excluded.changed_at END
"""
# What holds at a place holds for levels that have just appeared there.
_BEGIN = """
SELECT stock_begin_levels(array_agg(item_id), array_agg(location_id)) FROM fresh_level
WHERE before IS NULL
  AND (EXISTS (SELECT FROM stock_rule) OR EXISTS (SELECT FROM stocktake WHERE thawed_at IS NULL))
"""
_APART = """
CREATE TEMP TABLE fresh_apart ON COMMIT DROP AS
SELECT COALESCE(new.item_id, old.item_id) AS item_id, COALESCE(new.location_id, old.location_id) AS location_id,
       COALESCE(new.status, old.status) AS status, COALESCE(new.owner, old.owner) AS owner,
       COALESCE(old.quantity, 0) AS before, COALESCE(new.quantity, 0) AS quantity,
       COALESCE(new.read_began, old.read_began) AS read_began, COALESCE(new.read_ended, old.read_ended) AS read_ended
FROM (SELECT fresh.item_id, fresh.location_id, part.status, part.owner, part.quantity,
             fresh.read_began, fresh.read_ended
      FROM fresh_level AS fresh,
           jsonb_to_recordset(fresh.unsellable) AS part(status text, owner text, quantity numeric)
      WHERE fresh.unsellable IS NOT NULL) AS new
FULL JOIN (SELECT apart.*, fresh.read_began, fresh.read_ended
           FROM stock_unsellable AS apart JOIN fresh_level AS fresh USING (item_id, location_id)) AS old
  USING (item_id, location_id, status, owner)
WHERE COALESCE(old.quantity, 0) <> COALESCE(new.quantity, 0)
"""
_APART_DELETE = """
DELETE FROM stock_unsellable AS apart USING fresh_apart AS fresh
WHERE fresh.quantity = 0 AND apart.item_id = fresh.item_id AND apart.location_id = fresh.location_id
  AND apart.status = fresh.status AND apart.owner = fresh.owner
"""
_APART_UPSERT = """
INSERT INTO stock_unsellable (item_id, location_id, status, owner, quantity)
SELECT item_id, location_id, status, owner, quantity FROM fresh_apart WHERE quantity <> 0
ORDER BY item_id, location_id, status, owner
ON CONFLICT (item_id, location_id, status, owner) DO UPDATE SET quantity = excluded.quantity
"""
_APART_TOUCH = """
UPDATE stock_level AS level SET changed_at = clock_timestamp()
FROM (SELECT DISTINCT item_id, location_id FROM fresh_apart) AS touched
WHERE level.item_id = touched.item_id AND level.location_id = touched.location_id
"""
# A level may be staged with a cause of its own, which its entry then names.
_LEDGER = """
INSERT INTO stock_ledger (item_id, location_id, status, owner, quantity_before, quantity_after, cause, source,
                          batch_id, read_began, read_ended, effective_at)
SELECT item_id, location_id, status, owner, before, quantity, COALESCE(cause, %(cause)s), %(source)s, %(batch)s,
       read_began, read_ended, clock_timestamp()
FROM (SELECT item_id, location_id, 'sellable' AS status, '' AS owner, COALESCE(before, 0) AS before,
             on_hand AS quantity, read_began, read_ended, cause
      FROM fresh_level WHERE COALESCE(before, 0) <> on_hand
      UNION ALL
      SELECT item_id, location_id, status, owner, before, quantity, read_began, read_ended, NULL
      FROM fresh_apart) AS entry
ORDER BY item_id, location_id, status, owner
"""
_FLOOR = """
INSERT INTO stock_floor (location_id, read_began)
SELECT unnest(%(locations)s::bigint[]), %(began)s
ON CONFLICT (location_id) DO UPDATE SET read_began = GREATEST(stock_floor.read_began, excluded.read_began)
"""
# Levels of which a part could not be understood, or that must be read again: they keep their number, and say its age.
_UNKNOWN = """
    EXISTS (SELECT FROM external_reference AS item
            JOIN external_reference AS place
              ON place.our_id = level.location_id AND place.kind = 'location' AND place.system = %(source)s
            WHERE item.our_id = level.item_id AND item.kind = 'item' AND item.system = %(source)s
              AND (%(everything)s OR item.external_id = ANY(%(unknown_items)s)
                   OR place.external_id = ANY(%(unknown_locations)s)
                   OR (item.external_id, place.external_id) IN (
                        SELECT * FROM unnest(%(unknown_key_items)s::text[], %(unknown_key_locations)s::text[]))))
"""
# Reservations lock several levels too. Whoever locks them in this order never waits for one that waits for him.
_LOCK = """
SELECT FROM stock_level AS level
WHERE (level.item_id, level.location_id) IN (SELECT item_id, location_id FROM fresh_level{others})
ORDER BY level.item_id, level.location_id
FOR NO KEY UPDATE
"""
_DOUBTFUL = f"level.location_id = ANY(%(locations)s) AND level.doubted_at IS NULL AND {_UNKNOWN}"
_LOCK_FRESH = _LOCK.format(others="")
_LOCK_ALL = _LOCK.format(others=f" UNION ALL SELECT item_id, location_id FROM stock_level AS level WHERE {_DOUBTFUL}")
_DOUBT = f"""
UPDATE stock_level AS level SET doubted_at = clock_timestamp()
WHERE {_DOUBTFUL}
"""
_TRUST = f"""
UPDATE stock_level AS level SET doubted_at = NULL
FROM fresh_level AS fresh
WHERE level.doubted_at IS NOT NULL AND level.item_id = fresh.item_id AND level.location_id = fresh.location_id
  AND NOT {_UNKNOWN}
"""
_IS_CHANGED = """
    (COALESCE(fresh.before, 0) <> fresh.on_hand
     OR (item_id, location_id) IN (SELECT item_id, location_id FROM fresh_apart)
     OR (item_id, location_id) IN (SELECT item_id, location_id FROM fresh_cover WHERE covered <> before)
     OR (item_id, location_id) IN (SELECT item_id, location_id FROM fresh_count WHERE counted <> before))
"""
_COUNT_CHANGED = f"SELECT count(*) FROM fresh_level AS fresh WHERE {_IS_CHANGED}"
_CHANGED = f"""
SELECT item.sku, location.code
FROM fresh_level AS fresh
JOIN item ON item.id = fresh.item_id JOIN location ON location.id = fresh.location_id
WHERE {_IS_CHANGED}
ORDER BY item.sku, location.code LIMIT {MOST_NAMED}
"""
# The levels of a whole chain are joined and grouped in memory, for the length of one transaction.
_ROOM = "SET LOCAL work_mem = '64MB'"


@dataclass(frozen=True, slots=True)
class Applied:
    """What an applied read changed, and which keys must be read once more to be sure of them."""

    changed: tuple[tuple[str, str], ...]
    """(sku, location code) of the levels whose quantities changed, in order; the first `MOST_NAMED` of them."""
    changed_count: int
    read_again: frozenset[StockKey]


class SuspiciousSnapshotError(Exception):
    """Raised when a snapshot is too small to be believed; its text says where and by how much."""


def take_turn(connection: psycopg.Connection, source: str) -> None:
    """Wait until no other transaction applies a read of the source, and let none begin before this one has ended."""
    connection.execute(_TURN, (source,))


def apply_full(
    connection: psycopg.Connection, read: StagedRead, batch_id: int, rules: StockSettings, *, accept_shrink: bool
) -> Applied:
    """Apply a complete snapshot of a source in the caller's transaction.

    Raises:
        SuspiciousSnapshotError: it is empty or sharply shrunk, and nobody has accepted that.
    """
    connection.execute(_ROOM)
    rule = _judgement(read, "staged", "COALESCE(level.read_began, 0)")
    take_turn(connection, read.source)
    connection.execute((_FRESH + _OTHER).format(**rule))
    whole = _understood_locations(read)
    if not read.unknown.everything:
        absent = _ABSENT.format(**_judgement(read, "level", "level.read_began"))
        connection.execute(absent, _absent_parameters(read, whole))
    if not accept_shrink:
        _refuse_shrunk(connection, read, rules)
    applied = _write(connection, read, batch_id, cause="snapshot", every=False)
    connection.execute(_FLOOR, {"locations": whole, "began": read.last_began})
    return applied


def apply_keys(connection: psycopg.Connection, read: StagedRead, batch_id: int, *, cause: str) -> Applied:
    """Apply a read of named keys in the caller's transaction."""
    take_turn(connection, read.source)
    connection.execute(_FRESH.format(**_judgement(read, "staged", "COALESCE(level.read_began, 0)")))
    return _write(connection, read, batch_id, cause=cause, every=True)


def _judgement(read: StagedRead, level: str, base: str) -> dict[str, str]:
    """Return how demand and supply of a level are judged: by a read with lists on either side, or not at all."""
    if read.listed:
        return {"settles": settles(level, base), "may_be_judged": "true"}
    return {"settles": "false", "may_be_judged": f"NOT {is_open(level)}"}


def _understood_locations(read: StagedRead) -> list[int]:
    return [place.id for code, place in read.places.items() if code not in read.unknown.locations]


def _absent_parameters(read: StagedRead, locations: Collection[int]) -> dict[str, object]:
    ticks = {"began": read.first_began, "ended": read.last_ended}
    return {**_unknown_parameters(read, read.unknown.keys), **ticks, "locations": list(locations)}


def _unknown_parameters(read: StagedRead, keys: Collection[StockKey]) -> dict[str, object]:
    ordered = sorted(keys, key=lambda key: (key.item, key.location))
    return {
        "source": read.source,
        "everything": read.unknown.everything,
        "unknown_items": list(read.unknown.items),
        "unknown_locations": list(read.unknown.locations),
        "unknown_key_items": [key.item for key in ordered],
        "unknown_key_locations": [key.location for key in ordered],
    }


def _refuse_shrunk(connection: psycopg.Connection, read: StagedRead, rules: StockSettings) -> None:
    places = [place.id for place in read.places.values()]
    rows = connection.execute(_SHRINK, {"locations": places}).fetchall()
    if read.rows == 0 and any(stocked for _, stocked, _ in rows):
        raise SuspiciousSnapshotError("the snapshot is empty while stock is on the books")
    shrunk = [
        f"{code}: {vanishing} of {stocked} stocked SKUs would vanish"
        for code, stocked, vanishing in rows
        if stocked >= rules.shrink_floor and vanishing > rules.max_shrink * stocked
    ]
    if shrunk:
        raise SuspiciousSnapshotError("; ".join(shrunk))


def _write(connection: psycopg.Connection, read: StagedRead, batch_id: int, *, cause: str, every: bool) -> Applied:
    below = connection.execute(_BELOW_FLOOR, {"source": read.source}).fetchall()
    if not read.listed:
        below += connection.execute(_NOT_LISTED, {"source": read.source}).fetchall()
    read_again = frozenset(StockKey(str(item), str(place)) for item, place in below) | read.torn
    doubt = {
        **_unknown_parameters(read, read.unknown.keys | read_again),
        "locations": [place.id for place in read.places.values()],
    }
    connection.execute(_APART)
    # From here on reservations of these levels wait.
    connection.execute(_LOCK_ALL if read_again or read.unknown else _LOCK_FRESH, doubt)
    connection.execute(_UPSERT, {"every": every})
    connection.execute(_BEGIN)
    connection.execute(_APART_DELETE)
    connection.execute(_APART_UPSERT)
    connection.execute(_APART_TOUCH)
    connection.execute(_LEDGER, {"cause": cause, "source": read.source, "batch": batch_id})
    if read_again or read.unknown:
        connection.execute(_DOUBT, doubt)
    connection.execute(_TRUST, doubt)
    settle(connection, batch_id)
    count = int(one_value(connection.execute(_COUNT_CHANGED)))
    changed = connection.execute(_CHANGED).fetchall() if count else []
    return Applied(tuple((str(sku), str(code)) for sku, code in changed), count, read_again)
