"""What the ERPs' documents say of our numbers: the list that a read of stock is judged by.

Numbers are compared in capitals, since SAP may keep them so.

The list is kept by looks (`hub.sync.looks`). How a line stands now carries the tick at which the hub learned it. Of two
moments a line stood in the list with the same version if it stands there at the later one and its tick is older than
the earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.contracts import StockKey

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import psycopg

    from hub.contracts import Posting

_TOLD = """
unnest(%(documents)s::text[], %(versions)s::text[], %(references)s::text[], %(items)s::text[],
       %(locations)s::text[], %(quantities)s::numeric[], %(posted)s::boolean[])
    AS told(document, version, reference, item, location, quantity, posted)
JOIN external_reference AS item
  ON item.system = %(source)s AND item.kind = 'item' AND item.external_id = told.item
JOIN external_reference AS place
  ON place.system = %(source)s AND place.kind = 'location' AND place.external_id = told.location
"""
# A line that was taken back stays so under its version: only a new version can be posted again. Lines may be told out
# of order, a cancellation before what it cancels.
_NOTE = f"""
INSERT INTO stock_posting AS known
    (source, document, item_id, location_id, reference, quantity, version, posted, changed)
SELECT %(source)s, told.document, item.our_id, place.our_id, upper(told.reference), told.quantity, told.version,
       told.posted, %(tick)s
FROM {_TOLD}
ORDER BY told.document, item.our_id, place.our_id
ON CONFLICT (source, document, item_id, location_id) DO UPDATE
SET reference = COALESCE(NULLIF(excluded.reference, ''), known.reference),
    quantity = CASE WHEN excluded.reference = '' THEN known.quantity ELSE excluded.quantity END,
    version = excluded.version, posted = excluded.posted AND (known.posted OR known.version <> excluded.version),
    changed = excluded.changed, changed_at = clock_timestamp()
WHERE known.version <> excluded.version OR known.posted AND NOT excluded.posted
   OR excluded.reference <> '' AND (known.reference, known.quantity) <> (excluded.reference, excluded.quantity)
RETURNING known.item_id, known.location_id, known.reference
"""
# A line that was taken back and posted again of another article, or at another place: it took nothing from the old one.
_ELSEWHERE = f"""
UPDATE stock_posting AS known SET posted = false, changed = %(tick)s, changed_at = clock_timestamp()
WHERE known.source = %(source)s AND known.document = ANY(%(documents)s::text[]) AND known.posted
  AND NOT EXISTS (
        SELECT FROM {_TOLD}
        WHERE told.document = known.document AND item.our_id = known.item_id AND place.our_id = known.location_id)
RETURNING known.item_id, known.location_id, known.reference
"""
# A line that was posted again under another number: a line of its own tells that nothing stands under the old one.
_RENUMBERED = f"""
INSERT INTO stock_posting AS gone (source, document, item_id, location_id, reference, quantity, posted, changed)
SELECT known.source, known.document || ' as ' || known.reference, known.item_id, known.location_id, known.reference, 0,
       false, %(tick)s
FROM {_TOLD}
JOIN stock_posting AS known
  ON known.source = %(source)s AND known.document = told.document
 AND known.item_id = item.our_id AND known.location_id = place.our_id
WHERE told.reference <> '' AND known.reference NOT IN ('', upper(told.reference))
ORDER BY 2, 3, 4
ON CONFLICT (source, document, item_id, location_id) DO UPDATE
SET changed = excluded.changed, changed_at = clock_timestamp()
RETURNING gone.item_id, gone.location_id, gone.reference
"""
# A document that a person has told of stands for a number as long as the ERP does not take it back.
_TOLD_TAKEN_BACK = f"""
UPDATE stock_posting AS known SET posted = false, changed = %(tick)s, changed_at = clock_timestamp()
FROM {_TOLD}
WHERE known.source = %(source)s AND known.document = regexp_replace(told.document, '/[^/]*$', '') || '/told'
  AND known.item_id = item.our_id AND known.location_id = place.our_id
  AND known.told_by <> '' AND known.posted AND NOT told.posted
