"""Units of work: one unit, one transaction."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

from hub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

DRIVER = "postgresql+psycopg"
_PLAN_SECONDS = 300
# A connection keeps each buffer that its temporary tables ever used, and goes round through all it may have: 8 MB,
# however small the tables are.
_TEMP_BUFFERS = "1MB"


def driver_url(url: str) -> str:
    """Return `url` with the one driver the hub uses; any spelling of a PostgreSQL URL is taken.

    Raises:
        ConfigError: it is not a PostgreSQL URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:  # its text may hold the password
        raise ConfigError("database.url must start with postgresql://; this is no URL at all") from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ConfigError(f"database.url must start with postgresql://, not {parsed.drivername}://")
    return parsed.set(drivername=DRIVER).render_as_string(hide_password=False)


def plain_url(url: str) -> str:
    """Return `url` as psycopg itself understands it, without SQLAlchemy's driver name."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Database:
    """The hub's connections to its PostgreSQL. One per process; `close` gives them back."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.url = driver_url(url)
        self._pool_size = pool_size
        self.engine: Engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            connect_args=self._options({"temp_buffers": _TEMP_BUFFERS}),
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a unit of work: committed at the end of the block, rolled back if it raises."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def driver(self) -> Iterator[psycopg.Connection]:
        """Lend a bare psycopg connection in autocommit mode, for COPY, ticks and temporary tables.

        Open units of work on it with `connection.transaction()`. Temporary tables are dropped when it is given back.
        """
        pooled = self.engine.raw_connection()
        try:
            connection = cast("psycopg.Connection", pooled.driver_connection)
            connection.autocommit = True
            try:
                yield connection
            finally:
                if not _cleaned(connection):
                    pooled.invalidate()
        finally:
            pooled.close()

    def async_engine(self, **settings: str) -> AsyncEngine:
        """Return a new asynchronous engine on the same database; the caller disposes of it.

        Args:
            settings: settings of PostgreSQL for its connections.
        """
        return create_async_engine(
            self.url,
            pool_size=self._pool_size,
            max_overflow=self._pool_size,
            pool_pre_ping=True,
            connect_args=self._options(settings),
        )

    def planned_engine(self, **settings: str) -> AsyncEngine:
        """Return a new asynchronous engine whose connections plan each statement once, not for each set of values.

        For reads that are best run in one way whatever is asked, and that take longer to plan than to run. It is in
        autocommit mode. It keeps its connections, since opening one costs more than many such reads, and does not try
        them before use: the caller asks again when one was lost. Each is replaced after a while, so that no plan
        outlives by much the table sizes that it was made for.

        Args:
            settings: further settings of PostgreSQL for its connections.
        """
        chosen = {"plan_cache_mode": "force_generic_plan", **settings}
        return create_async_engine(
            self.url,
            isolation_level="AUTOCOMMIT",
            pool_size=self._pool_size,
            max_overflow=0,
            pool_recycle=_PLAN_SECONDS,
            connect_args=self._options(chosen),
        )

    def _options(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return what psycopg is told for these settings, beside those that stand in the URL."""
        own = make_url(self.url).normalized_query.get("options", ())
        return {"options": " ".join([*own, *(f"-c {name}={value}" for name, value in settings.items())])}

    def ping(self) -> str:
        """Return the server's version text."""
        with self.engine.connect() as connection:
            return str(connection.execute(text("SHOW server_version")).scalar_one())

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def _cleaned(connection: psycopg.Connection) -> bool:
    """Bring a lent connection back to how the pool keeps it; False if it can't be used any more."""
    if connection.closed:
        return False
    try:
        connection.rollback()  # what the borrower left open by an error
        connection.execute("DISCARD TEMP")
        connection.execute("UNLISTEN *")
        connection.autocommit = False
    except psycopg.Error:
        return False
    return True
