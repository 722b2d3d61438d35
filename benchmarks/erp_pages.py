"""Raw pages of stock as SAP and Kingdee answer them, in a file, and a transport that hands them to the real connectors.

A page holds as many rows as the ERP gives at most. The connectors page by whole keys: the last group of a page that
was cut is asked for again, so each page begins with the group that the one before it ended with.
"""

from __future__ import annotations

import io
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from connectors.registry import create_erp
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hub.contracts import ErpConnector

SYSTEMS: Final = ("sap", "kingdee")
CONNECTIONS: Final[dict[str, dict[str, Any]]] = {
    # one condition names all places, so that the pages of a file follow each other
    "sap": {
        "base_url": "http://127.0.0.1:9",
        "user": "bench",
        "password": "bench",
        "page_rows": 5000,
        "filter_length": 4000,
    },
    "kingdee": {
        "server_url": "http://127.0.0.1:9/k3cloud/",
        "acct_id": "bench",
        "user": "bench",
        "app_id": "1_0123456789abcdef0123456789abcdef",
        "app_secret": "bench",
        "page_rows": 2000,
    },
}
UNLIMITED: Final = {"requests_per_minute": 10_000_000}
_BUFFER: Final = 1 << 24
_SAP_SERVICE: Final = "https://s4.example.com:44300/sap/opu/odata/sap/API_MATERIAL_STOCK_SRV"


@dataclass(frozen=True, slots=True)
class Books:
    """The stock of an ERP: `articles` × `places` rows, of which `changed` (a share) differ in the second state."""

    system: str
    articles: int
    places: int
    changed: float = 0.01

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return self.articles * self.places

    def article(self, number: int) -> str:
        """Return the ERP's own number of an article."""
        return f"{100_000 + number}" if self.system == "sap" else f"{number // 1000:02}.{number % 1000:05}"

    def place(self, number: int) -> str:
        """Return what the ERP calls a place."""
        return f"10{10 + number // 10}/{number % 10:03}A" if self.system == "sap" else f"CK{number:03}"

    def quantity(self, row: int, state: int) -> str:
        """Return the quantity of a row in the first (0) or second (1) state: whole pieces, some weighed goods."""
        moved = state and random.Random(row * 2 + 1).random() < self.changed  # noqa: S311 - a reproducible world
        base = (row * 7919) % 997 + 1 + (1 if moved else 0)
        return f"{base}.{row % 1000:03}" if row // self.places % 10 == 0 else str(base)


def write_pages(books: Books, state: int, path: Path) -> int:
    """Write all pages of one state, a line each, and return how many there are."""
    rows_per_page = int(CONNECTIONS[books.system]["page_rows"])
    row = {"sap": _sap_row, "kingdee": _kingdee_row}[books.system]
    page = {"sap": _sap_page, "kingdee": _kingdee_page}[books.system]
    # A group is what the connector cuts pages by: a material at SAP, a material in a warehouse at Kingdee.
    group = books.places if books.system == "sap" else 1
    count, first = 0, 0
    with path.open("w", encoding="utf-8") as file:
        while first < books.rows:
            last = min(first + rows_per_page, books.rows)
            texts = [row(books, number, state) for number in range(first, last)]
            file.write(page(texts, books.rows - first) + "\n")
            count += 1
            first = last if last == books.rows else (last - 1) // group * group
        # Kingdee counts nothing: the connector asks whether anything follows the last row, which comes again.
        file.write(page([row(books, books.rows - 1, state)], 1) + "\n")
    return count


def _sap_row(books: Books, number: int, state: int) -> str:
    plant, storage = books.place(number % books.places).split("/")
    key = {
        "Material": books.article(number // books.places),
        "Plant": plant,
        "StorageLocation": storage,
        "Batch": "",
        "Supplier": "",
        "Customer": "",
        "WBSElementInternalID": "",
        "SDDocument": "",
        "SDDocumentItem": "",
        "InventorySpecialStockType": "",
        "InventoryStockType": "01",
    }
    predicate = ",".join(f"{name}='{quote(value)}'" for name, value in key.items())
    uri = f"{_SAP_SERVICE}/A_MatlStkInAcctMod({predicate})"
    entity = {
        "__metadata": {"id": uri, "uri": uri, "type": "API_MATERIAL_STOCK_SRV.A_MatlStkInAcctModType"},
        **key,
        "MaterialBaseUnit": "ST",
        "MatlWrhsStkQtyInMatlBaseUnit": books.quantity(number, state),
    }
    return json.dumps(entity, separators=(",", ":"))


def _sap_page(rows: list[str], count: int) -> str:
    return f'{{"d":{{"__count":"{count}","results":[{",".join(rows)}]}}}}'


def _kingdee_row(books: Books, number: int, state: int) -> str:
    fields = {
        "FID": 100_000 + number,
        "FMaterialId.FNumber": books.article(number // books.places),
        "FStockId.FNumber": books.place(number % books.places),
        "FAuxPropId.FF100001.FNumber": None,
        "FAuxPropId.FF100002.FNumber": None,
        "FStockStatusId.FNumber": "KCZT01_SYS",
        "FBaseUnitId.FNumber": "Pcs",
        "FOwnerId.FNumber": "100",
        "FLot.FNumber": None,
        "FExpiryDate": None,
        "FUpdateTime": f"2026-11-{number % 20 + 1:02}T{number % 24:02}:{number % 60:02}:12.123",
    }
    text = json.dumps(fields, separators=(",", ":"))
    quantity = books.quantity(number, state)
    quantity = quantity if "." in quantity else f"{quantity}.0"
    return f'{text[:-1]},"FBaseQty":{quantity}}}'


def _kingdee_page(rows: list[str], _count: int) -> str:
    return f"[{','.join(rows)}]"


class Replay(BaseAdapter):
    """Answers each request with the next page of a file, whatever is asked; after the last one with no rows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._pages = _lines(path)

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:  # noqa: ANN401
        """Return the next page."""
        response = requests.Response()
        response.status_code = 200
        response.request = request
        response.url = request.url or ""
        response.headers["Content-Type"] = "application/json;charset=utf-8"
        response.raw = HTTPResponse(io.BytesIO(next(self._pages, b"[]")), preload_content=False)
        return response

    def close(self) -> None:
        """Do nothing: the file ends with the iterator."""


def _lines(path: Path) -> Iterator[bytes]:
    # Long buffers: reading a page must cost next to nothing beside what is done with it.
    with path.open("rb", buffering=_BUFFER) as file:
        yield from file


def replaying_connector(books: Books, path: Path) -> ErpConnector:
    """Return the real connector of the books' ERP whose session answers from a file."""
    places = [books.place(number) for number in range(books.places)]
    connection = {**CONNECTIONS[books.system], **UNLIMITED}
    connector = create_erp(books.system, books.system, connection, places, PROJECT_ROOT / "mappings")
    mount: Callable[[str, BaseAdapter], None] = connector._client._http.session.mount  # type: ignore[attr-defined]  # noqa: SLF001
    mount("http://", Replay(path))
    return connector
