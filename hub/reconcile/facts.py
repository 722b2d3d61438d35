"""What the database knows of the levels that are checked, as the rules want it.

Every question is about the levels in the temporary table `checked_level`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.contracts import StockKey
from hub.reconcile.rules import Change, Known, Level

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    import psycopg

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
RETURNING checked.item_id, checked.location_id
"""
_KEEP = """
DELETE FROM checked_level
WHERE (item_id, location_id) NOT IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))
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
_FACTORS = "SELECT item_id, factor FROM barcode WHERE item_id = ANY(%s) AND factor <> 1 ORDER BY item_id, factor"
_KNOWN = """
SELECT asked.item_id, asked.location_id, document, reference, quantity, posted, changed < asked.base
FROM unnest(%(items)s::bigint[], %(places)s::bigint[], %(bases)s::bigint[]) AS asked(item_id, location_id, base)
JOIN stock_posting USING (item_id, location_id)
WHERE source = %(source)s AND told_by = ''
  AND changed >= (SELECT COALESCE(min(tick), 0) FROM tick_time WHERE drawn_at >= %(since)s)
"""
_MAPPINGS = """
SELECT moment, (SELECT mapping_version FROM stock_batch
                WHERE source = %(source)s AND state = 'applied' AND started_at <= moment ORDER BY id DESC LIMIT 1)
FROM unnest(%(moments)s::timestamptz[]) AS asked(moment)
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
    return {level.ids: level for level in map(level_of, connection.execute("SELECT * FROM checked_level"))}


def leave_out_due(connection: psycopg.Connection, source: str) -> set[tuple[int, int]]:
    """Take levels out of `checked_level` that are due to be read, and return them: something is under way there."""
    return {(int(item), int(place)) for item, place in connection.execute(_DROP_DUE, (source,))}


def keep_only(connection: psycopg.Connection, levels: Collection[tuple[int, int]]) -> None:
    """Take all other levels out of `checked_level`."""
    connection.execute(_KEEP, ([item for item, _ in levels], [place for _, place in levels]))


def find_changes(connection: psycopg.Connection, read: StagedRead, *, everything: bool) -> list[Change]:
    """Return where a staged read says another quantity than the base; `everything`: what it does not name is zero."""
    values = {"source": read.source, "everything": everything, "began": read.first_began}
    found: list[Change] = []
    for *named, before, now, base, base_at, absent in connection.execute(_CHANGES, values):
        level = level_of(named)
        if not (absent and read.unknown.may_hide(level.key)):
            found.append(Change(level, before, now, int(base), base_at))
    return found


def load_factors(connection: psycopg.Connection, levels: Iterable[Level]) -> Mapping[int, Sequence[Decimal]]:
    """Return the contents of the articles' packages (装箱数), by item."""
    found: dict[int, list[Decimal]] = {}
    for item, factor in connection.execute(_FACTORS, (list({level.item_id for level in levels}),)):
        found.setdefault(int(item), []).append(factor)
    return found


def load_known(
    connection: psycopg.Connection, source: str, bases: Mapping[Level, int], since: datetime
) -> dict[tuple[int, int], dict[str, Known]]:
    """Return the lines that the list learned of since a moment, by level and document.

    Args:
        bases: the tick at which the base of each level began.
    """
    values = {
        "source": source,
        "items": [level.item_id for level in bases],
        "places": [level.location_id for level in bases],
        "bases": list(bases.values()),
        "since": since,
    }
    found: dict[tuple[int, int], dict[str, Known]] = {level.ids: {} for level in bases}
    for item, place, document, *rest in connection.execute(_KNOWN, values):
        found[item, place][str(document)] = Known(str(document), *rest)
    return found


def mappings_at(connection: psycopg.Connection, source: str, moments: Collection[datetime]) -> dict[datetime, str]:
    """Return the versions of the mapping files at some moments; empty when nothing was read before one."""
    rows = connection.execute(_MAPPINGS, {"source": source, "moments": sorted(moments)})
    return {moment: str(version or "") for moment, version in rows}


def level_of(row: Sequence[object]) -> Level:
    """Return the level that the columns of `checked_level` name."""
    item_id, location_id, item, place = row
    return Level(int(str(item_id)), int(str(location_id)), StockKey(str(item), str(place)))
