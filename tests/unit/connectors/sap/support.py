"""Answers of SAP for the tests, made from what is publicly known of its protocol, and a connector to read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from connectors.calls import RequestBudget, RetryPolicy
from connectors.erp.sap.client import SapClient
from connectors.erp.sap.connector import SapConnector
from connectors.erp.sap.mapper import SapMapper
from connectors.erp.sap.settings import SapSettings
from connectors.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import responses

MAPPINGS = Path(__file__).resolve().parents[4] / "mappings"
BASE = "https://s4.example.com:44300"
ROOT = f"{BASE}/sap/opu/odata/sap"
STOCK_URL = f"{ROOT}/API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod"
DOCUMENT_URL = f"{ROOT}/API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader"
PRODUCT_URL = f"{ROOT}/API_PRODUCT_SRV/A_Product"
NOW = datetime(2026, 11, 22, 4, 0, 0, tzinfo=UTC)
"""Noon of the documents' day in SAP's zone."""
LOCATIONS = ("1010/101A", "1010/101B")

BASIC = {"base_url": BASE, "user": "HUB", "password": "geheim-秘密"}
OAUTH = {
    "base_url": BASE,
    "token_url": "https://auth.example.com/oauth/token",
    "client_id": "hub",
    "client_secret": "s3cret-value",
}


def make_client(**changes: Any) -> SapClient:
    settings = SapSettings.model_validate({**BASIC, **changes} if "token_url" not in changes else changes)
    return SapClient(settings, make_http(settings))


def make_http(settings: SapSettings) -> HttpClient:
    return HttpClient(
        "sap",
        budget=RequestBudget(settings.requests_per_minute),
        retry=RetryPolicy(attempts=2, first_wait=0, longest_wait=0),
    )


def make_connector(
    locations: Collection[str] = LOCATIONS, now: Callable[[], datetime] = lambda: NOW, **changes: Any
) -> SapConnector:
    settings = SapSettings.model_validate({**BASIC, **changes})
    mapper = SapMapper(MAPPINGS / "erp" / "sap", (settings.language, settings.fallback_language))
    return SapConnector("sap-cn", settings, SapClient(settings, make_http(settings)), mapper, locations, now)


def collection(rows: list[dict[str, Any]], *, count: Any = None, link: str | None = None) -> str:
    data: dict[str, Any] = {"results": rows}
    if count is not None:
        data["__count"] = count
    if link is not None:
        data["__next"] = link
    return json.dumps({"d": data})


def error(code: str, text: str, *, details: list[dict[str, str]] | None = None) -> str:
    inner = {"transactionid": "TX1", "timestamp": "20260608235304.6383550", "errordetails": details or []}
    return json.dumps({"error": {"code": code, "message": {"lang": "zh", "value": text}, "innererror": inner}})


def stock_row(material: str, storage: str = "101A", quantity: Any = "5", **changes: Any) -> dict[str, Any]:
    return {
        "__metadata": {"type": "API_MATERIAL_STOCK_SRV.A_MatlStkInAcctModType"},
        "Material": material,
        "Plant": "1010",
        "StorageLocation": storage,
        "Batch": "",
        "Supplier": "",
        "Customer": "",
        "WBSElementInternalID": "0",
        "SDDocument": "",
        "SDDocumentItem": "0",
        "InventorySpecialStockType": "",
        "InventoryStockType": "01",
        "MaterialBaseUnit": "ST",
        "MatlWrhsStkQtyInMatlBaseUnit": quantity,
        **changes,
    }


def document(
    number: str, time: str, items: Any = None, *, day: str = "/Date(1795305600000)/", reference: str = ""
) -> dict[str, Any]:
    """Return a document header, with its items where it was asked for them; the default day is 2026-11-22."""
    header = {"MaterialDocumentYear": "2026", "MaterialDocument": number, "CreationDate": day, "CreationTime": time}
    header["ReferenceDocument"] = reference
    if items is None:
        return header
    return {**header, "to_MaterialDocumentItem": {"results": items} if isinstance(items, list) else items}


def item(number: str, line: str, material: str, storage: str = "101A", **changes: Any) -> dict[str, Any]:
    return {
        "MaterialDocumentYear": "2026",
        "MaterialDocument": number,
        "MaterialDocumentItem": line,
        "Material": material,
        "Plant": "1010",
        "StorageLocation": storage,
        "IssgOrRcvgMaterial": "",
        "IssuingOrReceivingPlant": "",
        "IssuingOrReceivingStorageLoc": "",
        "DebitCreditCode": "H",
        "QuantityInBaseUnit": "1",
        "GoodsMovementIsCancelled": False,
        "ReversedMaterialDocumentYear": "",
        "ReversedMaterialDocument": "",
        "ReversedMaterialDocumentItem": "",
        **changes,
    }


def product(number: str, **changes: Any) -> dict[str, Any]:
    return {
        "Product": number,
        "BaseUnit": "ST",
        "ProductStandardID": "6901234567892",
        "ProductGroup": "L001",
        "Brand": "ACME",
        "SizeOrDimensionText": "M",
        "IsMarkedForDeletion": False,
        "to_Description": {
            "results": [
                {"Product": number, "Language": "EN", "ProductDescription": "Shirt"},
                {"Product": number, "Language": "ZH", "ProductDescription": "衬衫"},
            ]
        },
        "to_ProductUnitsOfMeasure": {
            "results": [unit(number, "ST", "1", "1", "6901234567892"), unit(number, "CAR", "12", "1", "16901234567899")]
        },
        **changes,
    }


def unit(number: str, name: str, numerator: Any, denominator: Any, code: str) -> dict[str, Any]:
    return {
        "Product": number,
        "AlternativeUnit": name,
        "QuantityNumerator": numerator,
        "QuantityDenominator": denominator,
        "GlobalTradeItemNumber": code,
    }


def query_of(mocked: responses.RequestsMock, number: int) -> dict[str, str]:
    """Return the decoded query of the request with that number."""
    return dict(parse_qsl(urlsplit(mocked.calls[number].request.url or "").query, keep_blank_values=True))
