"""A small HTTP client for the sandbox's tests; it knows OData URLs and nothing of the hub."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import requests

from sandbox.erp.sap.auth import DEMO_PASSWORD, DEMO_USER

ROOT = "/sap/opu/odata/sap"
STOCK = "API_MATERIAL_STOCK_SRV"
DOCUMENTS = "API_MATERIAL_DOCUMENT_SRV"
PRODUCTS = "API_PRODUCT_SRV"
SECONDS = 20


class SapUser:
    """Somebody with a browser, the demo user's password and access to the control endpoints."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.auth = (DEMO_USER, DEMO_PASSWORD)
        self.session.headers["Accept"] = "application/json"

    def close(self) -> None:
        self.session.close()

    def get(self, path: str, **options: str) -> requests.Response:
        """GET `path` below the OData root; `top="5"` becomes `$top=5`, `sap_client` becomes `sap-client`."""
        return self.get_with({}, path, **options)

    def get_with(self, headers: dict[str, str], path: str, **options: str) -> requests.Response:
        """GET like `get`, with further headers."""
        named = {
            name.replace("_", "-") if name.startswith("sap_") else f"${name}": value for name, value in options.items()
        }
        query = "&".join(f"{name}={quote(value)}" for name, value in named.items())
        return self.session.get(f"{self.url}{ROOT}/{path}?{query}", headers=headers, timeout=SECONDS)

    def rows(self, path: str, **options: str) -> list[dict[str, Any]]:
        """Return the rows of the first page."""
        answer = self.get(path, **options)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["d"]["results"]
        return found

    def pages(self, path: str, **options: str) -> list[list[dict[str, Any]]]:
        """Follow __next to the end."""
        data = self.get(path, **options).json()["d"]
        pages = [data["results"]]
        while "__next" in data:
            data = self.session.get(data["__next"], timeout=SECONDS).json()["d"]
            pages.append(data["results"])
        return pages

    def all_rows(self, path: str, **options: str) -> list[dict[str, Any]]:
        return [row for page in self.pages(path, **options) for row in page]

    def token(self, service: str = DOCUMENTS) -> str:
        """Fetch a CSRF token; its cookies stay in the session."""
        return self.get_with({"X-CSRF-Token": "Fetch"}, f"{service}/").headers["x-csrf-token"]

    def post(self, path: str, body: Any, token: str | None = None) -> requests.Response:
        headers = {"X-CSRF-Token": self.token() if token is None else token}
        return self.session.post(f"{self.url}{ROOT}/{path}", json=body, headers=headers, timeout=SECONDS)

    def issue(self, material: str, quantity: str = "1", **item: str) -> requests.Response:
        """Post a goods issue of one item through the API."""
        line = {
            "Material": material,
            "Plant": "1010",
            "StorageLocation": "101A",
            "GoodsMovementType": "251",
            "QuantityInEntryUnit": quantity,
            **item,
        }
        document = {"GoodsMovementCode": "03", "ReferenceDocument": "SO-1", "to_MaterialDocumentItem": [line]}
        return self.post(f"{DOCUMENTS}/A_MaterialDocumentHeader", document)

    def world(self, path: str, body: Any = None) -> requests.Response:
        """Call a control endpoint: POST with a body, else GET."""
        url = f"{self.url}/__world/{path}"
        if body is None:
            return requests.get(url, timeout=SECONDS)
        return requests.post(url, json=body, timeout=SECONDS)

    def move(self, **order: Any) -> dict[str, Any]:
        answer = self.world("movements", order)
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def totals(self) -> dict[tuple[str, str], str]:
        return {(row["location"], row["item"]): row["quantity"] for row in self.world("totals").json()["totals"]}

    def fault(self, fault_id: str, **params: Any) -> None:
        answer = requests.put(f"{self.url}/__faults/{fault_id}", json=params, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
