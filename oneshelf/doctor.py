"""The self-check: everything Oneshelf stands on, and what to do about what is not well."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from connectors.registry import create_channel
from flows.runtime import Runtime, database_url
from hub.contracts import CheckResult
from hub.db.migrate import current_revision, head_revision
from hub.db.session import Database
from hub.errors import ConfigError, OneshelfError
from hub.locations import codes_of, load_locations
from hub.mapping import MappingErrors, load_tree
from hub.sync.watch import load_feeds
from oneshelf.processes import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.settings import Settings

_FREE_GIGABYTES = 2.0
_OLDEST_POSTGRESQL = 15


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    area: str
    result: CheckResult


def examine(settings: Settings) -> Iterator[Finding]:
    """Check disk, mappings, Prefect, alert channels, locations, database and each connector, one after the other."""
    yield Finding("disk", _disk(settings))
    yield Finding("mappings", _mappings(settings))
    yield Finding("prefect", _prefect())
    for result in _channels(settings):
        yield Finding("alerts", result)
    try:
        locations = tuple(load_locations(settings.config_dir / "locations.yaml", list(settings.sources)))
        yield Finding("locations", CheckResult("locations.yaml", ok=True, detail=f"{len(locations)} places"))
    except ConfigError as error:
        yield Finding("locations", CheckResult("locations.yaml", ok=False, detail=str(error), advice="mend that line"))
        return
    try:
        with database_url(settings) as url:
            database = Database(url, pool_size=2)
            try:
                runtime = Runtime(settings, database, locations)
                yield from _database(runtime)
                for source in settings.enabled_sources():
                    yield from _connector(runtime, source)
            finally:
                database.close()
    except (OSError, OneshelfError, psycopg.Error, SQLAlchemyError) as error:
        advice = "start PostgreSQL, or mend ONESHELF_DATABASE__URL"
        yield Finding("database", CheckResult("connection", ok=False, detail=_first_line(error), advice=advice))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _disk(settings: Settings) -> CheckResult:
    place = next(place for place in (settings.state_dir, *settings.state_dir.absolute().parents) if place.exists())
    free = shutil.disk_usage(place).free / 1e9
    advice = f"free some space below {settings.state_dir}"
    return CheckResult("free space", ok=free > _FREE_GIGABYTES, detail=f"{free:.0f} GB", advice=advice)


def _mappings(settings: Settings) -> CheckResult:
    try:
        files = load_tree(settings.mappings_dir)
    except MappingErrors as error:
        return CheckResult("mapping files", ok=False, detail=str(error), advice="see oneshelf mappings check")
    return CheckResult("mapping files", ok=True, detail=f"{len(files)} files, each proved by its examples")


def _prefect() -> CheckResult:
    url = os.environ.get("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    advice = "start it with oneshelf up, or set PREFECT_API_URL; syncing by hand works without it"
    return CheckResult("API", ok=answers(f"{url.rstrip('/')}/health"), detail=url, advice=advice)


def _channels(settings: Settings) -> Iterator[CheckResult]:
    """Check that each channel is set up well; nothing is sent."""
    channels = settings.alerts.enabled_channels()
    if not channels:
        yield CheckResult("channels", ok=True, detail="none: alerts show on the operations page alone")
    for name, configured in channels.items():
        try:
            detail = create_channel(name, configured).describe()
        except ConfigError as error:
            yield CheckResult(f"channel {name}", ok=False, detail=str(error), advice="see docs/alerts.md")
            continue
        yield CheckResult(f"channel {name}", ok=True, detail=f"{detail}; try oneshelf alerts test {name}")


def _database(runtime: Runtime) -> Iterator[Finding]:
    version = runtime.database.ping()
    new_enough = int(version.split(".")[0]) >= _OLDEST_POSTGRESQL
    advice = f"use PostgreSQL {_OLDEST_POSTGRESQL} or newer"
    yield Finding("database", CheckResult("connection", ok=new_enough, detail=f"PostgreSQL {version}", advice=advice))
    current, head = current_revision(runtime.database), head_revision()
    yield Finding(
        "database",
        CheckResult(
            "migrations",
            ok=current == head,
            detail=f"at {current or 'nothing'}, code wants {head}",
            advice="run oneshelf db upgrade",
        ),
    )
    if current != head:
        return
    with runtime.database.driver() as connection:
        for feed in load_feeds(connection):
            age = "never read" if feed.age_seconds is None else f"{feed.age_seconds:.0f} s old"
            detail = f"{age}, {feed.error}" if feed.error else age
            result = CheckResult(
                f"feed {feed.source}", ok=not feed.stale, detail=detail, advice="is live_sync running?"
            )
            yield Finding("feeds", result)


def _connector(runtime: Runtime, source: str) -> Iterator[Finding]:
    try:
        connector = runtime.connector(source)
        for result in connector.check():
            yield Finding(source, result)
        served = {location.code for location in connector.get_locations()}
        missing = [code for code in codes_of(runtime.locations, source) if code not in served]
        detail = f"not at the ERP: {', '.join(missing)}" if missing else f"all found among {len(served)}"
        advice = "correct erp_codes in config/locations.yaml (a place without any stock may not show at SAP)"
        yield Finding(source, CheckResult("places", ok=not missing, detail=detail, advice=advice))
    except OneshelfError as error:
        advice = "see the message; credentials come from ONESHELF_SOURCES__… in the environment"
        yield Finding(source, CheckResult("connector", ok=False, detail=str(error), advice=advice))
