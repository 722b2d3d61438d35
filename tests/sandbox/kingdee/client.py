"""A plain client that signs by itself, independently of the sandbox's own code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from sandbox.erp.kingdee import credentials

DYNAMIC = "Kingdee.BOS.WebApi.ServicesStub.DynamicFormService."
AUTH = "Kingdee.BOS.WebApi.ServicesStub.AuthService."
STOCK = "Kingdee.K3.SCM.WebApi.ServicesStub.InventoryQueryService."


def hex_hmac(message: str, key: str) -> str:
    return base64.b64encode(hmac.digest(key.encode(), message.encode(), "sha256").hex().encode()).decode()


def signed_headers(url: str, **changes: Any) -> dict[str, str]:
    """Return the headers of one signed request, worked out from the published description of the signature."""
    wanted = {
        "acct_id": credentials.ACCT_ID,
        "user": credentials.USER,
        "app_id": credentials.APP_ID,
        "secret": credentials.APP_SECRET,
        "lcid": 2052,
        "org": 0,
        "ts": int(time.time()),
        "nonce": "n1",
    } | changes
    client_id, encoded = wanted["app_id"].split("_", 1)
    key = b"0054f397c6234378b09ca7d3e5debce7"[:24]
    hidden = base64.b64decode(encoded)
    gateway_key = base64.b64encode(bytes(hidden[i] ^ key[i] for i in range(24))).decode()
    path = quote(urlsplit(url).path).replace("/", "%2F")
    message = f"POST\n{path}\n\nx-api-nonce:{wanted['nonce']}\nx-api-timestamp:{wanted['ts']}\n"
    app_data = f"{wanted['acct_id']},{wanted['user']},{wanted['lcid']},{wanted['org']}"
    return {
        "X-Api-ClientID": client_id,
        "X-Api-Auth-Version": "2.0",
        "x-api-timestamp": str(wanted["ts"]),
        "x-api-nonce": wanted["nonce"],
        "x-api-signheaders": "X-Api-TimeStamp,X-Api-Nonce",
        "X-Api-Signature": hex_hmac(message, gateway_key),
        "X-Kd-Appkey": wanted["app_id"],
        "X-Kd-Appdata": base64.b64encode(app_data.encode()).decode(),
        "X-Kd-Signature": hex_hmac(wanted["app_id"] + app_data, wanted["secret"]),
    }


def login_by_sign(**changes: str) -> list[Any]:
    """Return LoginBySign's parameters, computed here and not by the sandbox's code."""
    parts = {
        "acct": credentials.ACCT_ID,
        "user": credentials.USER,
        "app": credentials.APP_ID,
        "secret": credentials.APP_SECRET,
        "ts": str(int(time.time())),
    } | changes
    digest = hashlib.sha256("".join(sorted(parts.values())).encode()).hexdigest()
    return [parts["acct"], parts["user"], parts["app"], parts["ts"], digest, 2052]


class Client:
    """Talks to one sandbox; holds no session: every call is signed anew."""

    def __init__(self, base: str) -> None:
        self.base = base

    def url(self, method: str, service: str = DYNAMIC) -> str:
        return f"{self.base}/k3cloud/{service}{method}.common.kdsvc"

    def post(self, method: str, body: Any, *, service: str = DYNAMIC, **changes: Any) -> requests.Response:
        url = self.url(method, service)
        return requests.post(url, json=body, headers=signed_headers(url, **changes), timeout=30)

    def call(self, method: str, form: str, data: Any) -> dict[str, Any]:
        return self.post(method, {"formid": form, "data": data}).json()

    def query(self, form: str, keys: str, where: str = "", order: str = "", **more: Any) -> list[list[Any]]:
        data = {"FormId": form, "FieldKeys": keys, "FilterString": where, "OrderString": order, **more}
        return self.post("ExecuteBillQuery", {"data": data}).json()

    def every(self, keys: str, *, order: str = "FID ASC", page: int = 500, where: str = "") -> list[list[Any]]:
        rows: list[list[Any]] = []
        while True:
            got = self.query("STK_Inventory", keys, where, order, StartRow=len(rows), Limit=page)
            rows += got
            if len(got) < page:
                return rows

    def world(self, name: str, **body: Any) -> dict[str, Any]:
        return requests.post(f"{self.base}/__world/{name}", json=body, timeout=30).json()

    def move(self, kind: str, row: dict[str, Any], quantity: str, **more: Any) -> requests.Response:
        body = {name: row[name] or None for name in ("material", "colour", "size", "stock")}
        body |= {"kind": kind, "quantity": quantity, **more}
        return requests.post(f"{self.base}/__world/movements", json=body, timeout=30)

    def stock(self) -> list[dict[str, Any]]:
        return requests.get(f"{self.base}/__world/stock", timeout=30).json()["rows"]

    def totals(self) -> dict[tuple[str, str], str]:
        answer = requests.get(f"{self.base}/__world/totals", timeout=30).json()
        return {(row["location"], row["item"]): row["quantity"] for row in answer["totals"]}

    def fault(self, fault_id: str, **options: Any) -> None:
        requests.put(f"{self.base}/__faults/{fault_id}", json=options, timeout=10).raise_for_status()

    def calm(self) -> None:
        requests.delete(f"{self.base}/__faults", timeout=10).raise_for_status()

    def plain_row(self, least: int = 10, stock: str = "CK001", skip: int = 0) -> dict[str, Any]:
        """Return an own, sellable row of an article without lots."""
        found = [
            row
            for row in self.stock()
            if row["stock"] == stock
            and not row["lot"]
            and row["owner"] == "100"
            and row["status"] == "KCZT01_SYS"
            and float(row["quantity"]) >= least
        ]
        return found[skip]


def outbound(row: dict[str, Any], quantity: float, **head: Any) -> dict[str, Any]:
    """Return a SAL_OUTSTOCK model for one line."""
    line: dict[str, Any] = {
        "FMaterialID": {"FNumber": row["material"]},
        "FUnitID": {"FNumber": "Pcs"},
        "FRealQty": quantity,
        "FStockID": {"FNumber": row["stock"]},
    }
    if row["colour"]:
        line["FAuxPropID"] = {
            "FAUXPROPID__FF100001": {"FNumber": row["colour"]},
            "FAUXPROPID__FF100002": {"FNumber": row["size"]},
        }
    return {
        "FDate": "2026-11-22",
        "FSaleOrgId": {"FNumber": "100"},
        "FCustomerID": {"FNumber": "CUST0001"},
        "FStockOrgId": {"FNumber": "100"},
        "FEntity": [line],
        **head,
    }


def response_status(answer: Any) -> dict[str, Any]:
    while isinstance(answer, list):
        answer = answer[0]
    return answer["Result"]["ResponseStatus"]
