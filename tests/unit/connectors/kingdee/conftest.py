from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import responses

from connectors.calls import RequestBudget, RetryPolicy
from connectors.erp.kingdee import KingdeeConnector, KingdeeSettings
from connectors.erp.kingdee.client import KingdeeClient
from connectors.erp.kingdee.mapper import KingdeeMapper
from connectors.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

MAPPINGS = Path(__file__).parents[4] / "mappings" / "erp" / "kingdee"
SERVER = "https://erp.example.com/k3cloud/"
SERVICE = f"{SERVER}Kingdee.BOS.WebApi.ServicesStub."
APP_ID = "300123_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
SECRET = "app-secret-0123456789"
SETTINGS: dict[str, Any] = {
    "server_url": SERVER,
    "acct_id": "6a1b2c3d4e5f",
    "user": "hub",
    "app_id": APP_ID,
    "app_secret": SECRET,
}
LOCATIONS = ("CK001", "CK002")
SINCE = re.compile(r"F\w+ >= '([\d\-T:.]+)'")
KEYSET = re.compile(r"FID >= '?(\w+)'?")
NAMED = re.compile(r"FID (?:IN|=) (\([^)]*\)|'\w+')")


def make_settings(**more: Any) -> KingdeeSettings:
    return KingdeeSettings.model_validate({**SETTINGS, **more})


def make_client(**more: Any) -> KingdeeClient:
    settings = make_settings(**more)
    # No waits between attempts; their number is the ordinary one.
    retry = RetryPolicy(first_wait=0.0, longest_wait=0.0)
    http = HttpClient("kingdee", budget=RequestBudget(10_000), timeout=(1.0, 1.0), retry=retry)
    return KingdeeClient("kingdee", settings, http=http, now=lambda: 1_795_000_000.5)


def make_connector(
    locations: tuple[str, ...] = LOCATIONS, *, mappings: Path = MAPPINGS, **more: Any
) -> KingdeeConnector:
    settings = make_settings(**more)
    mapper = KingdeeMapper(mappings, settings, locations)
    return KingdeeConnector("kingdee", settings, make_client(**more), mapper, locations=locations)


def stock_row(fid: Any, material: str = "01.00001", location: str = "CK001", **more: Any) -> dict[str, Any]:
    row = {
        "FID": fid,
        "FMaterialId.FNumber": material,
        "FAuxPropId.FF100001.FNumber": None,
        "FAuxPropId.FF100002.FNumber": None,
        "FStockId.FNumber": location,
        "FStockStatusId.FNumber": "KCZT01_SYS",
        "FBaseQty": 5.0,
        "FBaseUnitId.FNumber": "Pcs",
        "FOwnerId.FNumber": "100",
        "FLot.FNumber": "",
        "FExpiryDate": None,
        "FUpdateTime": "2026-11-22T10:11:12.123",
    }
    return {**row, **more}


def transfer(fid: int, entry: int, modified: str, **more: Any) -> dict[str, Any]:
    """Return a line of STK_TransferDirect, from CK001 to CK002."""
    row = {
        "FID": fid,
        "FBillEntry_FEntryID": entry,
        "FDocumentStatus": "C",
        "FMaterialId.FNumber": "02.00002",
        "FAuxPropId.FF100001.FNumber": "C01",
        "FAuxPropId.FF100002.FNumber": None,
        "FSrcStockId.FNumber": "CK001",
        "FDestStockId.FNumber": "CK002",
        "FModifyDate": modified,
        "FApproveDate": None,
        "FBillNo": f"ZJDB{fid}",
        "FBaseQty": 2.0,
    }
    return {**row, **more}


def tables(maximum: int = 10_000, **forms: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
    """Answer like a server that holds these forms."""

    def respond(question: dict[str, Any]) -> Any:
        rows = forms.get(question["FormId"], [])
        times = ("FUpdateTime",) if question["FormId"] == "STK_Inventory" else ("FModifyDate", "FApproveDate")
        if question["OrderString"].endswith("DESC"):
            return sorted(rows, key=lambda row: row[times[0]] or "", reverse=True)[: question["Limit"]]
        if since := SINCE.search(question["FilterString"]):
            rows = [row for row in rows if any((row[name] or "") >= since[1] for name in times)]
        if keyset := KEYSET.search(question["FilterString"]):
            rows = [row for row in rows if row["FID"] >= int(keyset[1])]
        if named := NAMED.search(question["FilterString"]):
            rows = [row for row in rows if str(row["FID"]) in re.findall(r"\w+", named[1])]
        rows = sorted(rows, key=lambda row: (row["FID"], row.get("FBillEntry_FEntryID", 0)))
        start = question["StartRow"]
        return rows[start : start + min(question["Limit"], maximum)]

    return respond


def failure(message: str, code: Any, *, success: Any = False) -> dict[str, Any]:
    errors = [{"FieldName": None, "Message": message, "DIndex": 0}]
    status = {"ErrorCode": 500, "IsSuccess": success, "Errors": errors, "SuccessEntitys": [], "SuccessMessages": []}
    return {"Result": {"ResponseStatus": {**status, "MsgCode": code}}}


class Server:
    """Answers in the order given, or through a function of the question; keeps what it was asked."""

    def __init__(self, mocks: responses.RequestsMock) -> None:
        self._mocks = mocks
        self.asked: list[dict[str, Any]] = []
        self.requests: list[requests.PreparedRequest] = []

    def answer(self, function: Callable[[dict[str, Any]], Any], service: str = "BillQuery") -> None:
        """Answer every question with what `function` makes of it, a JSON value or (status, text)."""

        def respond(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
            question = json.loads(request.body or b"{}")
            question = question.get("data", question)
            self.asked.append(question)
            self.requests.append(request)
            given = function(question)
            if isinstance(given, tuple):
                return (given[0], given[2] if len(given) > 2 else {}, given[1])
            return 200, {"Content-Type": "application/json"}, json.dumps(given, ensure_ascii=False)

        stub = "AuthService" if service == "LoginBySign" else "DynamicFormService"
        self._mocks.add_callback("POST", f"{SERVICE}{stub}.{service}.common.kdsvc", callback=respond)

    def answers(self, *given: Any, service: str = "BillQuery") -> None:
        queue = list(given)
        self.answer(lambda _: queue.pop(0), service)


@pytest.fixture
def server() -> Iterator[Server]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocks:
        yield Server(mocks)
