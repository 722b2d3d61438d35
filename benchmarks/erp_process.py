"""Serve an ERP's stand-in with many shops, as a process of its own: `python -m benchmarks.erp_process …`."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from sandbox.erp.kingdee import stores as kingdee_stores
from sandbox.erp.kingdee.app import create_app as create_kingdee
from sandbox.erp.sap import stores as sap_stores
from sandbox.erp.sap.app import create_app as create_sap
from sandbox.erp.sap_rfc.system import AbapSystem

if TYPE_CHECKING:
    from starlette.applications import Starlette

SAP_MOST_ROWS = 5000
"""What SAP gives in one answer at most (SAP KBA 3626726)."""


def main() -> None:
    """Serve what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=("sap", "kingdee"))
    parser.add_argument("database", type=Path)
    for name in ("port", "articles", "stores", "every", "hours_behind"):
        parser.add_argument(name, type=int)
    options = parser.parse_args()
    create = {"sap": _sap, "kingdee": _kingdee}[options.system]
    behind = timedelta(hours=options.hours_behind)
    app = create(options.database, options.articles, options.stores, options.every, behind)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


def _sap(database: Path, articles: int, stores: int, every: int, behind: timedelta) -> Starlette:
    app = create_sap(database, articles=articles, page_size=SAP_MOST_ROWS, behind=behind)
    sap_stores.open_stores(app.state.world.store, stores, every=every)
    AbapSystem(database).close()  # takes the books over for RFC, before anyone else opens them
    return app


def _kingdee(database: Path, articles: int, stores: int, every: int, behind: timedelta) -> Starlette:
    app = create_kingdee(database, articles=articles, behind=behind)
    kingdee_stores.open_stores(app.state.world.database, stores, every=every)
    return app


if __name__ == "__main__":
    main()
