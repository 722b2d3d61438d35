"""The first contact with a real ERP: what it does otherwise than assumed, and one article beside the hub's numbers.

Nothing is written anywhere: the ERP is asked in its connector's reads alone, the database in a read-only session.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg

from connectors.registry import create_erp
from flows.runtime import database_url
from hub.clock import utc_now
from hub.db.session import plain_url
from hub.errors import ConfigError, OneshelfError
from hub.locations import codes_of, load_locations
from hub.probe import LiveProbe
from hub.stock.summing import ExpiryRule, sum_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hub.contracts import CheckResult, ErpConnector, StockRow
    from hub.locations import Location
    from hub.probe import Observation, TracedRow
    from hub.settings import Settings

_WAYS_IN = frozenset({"log-in", "log-on", "sign-in"})
_ARTICLE = """
SELECT item.id, item.sku, item.category, reference.external_id
FROM item JOIN external_reference AS reference
  ON reference.our_id = item.id AND reference.kind = 'item' AND reference.system = %(source)s
WHERE item.sku = %(name)s OR reference.external_id = %(name)s
ORDER BY item.sku <> %(name)s, reference.external_id LIMIT 1
"""
_ON_HAND = """
SELECT location.code, level.on_hand FROM stock_level AS level JOIN location ON location.id = level.location_id
WHERE level.item_id = %s
"""
_APART = """
SELECT location.code, sum(apart.quantity) FROM stock_unsellable AS apart
JOIN location ON location.id = apart.location_id WHERE apart.item_id = %s GROUP BY location.code
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One place of one article: what may be sold and what is kept apart, as the ERP's rows add up and as the hub says.

    The hub's numbers are None where there is no database, or it does not know the article.
    """

    place: str
    erp_on_hand: Decimal
    erp_apart: Decimal
    hub_on_hand: Decimal | None
    hub_apart: Decimal | None

    @property
    def differs(self) -> bool:
        """Tell whether the hub says something else than the ERP."""
        hub = (self.hub_on_hand, self.hub_apart)
        return None not in hub and hub != (self.erp_on_hand, self.erp_apart)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """All that was seen at one source; `failure` says what ended the look early."""

    source: str
    checks: Sequence[CheckResult] = ()
    observations: Sequence[Observation] = ()
    item: str = ""
    rows: Sequence[TracedRow] = ()
    comparisons: Sequence[Comparison] = ()
    failure: str = ""

    @property
    def well(self) -> bool:
        """Tell whether nothing was seen that would make numbers wrong."""
        checked = all(check.ok for check in self.checks) and not any(seen.alarming for seen in self.observations)
        refused = any(row.reason.startswith("refused") for row in self.rows)
        return checked and not (self.failure or refused or any(place.differs for place in self.comparisons))

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready data, but for numbers and times."""
        return {**asdict(self), "well": self.well}


@dataclass(frozen=True, slots=True)
class _Hub:
    """What the database says of one article."""

    item: str
    category: str = ""
    on_hand: dict[str, Decimal] | None = None
    apart: dict[str, Decimal] | None = None


def look_at(settings: Settings, source: str | None, sku: str | None) -> Iterator[SourceReport]:
    """Look at one source, or at all enabled ones.

    Args:
        sku: the hub's number of an article, or the ERP's own; None takes one with stock.

    Raises:
        ConfigError: no such source, or the locations file is wrong.
    """
    sources = settings.enabled_sources()
    if source is not None and source not in sources:
        raise ConfigError(f"no source {source}; there is {', '.join(sources) or 'none'}")
    locations = load_locations(settings.config_dir / "locations.yaml", list(settings.sources))
    for name in [source] if source else sources:
        try:
            yield _look_at_one(settings, locations, name, sku)
        except OneshelfError as error:
            yield SourceReport(name, failure=str(error))


def _look_at_one(settings: Settings, locations: Sequence[Location], source: str, sku: str | None) -> SourceReport:
    configured = settings.sources[source]
    codes = codes_of(locations, source)
    connector = create_erp(configured.system, source, configured.connection, codes, settings.mappings_dir)
    checks = connector.check()
    if any(check.name in _WAYS_IN and not check.ok for check in checks):
        # No further try: many systems lock a user after a few wrong passwords.
        return SourceReport(source, checks, failure="not let in, so nothing else was asked")
    if not isinstance(connector, LiveProbe):
        return SourceReport(source, checks)
    observations = list(connector.probe())
    try:
        return _with_article(settings, locations, connector, SourceReport(source, checks, observations), sku)
    except OneshelfError as error:
        return SourceReport(source, checks, observations, failure=f"the article could not be read: {error}")


def _with_article(
    settings: Settings, locations: Sequence[Location], connector: ErpConnector, report: SourceReport, sku: str | None
) -> SourceReport:
    assert isinstance(connector, LiveProbe)  # noqa: S101 - seen by the caller
    hub = _ask_hub(settings, report.source, sku) if sku else None
    rows = connector.trace(hub.item if hub else None)
    own = [traced.row for traced in rows if traced.row is not None]
    item = hub.item if hub else next((row.item for row in own), "")
    hub = hub or _ask_hub(settings, report.source, item)
    places = {code.erp_codes[report.source]: code for code in locations if code.stock_from == report.source}
    mine = [row for row in own if row.item == item]
    comparisons = [
        _compare(settings, hub, places[code], [row for row in mine if row.location == code])
        for code in sorted({row.location for row in mine} | set(_known_places(hub, places)))
    ]
    return SourceReport(report.source, report.checks, report.observations, item, rows, comparisons)


def _known_places(hub: _Hub, places: dict[str, Location]) -> Iterator[str]:
    """Yield the ERP's codes of the places where the hub knows something of the article."""
    known = {code for side in (hub.on_hand, hub.apart) for code, quantity in (side or {}).items() if quantity}
    return (code for code, place in places.items() if place.code in known)


def _compare(settings: Settings, hub: _Hub, place: Location, rows: Sequence[StockRow]) -> Comparison:
    today = utc_now().astimezone(ZoneInfo(place.time_zone)).date()
    summed = sum_rows(rows, ExpiryRule(settings.stock.expiring_days), hub.category, today)
    apart = sum(summed.unsellable.values(), Decimal(0))
    return Comparison(
        place.code,
        summed.on_hand,
        apart,
        None if hub.on_hand is None else hub.on_hand.get(place.code, Decimal(0)),
        None if hub.apart is None else hub.apart.get(place.code, Decimal(0)),
    )


def _ask_hub(settings: Settings, source: str, name: str) -> _Hub:
    """Return what the database knows of an article; where there is none, or it can't be asked, only the name."""
    if settings.database.url is None and not (settings.state_dir / "postgres").exists():
        return _Hub(name)
    try:
        with (
            database_url(settings) as url,
            closing(psycopg.connect(plain_url(url), options="-c default_transaction_read_only=on")) as connection,
        ):
            found = connection.execute(_ARTICLE, {"source": source, "name": name}).fetchone()
            if found is None:
                return _Hub(name)
            item_id, _, category, external = found
            on_hand: dict[str, Decimal] = dict(connection.execute(_ON_HAND, (item_id,)).fetchall())
            apart: dict[str, Decimal] = dict(connection.execute(_APART, (item_id,)).fetchall())
    except (psycopg.Error, OSError):
        return _Hub(name)
    return _Hub(external, category or "", on_hand, apart)
