"""The registry: which system, and what is wrong with a connection's settings."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.registry import ERP_SYSTEMS, create_erp, create_receiver
from hub.contracts import ErpConnector
from hub.errors import ConfigError
from hub.settings import PROJECT_ROOT

MAPPINGS = PROJECT_ROOT / "mappings"
SAP: dict[str, Any] = {"base_url": "https://s4.example.com", "user": "hub", "password": "geheim"}
KINGDEE: dict[str, Any] = {
    "server_url": "https://erp.example.com/k3cloud/",
    "acct_id": "a",
    "user": "hub",
    "app_id": "1_2",
    "app_secret": "geheim",
}
GOOD: dict[str, tuple[dict[str, Any], list[str]]] = {"sap": (SAP, ["1010/101A"]), "kingdee": (KINGDEE, ["CK001"])}


@pytest.mark.parametrize("system", ERP_SYSTEMS)
def test_every_known_system_has_a_connector(system: str) -> None:
    settings, locations = GOOD[system]
    connector = create_erp(system, "main", settings, locations, MAPPINGS)
    assert isinstance(connector, ErpConnector)
    assert connector.source == "main"


def test_an_unknown_system_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        create_erp("oracle", "main", {}, [], MAPPINGS)
    assert str(caught.value) == "sources.main.system: no connector for oracle; there is kingdee, sap"


@pytest.mark.parametrize(
    ("system", "changes", "says"),
    [
        ("sap", {"client": "geheim"}, ["sources.main.connection.client", "ONESHELF_SOURCES__MAIN__CONNECTION__CLIENT"]),
        ("sap", {"base_url": None}, ["sources.main.connection.base_url", "CONNECTION__BASE_URL"]),
        ("sap", {"passwort": "geheim"}, ["sources.main.connection.passwort", "did you mean password?"]),
        ("sap", {"qqq": "geheim"}, ["there is base_url, user"]),
        ("sap", {"password": None}, ["user and password, or token_url", "ONESHELF_SOURCES__MAIN__CONNECTION__…"]),
        ("sap", {"page_rows": 0, "client": "geheim"}, ["connection.page_rows", "connection.client"]),
        ("kingdee", {"app_secret": ""}, ["connection.app_secret", "ONESHELF_SOURCES__MAIN__CONNECTION__APP_SECRET"]),
        ("kingdee", {"movement_forms": [{"form": "'"}]}, ["connection.movement_forms.0.form", "__MOVEMENT_FORMS)"]),
        ("kingdee", {"barcode_form": {"forms": 1}}, ["connection.barcode_form.forms", "__BARCODE_FORM)"]),
    ],
)
def test_a_wrong_setting_names_itself_and_its_variable_but_not_its_value(
    system: str, changes: dict[str, Any], says: list[str]
) -> None:
    settings, locations = GOOD[system]
    changed = {key: value for key, value in {**settings, **changes}.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        create_erp(system, "main", changed, locations, MAPPINGS)
    for part in says:
        assert part in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_only_systems_that_push_have_receivers() -> None:
    receiver = create_receiver("sap", "main", SAP)
    assert receiver is not None
    assert receiver.source == "main"
    assert create_receiver("kingdee", "main", KINGDEE) is None
    with pytest.raises(ConfigError, match="ONESHELF_SOURCES__MAIN__CONNECTION__CLIENT"):
        create_receiver("sap", "main", {**SAP, "client": "1"})
