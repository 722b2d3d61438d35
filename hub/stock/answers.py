"""Stock as shops are told it: one JSON text for each item, made by the database.

Most of the traffic asks for this and nothing else. The database writes the text where the rows are, which costs it
little more than sending them, and this process does not touch a number. The names and the rules are those of
`hub/stock/reading.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from hub.stock.reading import LEVEL_STALE, NOWHERE_AS_OF, NOWHERE_STALE, OFFERED, WANTED, is_storable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine


def _number(quantity: str) -> str:
    """Return SQL for plain decimal text without trailing zeros: `12`, `3.25`, `-4`."""
    return f"trim_scale({quantity})::text"


def _time(time: str) -> str:
    """Return SQL for RFC 3339 text in UTC, to the microsecond."""
    return f"""to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


_AS_OF = f"CASE WHEN total.stale IS NULL THEN {NOWHERE_AS_OF} ELSE total.as_of END"
# The columns' names and order are those of the API's schema.
_LEVELS = f"""
SELECT location.position, location.code AS location, location.name, location.kind, level.on_hand,
       {OFFERED} AS available,
       COALESCE(apart.unavailable, 0) AS unavailable, COALESCE(apart.consigned, 0) AS consigned,
       location.sellable_online, LEAST(feed.read_at, level.doubted_at) AS as_of, {LEVEL_STALE} AS stale
FROM stock_level AS level
JOIN location ON location.id = level.location_id AND {WANTED}
LEFT JOIN feed ON feed.source = location.stock_source
LEFT JOIN LATERAL (
    SELECT sum(part.quantity) FILTER (WHERE part.owner = '') AS unavailable,
           sum(part.quantity) FILTER (WHERE part.owner <> '') AS consigned
    FROM stock_unsellable AS part
    WHERE part.item_id = level.item_id AND part.location_id = level.location_id) AS apart ON true
WHERE level.item_id = item.id
"""
# A kit has no levels: there are as many of it as its components make, where all of them have one. Of a part that is not
# sold, or is a kit itself, nobody makes any (`stock_parts`).
_KIT_LEVELS = f"""
SELECT location.position, location.code AS location, location.name, location.kind,
       min(floor(level.on_hand / component.quantity)) AS on_hand,
       CASE WHEN bool_and(part.active AND part.id NOT IN (SELECT kit_id FROM kit_component))
            THEN min(floor({OFFERED} / component.quantity)) ELSE 0 END AS available,
       0::numeric AS unavailable, 0::numeric AS consigned, location.sellable_online,
       CASE WHEN bool_and(feed.read_at IS NOT NULL) THEN min(LEAST(feed.read_at, level.doubted_at)) END AS as_of,
       bool_or({LEVEL_STALE}) AS stale
FROM kit_component AS component
JOIN item AS part ON part.id = component.item_id
JOIN stock_level AS level ON level.item_id = component.item_id
JOIN location ON location.id = level.location_id AND {WANTED}
LEFT JOIN feed ON feed.source = location.stock_source
WHERE component.kit_id = item.id
GROUP BY location.id
HAVING count(*) = (SELECT count(*) FROM kit_component AS every WHERE every.kit_id = item.id)
"""
_LEVEL = f"""
SELECT told FROM (
    SELECT level.location, level.name, level.kind, {_number("level.on_hand")} AS on_hand,
           {_number("level.available")} AS available, {_number("level.unavailable")} AS unavailable,
           {_number("level.consigned")} AS consigned, level.sellable_online,
           {_time("level.as_of")} AS as_of, level.stale) AS told
"""
_ANSWERS = f"""
SELECT answer.sku, row_to_json(answer)::text, answer.as_of, cardinality(answer.locations)
FROM (
    SELECT item.sku, item.gtin, item.name, item.unit, total.on_hand, total.available, total.unavailable,
           total.consigned, {_time(_AS_OF)} AS as_of,
           COALESCE(total.stale, {NOWHERE_STALE}) AS stale, total.locations
    FROM item
    CROSS JOIN LATERAL (
        SELECT {_number("COALESCE(sum(level.on_hand), 0)")} AS on_hand,
               {_number("COALESCE(sum(level.available) FILTER (WHERE level.sellable_online), 0)")} AS available,
               {_number("COALESCE(sum(level.unavailable), 0)")} AS unavailable,
               {_number("COALESCE(sum(level.consigned), 0)")} AS consigned,
               CASE WHEN bool_and(level.as_of IS NOT NULL) THEN min(level.as_of) END AS as_of,
               bool_or(level.stale) AS stale,
               COALESCE(array_agg(({_LEVEL}) ORDER BY level.position, level.location), '{{{{}}}}') AS locations
        FROM ({{levels}}) AS level) AS total
    WHERE item.sku = ANY(%(skus)s::text[])) AS answer
"""
ANSWERS = _ANSWERS.format(levels=_LEVELS)
_OF_KITS = (
    _ANSWERS.format(levels=_KIT_LEVELS) + "WHERE answer.sku IN (SELECT sku FROM item JOIN kit_component ON kit_id = id)"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told of an item.

    `body` is a JSON object, `as_of` the age in it, None if a source was never read; `places` counts those that have
    a level.
    """

    body: str
    as_of: str | None
    places: int


@dataclass(frozen=True, slots=True)
class Question:
    """A SKU, and the channel that wants to know what it may take of it."""

    sku: str
    channel: str


async def read_answers(
    engine: AsyncEngine, skus: Collection[str], locations: Collection[str] | None = None, *, channel: str
) -> dict[str, Answer]:
    """Return the answers for those of `skus` that exist, by SKU, with their levels at `locations` (None: everywhere).

    Args:
        engine: best made by `Database.planned_engine`, since planning this statement takes longer than running it. Its
            connections are not tried before use: where one turns out to be lost, the question is asked again.
        channel: whose `available` it is: what this channel may take of each level.
    """
    wanted = [sku for sku in skus if is_storable(sku)]
    if not wanted:
        return {}
    values = {"skus": wanted, "locations": None if locations is None else list(locations), "channel": channel}
    found = await _ask(engine, ANSWERS, values)
    # Kits have no levels. Few articles have none, and those that are no kits are not answered again.
    if nowhere := [sku for sku, answer in found.items() if not answer.places]:
        found |= await _ask(engine, _OF_KITS, {**values, "skus": nowhere})
    return found


async def read_in_order(engine: AsyncEngine, questions: Sequence[Question]) -> list[Answer | None]:
    """Return the answer to each question, at all places; None where there is no such item."""
    found: dict[Question, Answer] = {}
    for channel in {question.channel for question in questions}:
        skus = {question.sku for question in questions if question.channel == channel}
        answers = await read_answers(engine, skus, channel=channel)
        found |= {Question(sku, channel): answer for sku, answer in answers.items()}
    return [found.get(question) for question in questions]


async def _ask(engine: AsyncEngine, statement: str, values: Mapping[str, object]) -> dict[str, Answer]:
    try:
        return await _read(engine, statement, values)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return await _read(engine, statement, values)


async def _read(engine: AsyncEngine, statement: str, values: Mapping[str, object]) -> dict[str, Answer]:
    async with engine.connect() as connection:
        result = await connection.exec_driver_sql(statement, dict(values))
    return {row[0]: Answer(row[1], row[2], row[3]) for row in result}
