"""Play a recording to the connector that it was made with."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter

from connectors.recording.rules import Recordable
from connectors.registry import create_erp
from connectors.spelling import read_spelled, write_spelled
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from hub.contracts import ErpConnector

HERE = Path(__file__).parent
_ROOTS = ("/sap/opu/odata/sap/", "/k3cloud/")
_CONNECTIONS: dict[str, dict[str, Any]] = {
    "sap": {"base_url": "https://recorded.invalid", "user": "nobody", "password": "none"},
    "kingdee": {
        "server_url": "https://recorded.invalid/k3cloud/",
        "acct_id": "none",
        "user": "nobody",
        "app_id": "none",
        "app_secret": "none",
    },
}
_TOKEN = re.compile(r"'(?:[^']|'')*'|[\w.$-]+|\S")


@dataclass(frozen=True)
class Recording:
    """A recording as it stands in its folder."""

    folder: Path
    manifest: dict[str, Any]
    exchanges: list[dict[str, Any]]

    @property
    def system(self) -> str:
        return str(self.manifest["system"])

    def connect(self) -> ErpConnector:
        """Return a connector whose every answer comes out of the recording."""
        # every request stands in the recording as it was signed or logged in for, without either
        settings = {name: value for name, value in self.manifest["settings"].items() if name != "auth"}
        connection = {**_CONNECTIONS[self.system], **settings, "requests_per_minute": 1_000_000}
        locations = self.manifest["locations"]
        connector = create_erp(self.system, self.system, connection, locations, PROJECT_ROOT / "mappings")
        assert isinstance(connector, Recordable)
        connector.http.session.mount("https://", _Player(self.exchanges))
        return connector


def load(folder: Path) -> Recording:
    manifest = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
    files = sorted(folder.glob("[0-9]*.json"))
    return Recording(folder, manifest, [read_spelled(file.read_text(encoding="utf-8")) for file in files])


def find_recordings() -> list[Path]:
    return sorted(file.parent for file in HERE.glob("*/*/recording.json"))


class NotRecordedError(AssertionError):
    """Raised when the connector asks what nobody asked while the recording was made."""


class _Player(BaseAdapter):
    """Answers each request with what was answered to it, in the order of then; the last answer stands for all later."""

    def __init__(self, exchanges: list[dict[str, Any]]) -> None:
        super().__init__()
        self._answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for exchange in exchanges:
            self._answers[_recorded_question(exchange["request"])].append(exchange["response"])

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        question = _question(request)
        answers = self._answers.get(question)
        if not answers:
            raise NotRecordedError(question)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        response = requests.Response()
        response.status_code = int(answer["status"])
        response.headers.update(answer["headers"])
        response.raw = _Body(_body_of(answer))
        response.request = request
        response.url = str(request.url)
        return response

    def close(self) -> None:
        """Nothing is open."""


class _Body:
    """What `requests` reads an answer from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read1(self, amount: int, **_: Any) -> bytes:
        piece, self._content = self._content[:amount], self._content[amount:]
        return piece

    def close(self) -> None:
        """Nothing is open."""

    release_conn = close


def _body_of(answer: dict[str, Any]) -> bytes:
    if "inside" in answer:
        return json.dumps(write_spelled(answer["inside"])).encode()
    return (answer["text"] if "text" in answer else write_spelled(answer["body"])).encode()


def _question(request: requests.PreparedRequest) -> str:
    parts = urlsplit(str(request.url))
    path = next(parts.path.partition(root)[2] for root in _ROOTS if root in parts.path)
    body = read_spelled(request.body.decode()) if isinstance(request.body, bytes) else None
    return _canonical(unquote(path), dict(parse_qsl(parts.query, keep_blank_values=True)), body)


def _recorded_question(request: dict[str, Any]) -> str:
    return _canonical(request["path"], request.get("query", {}), request.get("body"))


def _canonical(path: str, query: dict[str, str], body: Any) -> str:
    """Return a request as text in which the order of a filter's parts says nothing.

    The connector names places and articles in the order of their numbers, and pseudonyms have another one.
    """
    question = dict((body or {}).get("data", {}))
    parts = {**query, **{name: str(value) for name, value in question.items()}}
    for name in {"$filter", "FilterString"} & parts.keys():
        parts[name] = " ".join(sorted(_TOKEN.findall(parts[name])))
    return json.dumps([path, sorted(parts.items())], ensure_ascii=False)