RETURNING known.item_id, known.location_id, known.reference
"""
_OPEN_AGAIN = "SELECT stock_open_again(%s::bigint[], %s::bigint[], %s::text[])"
_WAITING = """
SELECT DISTINCT item.external_id, place.external_id
FROM stock_demand AS demand
JOIN external_reference AS item
  ON item.our_id = demand.item_id AND item.kind = 'item' AND item.system = %(source)s
JOIN external_reference AS place
  ON place.our_id = demand.location_id AND place.kind = 'location' AND place.system = %(source)s
WHERE demand.state IN ('open', 'cancel_pending') AND demand.reference = ANY(%(references)s)
"""
_STANDING = """
SELECT DISTINCT posting.document
FROM stock_demand AS demand
JOIN stock_posting AS posting
  ON posting.reference = demand.reference AND posting.location_id = demand.location_id
 AND (demand.whole OR posting.item_id = demand.item_id)
WHERE demand.state IN ('open', 'cancel_pending') AND posting.source = %(source)s AND posting.posted
  AND posting.told_by = ''
  AND (%(everywhere)s OR (demand.item_id, demand.location_id) IN (SELECT item_id, location_id FROM staged_level))
ORDER BY 1
"""
_TAKE_BACK = """
UPDATE stock_posting SET posted = false, changed = %(tick)s, changed_at = clock_timestamp()
WHERE source = %(source)s AND document = ANY(%(documents)s) AND posted
RETURNING item_id, location_id, reference
"""


def note_postings(
    connection: psycopg.Connection, source: str, postings: Sequence[Posting], tick: int
) -> frozenset[StockKey]:
    """Bring the list up to date in the caller's transaction; `tick` was drawn after the ERP had answered.

    Returns the keys of live demand that it concerns. Lines of articles or places that the hub does not know are left
    out. All keys of a document that is told are told together. Looks of one source must follow one another.
    """
    told = {(posting.document, posting.key): posting for posting in postings}.values()  # the last word on a line counts
    if not told:
        return frozenset()
    values = {
        "source": source,
        "tick": tick,
        "documents": [posting.document for posting in told],
        "versions": [posting.version for posting in told],
        "references": [posting.reference for posting in told],
        "items": [posting.key.item for posting in told],
        "locations": [posting.key.location for posting in told],
        "quantities": [posting.quantity for posting in told],
        "posted": [posting.posted for posting in told],
    }
    rows = [row for step in (_ELSEWHERE, _RENUMBERED, _NOTE) for row in connection.execute(step, values)]
    rows += connection.execute(_TOLD_TAKEN_BACK, values)
    return _concerned(connection, source, rows)


def standing_documents(connection: psycopg.Connection, source: str, *, everywhere: bool) -> list[str]:
    """Return the documents that stand in the list for live demand, of the levels that are staged or everywhere."""
    values = {"source": source, "everywhere": everywhere}
    return [str(document) for (document,) in connection.execute(_STANDING, values)]


def take_back(
    connection: psycopg.Connection, source: str, documents: Collection[str], tick: int
) -> frozenset[StockKey]:
    """Note that documents are gone from the ERP, in the caller's transaction; return the keys that it concerns."""
    values = {"source": source, "documents": list(documents), "tick": tick}
    return _concerned(connection, source, connection.execute(_TAKE_BACK, values).fetchall())


def _concerned(
    connection: psycopg.Connection, source: str, rows: Sequence[tuple[int, int, str]]
) -> frozenset[StockKey]:
    changed = [row for row in rows if row[2]]
    if changed:
        items, places, numbers = (list(column) for column in zip(*changed, strict=True))
        connection.execute(_OPEN_AGAIN, (items, places, numbers))
    references = sorted({reference for _, _, reference in changed})
    waiting = connection.execute(_WAITING, {"source": source, "references": references})
    return frozenset(StockKey(str(item), str(place)) for item, place in waiting)
