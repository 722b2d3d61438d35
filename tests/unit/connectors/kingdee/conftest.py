from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import responses

from connectors.erp.kingdee import KingdeeConnector, KingdeeSettings
from connectors.erp.kingdee.client import KingdeeClient
from connectors.erp.kingdee.mapper import KingdeeMapper
from connectors.http import HttpClient, RequestBudget, RetryPolicy

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


def make_settings(**more: Any) -> KingdeeSettings:
    return KingdeeSettings.model_validate({**SETTINGS, **more})


def make_client(**more: Any) -> KingdeeClient:
    settings = make_settings(**more)
    # No waits between attempts; their number is the ordinary one.
    retry = RetryPolicy(first_wait=0.0, longest_wait=0.0)
    http = HttpClient("kingdee", budget=RequestBudget(10_000), timeout=(1.0, 1.0), retry=retry)
    return KingdeeClient("kingdee", settings, http=http, now=lambda: 1_795_000_000.5)


def make_connector(locations: tuple[str, ...] = LOCATIONS, **more: Any) -> KingdeeConnector:
    settings = make_settings(**more)
    mapper = KingdeeMapper(MAPPINGS, settings, locations)
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
