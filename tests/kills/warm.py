"""Imported by the process that the victims are forked from: what each of them would else load for itself."""

from __future__ import annotations

from connectors.registry import create_erp
from hub.locations import codes_of, load_locations
from hub.settings import PROJECT_ROOT
from oneshelf import asgi, cli, sandboxes, serving
from sandbox.erp.sap_rfc import system

__all__ = ["asgi", "cli", "sandboxes", "serving", "system"]

_NOWHERE = {
    "sap": {"base_url": "http://127.0.0.1:1", "user": "u", "password": "p"},
    "kingdee": {
        "server_url": "http://127.0.0.1:1/k3cloud/",
        "acct_id": "a",
        "user": "u",
        "app_id": "1_" + "a" * 32,
        "app_secret": "s",
    },
}
for _system, _connection in _NOWHERE.items():
    _codes = codes_of(load_locations(PROJECT_ROOT / "config" / "locations.yaml", list(_NOWHERE)), _system)
    create_erp(_system, _system, _connection, _codes, PROJECT_ROOT / "mappings")
