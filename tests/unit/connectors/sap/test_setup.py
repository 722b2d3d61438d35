"""Settings, the factory, the self-check, and the contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import responses
from pydantic import ValidationError

from connectors.erp.sap import METADATA, create, receiver
from connectors.erp.sap.settings import SapSettings
from connectors.registry import create_erp
from hub.contracts import ErpConnector, EventReader
from hub.errors import ConfigError

from .support import (
    BASIC,
    DOCUMENT_URL,
    LOCATIONS,
    MAPPINGS,
    OAUTH,
    PRODUCT_URL,
    ROOT,
    STOCK_URL,
    collection,
    document,
    error,
    item,
    make_connector,
    product,
    stock_row,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hub.contracts import CheckResult, PushReceiver

STOCK_SETS = {"A_MatlStkInAcctMod": [name for name in stock_row("A") if name != "__metadata"]}
DOCUMENT_SETS = {
    "A_MaterialDocumentHeader": list(document("1", "PT0S", [])),
    "A_MaterialDocumentItem": list(item("1", "0001", "A")),
}
PRODUCT_SETS = {
    "A_Product": list(product("A")),
    "A_ProductDescription": ["Product", "Language", "ProductDescription"],
    "A_ProductUnitsOfMeasure": list(product("A")["to_ProductUnitsOfMeasure"]["results"][0]),
}


def edmx(sets: dict[str, list[str]]) -> str:
    def types() -> Iterable[str]:
        for name, properties in sets.items():
            fields = "".join(
                f'<{"NavigationProperty" if field.startswith("to_") else "Property"} Name="{field}"/>'
                for field in properties
            )
            yield f'<EntityType Name="{name}Type">{fields}</EntityType>'

    entity_sets = "".join(f'<EntitySet Name="{name}" EntityType="NS.{name}Type"/>' for name in sets)
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"><edmx:DataServices>'
        '<Schema Namespace="NS" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">'
        f"{''.join(types())}<EntityContainer>{entity_sets}</EntityContainer>"
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )


def answer_metadata(sap: responses.RequestsMock, name: str, sets: dict[str, list[str]], **more: Any) -> None:
    sap.add(
        responses.GET, f"{ROOT}/{name}/$metadata", **{"body": edmx(sets), "content_type": "application/xml", **more}
    )


def answer_rows(sap: responses.RequestsMock) -> None:
    sap.add(responses.GET, STOCK_URL, body=collection([stock_row("A")]))
    sap.add(responses.GET, DOCUMENT_URL, body=collection([document("1", "PT1H", [])]))
    sap.add(responses.GET, PRODUCT_URL, body=collection([product("A")]))


def by_name(results: Iterable[CheckResult]) -> dict[str, CheckResult]:
    return {result.name: result for result in results}


def test_all_is_well(sap: responses.RequestsMock) -> None:
    cookie = {"Set-Cookie": "sap-usercontext=sap-client=100; path=/"}
    answer_metadata(sap, "API_MATERIAL_STOCK_SRV", STOCK_SETS, headers=cookie)
    answer_metadata(sap, "API_MATERIAL_DOCUMENT_SRV", DOCUMENT_SETS)
    answer_metadata(sap, "API_PRODUCT_SRV", PRODUCT_SETS)
    answer_rows(sap)
    results = make_connector().check()
    assert [result for result in results if not result.ok] == []
    assert by_name(results)["client"].detail == "100 asked for, 100 served"
    assert "$format" not in (sap.calls[0].request.url or "")
    assert sap.calls[0].request.headers["Accept"] == "application/xml"


def test_each_fault_has_its_advice(sap: responses.RequestsMock) -> None:
    cookie = {"Set-Cookie": "sap-usercontext=sap-client=200; path=/"}
    lacking = {"A_MatlStkInAcctMod": [name for name in STOCK_SETS["A_MatlStkInAcctMod"] if name != "Batch"]}
    answer_metadata(sap, "API_MATERIAL_STOCK_SRV", lacking, headers=cookie)
    answer_metadata(sap, "API_MATERIAL_DOCUMENT_SRV", {}, status=403, body=error("/IWFND/MED/170", "No service found"))
    answer_metadata(sap, "API_PRODUCT_SRV", {"A_Product": PRODUCT_SETS["A_Product"]})
    sap.add(responses.GET, STOCK_URL, body=collection([]))
    sap.add(responses.GET, DOCUMENT_URL, status=403, body=error("/IWFND/MED/170", "No service found"))
    sap.add(responses.GET, PRODUCT_URL, status=403, body=error("X/1", "no role"))
    found = by_name(make_connector().check())
    assert found["log-in"].ok
    assert not found["client"].ok
    assert found["API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod"].detail == "lacks Batch"
    assert "/IWFND/MAINT_SERVICE" in found["API_MATERIAL_DOCUMENT_SRV"].advice
    assert found["API_PRODUCT_SRV/A_Product"].ok
    assert found["API_PRODUCT_SRV/A_ProductDescription"].detail == "does not exist"
    assert "locations" in found["stock rows"].advice
    assert not found["material documents"].ok
    assert "S_SERVICE" in found["products"].advice


@pytest.mark.parametrize(
    "answer",
    [{"status": 401, "body": ""}, {"body": "<html>maintenance", "content_type": "text/html"}, {"body": "<Edmx"}],
    ids=["password", "maintenance", "cut"],
)
def test_check_stops_at_the_door(sap: responses.RequestsMock, answer: dict[str, Any]) -> None:
    for _ in range(2):
        answer_metadata(sap, "API_MATERIAL_STOCK_SRV", {}, **answer)
    sap.assert_all_requests_are_fired = False
    (result,) = make_connector().check()
    assert (result.name, result.ok) == ("log-in", False)
    assert result.advice


@pytest.mark.parametrize("body", ["<a/>", '<!DOCTYPE x [<!ENTITY y "z">]><x>&y;</x>'], ids=["no-edmx", "dtd"])
def test_strange_metadata(sap: responses.RequestsMock, body: str) -> None:
    answer_metadata(sap, "API_MATERIAL_STOCK_SRV", {}, body=body)
    answer_metadata(sap, "API_MATERIAL_DOCUMENT_SRV", DOCUMENT_SETS)
    answer_metadata(sap, "API_PRODUCT_SRV", PRODUCT_SETS)
    answer_rows(sap)
    assert not by_name(make_connector().check())["API_MATERIAL_STOCK_SRV"].ok


def test_factory_gives_what_the_hub_asks_for() -> None:
    connector = create("sap-cn", BASIC, LOCATIONS, MAPPINGS)
    assert isinstance(connector, ErpConnector)
    assert isinstance(connector, EventReader)
    assert connector.source == "sap-cn"
    assert connector.traits.quantity_basis == "physical"
    assert connector.traits.takes_back
    assert [part.partition("@")[0] for part in connector.mapping_version.split()] == [
        "stock.yaml",
        "article.yaml",
        "barcode.yaml",
        "movement.yaml",
    ]
    push: PushReceiver = receiver("sap-cn", {**BASIC, "hook_secret": "x"})
    assert push.source == "sap-cn"
    assert METADATA["system"] == "sap"


@pytest.mark.parametrize(
    "changes",
    [
        {"password": None},
        {"user": None, "password": None},
        OAUTH,
        {"pasword": "geheim"},
        {"client": "1"},
        {"base_url": "s4.example.com"},
        {"base_url": "https://hub:geheim@s4.example.com"},
        {"page_rows": 0},
    ],
)
def test_wrong_settings_are_named_and_secrets_are_not(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        create("sap-cn", {**BASIC, **changes}, LOCATIONS, MAPPINGS)
    assert "geheim" not in str(caught.value)
    with pytest.raises(ConfigError) as explained:
        create_erp("sap", "sap-cn", {**BASIC, **changes}, LOCATIONS, MAPPINGS)
    assert "geheim" not in str(explained.value)
    assert "sources.sap-cn.connection" in str(explained.value)


def test_wrong_location_and_missing_mapping(tmp_path: Any) -> None:
    with pytest.raises(ConfigError):
        create("sap-cn", BASIC, ["SHANGHAI"], MAPPINGS)
    with pytest.raises(ConfigError):
        create("sap-cn", BASIC, LOCATIONS, tmp_path)


def test_trailing_slash_and_oauth() -> None:
    assert SapSettings.model_validate({**OAUTH, "base_url": "http://localhost:1/"}).base_url == "http://localhost:1"
