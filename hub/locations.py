"""The places that hold stock: `config/locations.yaml` is their master, the database follows it at start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hub.db.rows import one_value
from hub.errors import ConfigError
from hub.mapping.document import load_document, to_plain

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import psycopg

_TIME = re.compile(r"^([01]\d|2[0-3]):[0-5]\d$")


class Location(BaseModel):
    """One place. `erp_codes` says what each source calls it; `stock_from` whose stock numbers count there.

    `sale_posting` says how its sales reach the ERP: each `receipt` as a document that carries its number, or all of a
    business day as one settlement (`daily_summary`) numbered by `settlement_number`, in which {store} is the place's
    code and {date} the business date as YYYYMMDD. A business day begins at `day_begins`, local time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9._-]+$")
    name: str = Field(min_length=1)
    kind: Literal["warehouse", "store"]
    stock_from: str
    erp_codes: dict[str, str]
    org: str = ""
    company: str = ""
    brand: str = ""
    region: str = ""
    ownership: Literal["own", "franchise", "joint"] = "own"
    sellable_online: bool
    pickup: bool
    opening_hours: str = ""
    cutoff_time: str = ""
    time_zone: str
    sale_posting: Literal["receipt", "daily_summary"] = "receipt"
    settlement_number: str = "{store}-{date}"
    day_begins: str = Field(default="00:00", pattern=_TIME.pattern)

    @field_validator("settlement_number")
    @classmethod
    def _tells_days_apart(cls, value: str) -> str:
        if "{date}" not in value or set(re.findall(r"{(\w*)}", value)) - {"store", "date"}:
            raise ValueError("must hold {date}, and may hold {store}")
        return value

    @field_validator("cutoff_time")
    @classmethod
    def _is_time(cls, value: str) -> str:
        if value and not _TIME.fullmatch(value):
            raise ValueError("must be HH:MM or empty")
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("must be an IANA time zone such as Asia/Shanghai") from error
        return value


def load_locations(path: Path, sources: Collection[str]) -> list[Location]:
    """Read and check the locations file.

    Raises:
        ConfigError: says file, line and what is allowed.
    """
    if not path.is_file():
        raise ConfigError("the locations file is missing", file=str(path))
    block = load_document(path)
    entries = block.entries.get("locations") if set(block.entries) == {"locations"} else None
    items = getattr(entries, "items", None)
    if not isinstance(items, (list, tuple)):
        raise ConfigError("must hold one list named `locations`", file=str(path), line=1)
    locations: list[Location] = []
    for node in items:
        try:
            locations.append(Location.model_validate(to_plain(node)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            allowed = f"; fields: {', '.join(Location.model_fields)}" if first["type"] == "extra_forbidden" else ""
            raise ConfigError(f"{field}: {first['msg']}{allowed}", file=str(path), line=node.line) from None
        _check(locations, sources, str(path), node.line)
    return locations


def _check(locations: list[Location], sources: Collection[str], file: str, line: int) -> None:
    newest, others = locations[-1], locations[:-1]
    if newest.stock_from not in sources:
        raise ConfigError(
            f"stock_from: no source {newest.stock_from}; there is {', '.join(sources)}", file=file, line=line
        )
    if newest.stock_from not in newest.erp_codes:
        raise ConfigError(f"erp_codes: lacks the code of {newest.stock_from}, its stock_from", file=file, line=line)
    if any(newest.code == other.code for other in others):
        raise ConfigError(f"code: {newest.code} is given twice", file=file, line=line)
    for other in others:
        if shared := newest.erp_codes.items() & other.erp_codes.items():
            source, code = next(iter(shared))
            raise ConfigError(f"erp_codes: {code} of {source} is {other.code} already", file=file, line=line)


def codes_of(locations: Collection[Location], source: str) -> list[str]:
    """Return what `source` calls the places whose stock it tells."""
    return [location.erp_codes[source] for location in locations if location.stock_from == source]


# A place that comes back, or gets its stock from another source, has not been read in full: its numbers are stale.
_FORGET_READ = """
DELETE FROM stock_floor AS floor USING location
WHERE location.id = floor.location_id AND location.code = %s
  AND (location.stock_source IS DISTINCT FROM %s OR NOT location.active)
"""
_UPSERT = """
INSERT INTO location (code, name, kind, stock_source, org, company, brand, region, ownership, sellable_online, pickup,
                      opening_hours, cutoff_time, time_zone, sale_posting, settlement_number, day_begins, position,
                      active)
VALUES (%(code)s, %(name)s, %(kind)s, %(stock_from)s, %(org)s, %(company)s, %(brand)s, %(region)s, %(ownership)s,
        %(sellable_online)s, %(pickup)s, %(opening_hours)s, %(cutoff_time)s, %(time_zone)s, %(sale_posting)s,
        %(settlement_number)s, %(day_begins)s, %(position)s, true)
ON CONFLICT (code) DO UPDATE
SET name = excluded.name, kind = excluded.kind, stock_source = excluded.stock_source, org = excluded.org,
    company = excluded.company, brand = excluded.brand, region = excluded.region, ownership = excluded.ownership,
    sellable_online = excluded.sellable_online, pickup = excluded.pickup, opening_hours = excluded.opening_hours,
    cutoff_time = excluded.cutoff_time, time_zone = excluded.time_zone, sale_posting = excluded.sale_posting,
    settlement_number = excluded.settlement_number, day_begins = excluded.day_begins, position = excluded.position,
    active = true
RETURNING id
"""


def store_locations(connection: psycopg.Connection, locations: Collection[Location]) -> None:
    """Bring the database to the file's state, in the caller's transaction; places no longer in the file go inactive."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('oneshelf.locations'))")
    connection.execute("DELETE FROM external_reference WHERE kind = 'location'")
    kept: list[int] = []
    for location in locations:
        connection.execute(_FORGET_READ, (location.code, location.stock_from))
    for position, location in enumerate(locations):
        values = {**location.model_dump(exclude={"erp_codes"}), "position": position}
        location_id = int(one_value(connection.execute(_UPSERT, values)))
        kept.append(location_id)
        for source, code in location.erp_codes.items():
            connection.execute(
                "INSERT INTO external_reference (system, kind, external_id, our_id) VALUES (%s, 'location', %s, %s)",
                (source, code, location_id),
            )
    connection.execute("UPDATE location SET active = false WHERE NOT (id = ANY(%s))", (kept,))
