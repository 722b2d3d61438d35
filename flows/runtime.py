"""Wiring: settings, database and connectors for whoever runs flows, the live loop or the command line."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.registry import create_erp
from hub.db.embedded import EmbeddedServer
from hub.db.session import Database
from hub.errors import ConfigError
from hub.locations import Location, codes_of, load_locations, store_locations
from hub.memory import collect_cycles_rarely
from hub.settings import Settings, load_settings
from hub.sync.feed import declare_feed
from hub.sync.inventory import InventorySync
from hub.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.contracts import ErpConnector


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything a process needs, built once from the settings."""

    settings: Settings
    database: Database
    locations: tuple[Location, ...]

    def connector(self, source: str) -> ErpConnector:
        """Create the connector of a configured source.

        Raises:
            ConfigError: there is no such source, or its settings are wrong.
        """
        sources = self.settings.enabled_sources()
        if source not in sources:
            raise ConfigError(f"no source {source}; there is {', '.join(sources) or 'none'}")
        configured = sources[source]
        codes = codes_of(self.locations, source)
        return create_erp(configured.system, source, configured.connection, codes, self.settings.mappings_dir)

    def inventory(self, source: str) -> InventorySync:
        """Return the stock synchronization of a source."""
        connector = self.connector(source)
        poll_seconds = self.settings.sources[source].poll_seconds
        return InventorySync(self.database, connector, self.settings.stock, poll_seconds=poll_seconds)

    def declare(self) -> None:
        """Bring locations and feeds in the database to what the settings say."""
        with self.database.driver() as connection, connection.transaction():
            store_locations(connection, self.locations)
            for name, source in self.settings.enabled_sources().items():
                declare_feed(connection, name, stale_after_seconds=source.stale_after_seconds)


@contextmanager
def open_runtime(settings: Settings | None = None, *, pool_size: int | None = None) -> Iterator[Runtime]:
    """Open the runtime of this process; the embedded server is started when no database URL is set.

    Raises:
        ConfigError: a setting, the locations file or a mapping is wrong.
    """
    settings = settings or load_settings()
    configure_logging(level=settings.log.level, as_json=settings.log.as_json)
    collect_cycles_rarely()
    locations = load_locations(settings.config_dir / "locations.yaml", list(settings.sources))
    with database_url(settings) as url:
        database = Database(url, pool_size=pool_size or settings.database.pool_size)
        try:
            yield Runtime(settings, database, tuple(locations))
        finally:
            database.close()


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Yield the database's URL; holds the embedded server for as long as it is used."""
    with embedded_server(settings) as server:
        yield server.url if server else str(settings.database.url)


@contextmanager
def embedded_server(settings: Settings) -> Iterator[EmbeddedServer | None]:
    """Hold the embedded server for the length of a block; None when the settings name another database."""
    if settings.database.url:
        yield None
        return
    server = EmbeddedServer(settings.state_dir / "postgres")
    try:
        yield server
    finally:
        server.stop()
