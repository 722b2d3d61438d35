"""The book of differences: each is found once, and closed when it is healed, seen no more, or resolved by a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub.reconcile.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from hub.reconcile.rules import Finding

SEEN_NO_MORE = "seen no more"
Case = tuple[tuple[int, int], Kind, str]
"""A level's ids, a class and a number."""
# One that a person has resolved comes back only when its evidence is another one. Our own faults come back in any case:
# a person's word puts no sum right, and sums that were put right may go wrong by as much again. A change of a quantity
# can't be found twice, since the read that shows it becomes the base; the next change is another difference.
_NOTE = """
INSERT INTO stock_difference AS known (item_id, location_id, source, kind, subject, evidence, healed_at)
SELECT item_id, location_id, %(source)s, kind, subject, evidence, CASE WHEN heals THEN clock_timestamp() END
FROM jsonb_to_recordset(%(found)s::jsonb) AS given(
    item_id bigint, location_id bigint, kind text, subject text, evidence jsonb, heals boolean)
WHERE NOT EXISTS (
    SELECT FROM stock_difference AS earlier
    WHERE earlier.item_id = given.item_id AND earlier.location_id = given.location_id AND earlier.kind = given.kind
      AND earlier.subject = given.subject AND earlier.resolved_at IS NOT NULL AND earlier.resolved_by <> ''
      AND earlier.evidence = given.evidence AND earlier.kind <> 'our_bug')
ORDER BY item_id, location_id, kind, subject
ON CONFLICT (item_id, location_id, kind, subject)
    WHERE healed_at IS NULL AND resolved_at IS NULL AND (subject <> '' OR kind = 'our_bug')
DO UPDATE SET evidence = excluded.evidence, source = excluded.source
WHERE (known.evidence, known.source) <> (excluded.evidence, excluded.source)
RETURNING id, xmax = 0
"""
# What a read has put right can't be seen again, so it waits for a person; our own faults do too. Whichever source has
# found it: the place may have another one since.
_UNSEEN = """
SELECT known.id
FROM stock_difference AS known JOIN checked_level AS checked USING (item_id, location_id)
WHERE known.healed_at IS NULL AND known.resolved_at IS NULL AND known.subject <> ''
  AND (known.item_id, known.location_id, known.kind, known.subject) NOT IN (
        SELECT * FROM unnest(%(items)s::bigint[], %(locations)s::bigint[], %(kinds)s::text[], %(subjects)s::text[]))
"""
_CLOSE = """
UPDATE stock_difference SET resolved_at = clock_timestamp(), resolved_by = '', resolution = %s
WHERE id = ANY(%s) AND healed_at IS NULL AND resolved_at IS NULL
"""
_RESOLVE = """
UPDATE stock_difference SET resolved_at = clock_timestamp(), resolved_by = %s, resolution = %s
WHERE id = %s AND resolved_at IS NULL AND healed_at IS NULL
RETURNING item_id, location_id, subject
"""
_LIST = """
SELECT known.id, known.source, item.sku, item.name, place.code, known.kind, known.subject, known.evidence,
       known.found_at, known.healed_at, known.resolved_at, COALESCE(known.resolved_by, ''),
       COALESCE(known.resolution, '')
FROM stock_difference AS known
JOIN item ON item.id = known.item_id JOIN location AS place ON place.id = known.location_id
WHERE (%(source)s::text IS NULL OR known.source = %(source)s)
  AND (%(ids)s::bigint[] IS NULL OR known.id = ANY(%(ids)s))
  AND (known.healed_at IS NULL AND known.resolved_at IS NULL OR %(ids)s::bigint[] IS NOT NULL
       OR known.found_at > clock_timestamp() - make_interval(secs => 3600 * %(hours)s))
ORDER BY known.id
"""
_COUNTS = """
SELECT kind, count(*) FROM stock_difference
WHERE healed_at IS NULL AND resolved_at IS NULL AND source = %s GROUP BY kind ORDER BY kind
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry of the book."""

    id: int
    source: str
    sku: str
    name: str
    location: str
    kind: Kind
    subject: str
    evidence: Mapping[str, Any]
    found_at: datetime
    healed_at: datetime | None
    resolved_at: datetime | None
    resolved_by: str
    resolution: str

    @property
    def state(self) -> str:
        """`healed`, `closed` or `open`."""
        if self.healed_at:
            return "healed"
        return "closed" if self.resolved_at else "open"


def note_findings(connection: psycopg.Connection, source: str, findings: Collection[Finding]) -> list[int]:
    """Write what was found, in the caller's transaction; return the ids of those that nobody had found before."""
    found = [
        {
            "item_id": finding.level.item_id,
            "location_id": finding.level.location_id,
            "kind": finding.kind,
            "subject": finding.subject,
            "evidence": finding.evidence,
            "heals": finding.heals,
        }
        for finding in {(one.level.ids, one.kind, one.subject): one for one in findings}.values()
    ]
    if not found:
        return []
    rows = connection.execute(_NOTE, {"source": source, "found": json.dumps(found)})
    return sorted(int(difference_id) for difference_id, is_new in rows if is_new)


def find_unseen(connection: psycopg.Connection, seen: Collection[Case]) -> list[int]:
    """Return what is about a number and can't be seen any more at the levels in `checked_level`.

    Args:
        seen: all that may still be so.
    """
    values = {
        "items": [item for (item, _), _, _ in seen],
        "locations": [location for (_, location), _, _ in seen],
        "kinds": [str(kind) for _, kind, _ in seen],
        "subjects": [subject for _, _, subject in seen],
    }
    return [int(difference_id) for (difference_id,) in connection.execute(_UNSEEN, values)]


def close(connection: psycopg.Connection, ids: Collection[int]) -> None:
    """Close differences that are seen no more, in the caller's transaction."""
    if ids:
        connection.execute(_CLOSE, (SEEN_NO_MORE, sorted(ids)))


def resolve(
    connection: psycopg.Connection, difference_id: int, resolution: str, by: str
) -> tuple[int, int, str] | None:
    """Note that a person has dealt with an open difference; return the level's ids and the number it is about, if any.

    None: none with that id is open.
    """
    row = connection.execute(_RESOLVE, (by, resolution, difference_id)).fetchone()
    return None if row is None else (int(row[0]), int(row[1]), str(row[2]))


def load_differences(
    connection: psycopg.Connection,
    *,
    source: str | None = None,
    hours: float = 0,
    ids: Sequence[int] | None = None,
) -> list[Difference]:
    """Return the open differences and those that were found within so many hours, or those with the given ids."""
    rows = connection.execute(_LIST, {"source": source, "hours": hours, "ids": None if ids is None else list(ids)})
    return [Difference(*(*row[:5], Kind(row[5]), *row[6:])) for row in rows]


def count_open(connection: psycopg.Connection, source: str) -> dict[Kind, int]:
    """Return how many differences of a source are open, by class."""
    return {Kind(kind): int(count) for kind, count in connection.execute(_COUNTS, (source,))}
