"""Bringing the schema up to date, and telling whether it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from hub.db.partitions import make_partitions
from hub.db.tables import metadata

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Connection

    from hub.db.session import Database

# Two processes that start at the same moment must not migrate at the same moment.
_LOCK = text("SELECT pg_advisory_lock(hashtext('oneshelf.migrate'))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtext('oneshelf.migrate'))")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def upgrade(database: Database) -> None:
    """Run all migrations that are missing."""
    with database.engine.connect() as connection:
        connection.execute(_LOCK)
        try:
            connection.commit()
            command.upgrade(_config(connection), "head")
            install_functions(connection)
            connection.commit()
            with database.driver() as driver:
                make_partitions(driver)
        finally:
            connection.rollback()
            connection.execute(_UNLOCK)
            connection.commit()


def install_functions(connection: Connection) -> None:
    """Create or replace the functions of `hub/db/functions`, in the caller's transaction."""
    for path in function_files():
        connection.exec_driver_sql(path.read_text(encoding="utf-8").replace("%", "%%"))


def function_files() -> list[Path]:
    """Return the files of the functions."""
    return sorted(Path(__file__).with_name("functions").glob("*.sql"))


def head_revision() -> str:
    """Return the revision that this code expects."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def current_revision(database: Database) -> str | None:
    """Return the database's revision, or None when it has no schema yet."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _is_ours(_: Any, name: str | None, kind: str, reflected: bool, __: Any) -> bool:  # noqa: ANN401, FBT001
    """Tell whether the models must know an object: the partitions of a table are no tables of their own."""
    return not (kind == "table" and reflected and str(name).startswith("hold_event_"))


def difference(database: Database) -> list[Any]:
    """Return what differs between the database's schema and `hub.db.tables`; empty when they agree."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True, "include_object": _is_ours}
        )
        return list(compare_metadata(context, metadata))
