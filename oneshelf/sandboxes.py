"""Running the vendors' stand-ins, and the settings that point the hub at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from sandbox.erp.kingdee import credentials as kingdee
from sandbox.erp.kingdee.app import create_app as create_kingdee
from sandbox.erp.sap import auth as sap
from sandbox.erp.sap.app import create_app as create_sap
from sandbox.notify.robots.app import create_app as create_robots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.applications import Starlette

PORTS = {"sap": 8101, "kingdee": 8102}
"""The ERPs of the demo."""
ROBOTS = "robots"
ALL_PORTS = {**PORTS, ROBOTS: 8103}


def create_sandbox(name: str, database: Path, *, articles: int, moves_per_minute: float) -> Starlette:
    """Create the stand-in of a vendor; `database` is its own SQLite file.

    Raises:
        KeyError: there is no such sandbox.
    """
    factories: dict[str, Callable[..., Starlette]] = {"sap": create_sap, "kingdee": create_kingdee}
    factory = factories[name]
    database.parent.mkdir(parents=True, exist_ok=True)
    return factory(database, articles=articles, moves_per_minute=moves_per_minute)


def run_sandbox(name: str, database: Path, *, port: int, articles: int, moves_per_minute: float) -> None:
    """Serve a sandbox on loopback until it is stopped."""
    if name == ROBOTS:
        app = create_robots()
    else:
        app = create_sandbox(name, database, articles=articles, moves_per_minute=moves_per_minute)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def connection_environment(urls: dict[str, str]) -> dict[str, str]:
    """Return the settings, as environment variables, that connect the hub's sources to the sandboxes at `urls`."""
    values = {
        "SAP": {"BASE_URL": urls["sap"], "USER": sap.DEMO_USER, "PASSWORD": sap.DEMO_PASSWORD},
        "KINGDEE": {
            "SERVER_URL": f"{urls['kingdee']}/k3cloud/",
            "ACCT_ID": kingdee.ACCT_ID,
            "USER": kingdee.USER,
            "APP_ID": kingdee.APP_ID,
            "APP_SECRET": kingdee.APP_SECRET,
        },
    }
    return {
        f"ONESHELF_SOURCES__{source}__CONNECTION__{field}": value
        for source, fields in values.items()
        for field, value in fields.items()
    }
