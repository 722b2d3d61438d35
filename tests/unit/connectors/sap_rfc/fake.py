"""A small SAP in memory for the unit tests: tables that answer RFC_READ_TABLE in no order, and errors to order.

It is strict where SAP is: lines of 72 characters, rows of 512, tokens apart by blanks.
"""

from __future__ import annotations

import random
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.calls import RetryPolicy
from connectors.erp.sap.rfc.client import RfcClient
from connectors.erp.sap.rfc.connector import RfcConnector
from connectors.erp.sap.rfc.keys import MaterialNumbers
from connectors.erp.sap.rfc.mapper import RfcMapper
from connectors.erp.sap.rfc.settings import RfcSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MAPPINGS = Path(__file__).resolve().parents[4] / "mappings"
LOCATIONS = ("1010/101A", "1010/101B")
PASSWORD = "geheim-秘密"
LOGON: dict[str, Any] = {"ashost": "ecc.example.com", "user": "HUB", "password": PASSWORD}

QUANTITY = 15
WIDTHS: dict[str, dict[str, int]] = {
    "MARA": {"MATNR": 18, "MEINS": 3, "XCHPF": 1, "EAN11": 18, "MATKL": 9, "GROES": 32, "LVORM": 1},
    "MARD": {"MATNR": 18, "WERKS": 4, "LGORT": 4}
    | dict.fromkeys(("LABST", "UMLME", "INSME", "EINME", "SPEME", "RETME"), QUANTITY)
    | dict.fromkeys(("KLABS", "KINSM", "KEINM", "KSPEM"), QUANTITY),
    "MCHB": {"MATNR": 18, "WERKS": 4, "LGORT": 4, "CHARG": 10}
    | dict.fromkeys(("CLABS", "CUMLM", "CINSM", "CEINM", "CSPEM", "CRETM"), QUANTITY),
    "MCH1": {"MATNR": 18, "CHARG": 10, "VFDAT": 8},
    "MCHA": {"MATNR": 18, "WERKS": 4, "CHARG": 10, "VFDAT": 8},
    "MAKT": {"MATNR": 18, "SPRAS": 1, "MAKTX": 40},
    "MARM": {"MATNR": 18, "MEINH": 3, "UMREZ": 5, "UMREN": 5, "EAN11": 18},
    "MEAN": {"MATNR": 18, "MEINH": 3, "LFNUM": 5, "EAN11": 18},
    "MKPF": {"MBLNR": 10, "MJAHR": 4, "CPUDT": 8, "CPUTM": 6, "XBLNR": 16},
    "MSEG": {"MBLNR": 10, "MJAHR": 4, "ZEILE": 4, "MATNR": 18, "WERKS": 4, "LGORT": 4}
    | {"UMMAT": 18, "UMWRK": 4, "UMLGO": 4}
    | {"SHKZG": 1, "MENGE": QUANTITY, "SJAHR": 4, "SMBLN": 10, "SMBLP": 4},
    "T001L": {"WERKS": 4, "LGORT": 4, "LGOBE": 16},
}
_TOKEN = re.compile(r"'(?:[^']|'')*'|\S+")


class RFCError(Exception):
    def __init__(self, message: str = "", key: str = "", code: int = 99) -> None:
        super().__init__(message)
        self.message, self.key, self.code = message, key, code

    def __str__(self) -> str:
        return "nothing can be told from this"


class ABAPApplicationError(RFCError): ...


class ABAPRuntimeError(RFCError): ...


class LogonError(RFCError): ...


class CommunicationError(RFCError): ...


class ExternalRuntimeError(RFCError): ...


@dataclass
class FakeSap:
    """Tables, what was asked of them, and what goes wrong next."""

    tables: dict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))
    widths: dict[str, dict[str, int]] = field(default_factory=lambda: {name: dict(w) for name, w in WIDTHS.items()})
    fails: list[BaseException] = field(default_factory=list)
    before: Callable[[str, dict[str, Any]], None] = lambda function, parameters: None  # noqa: ARG005
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    functions: dict[str, Callable[..., dict[str, Any]]] = field(default_factory=dict)
    clock: str = "Date: 20261122   Time: 120000"
    opened: int = 0
    closed: int = 0
    pinged: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(4))

    def connect(self) -> FakeConnection:
        return FakeConnection(self)

    def add(self, table: str, **row: str) -> None:
        blank = {name: f"{'0.000 ':>{QUANTITY}}" if w == QUANTITY else "" for name, w in self.widths[table].items()}
        self.tables[table].append({**blank, **row})

    def reads(self, table: str) -> list[dict[str, Any]]:
        return [
            p for f, p in self.asked if f == "RFC_READ_TABLE" and p["QUERY_TABLE"] == table and not p.get("NO_DATA")
        ]

    def read_table(
        self,
        QUERY_TABLE: str,  # noqa: N803
        OPTIONS: list[dict[str, str]],  # noqa: N803
        FIELDS: list[dict[str, str]],  # noqa: N803
        ROWCOUNT: int = 0,  # noqa: N803
        NO_DATA: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        if QUERY_TABLE not in self.widths:
            raise ABAPApplicationError(key="TABLE_NOT_AVAILABLE")
        widths = self.widths[QUERY_TABLE]
        names = [named["FIELDNAME"] for named in FIELDS]
        if unknown := set(names) - set(widths):
            raise ABAPApplicationError(f"no field {unknown}", key="FIELD_NOT_VALID")
        if sum(widths[name] for name in names) > 512:
            raise ABAPApplicationError(key="DATA_BUFFER_EXCEEDED")
        fields, offset = [], 0
        for name in names:
            fields.append({"FIELDNAME": name, "OFFSET": f"{offset:06d}", "LENGTH": f"{widths[name]:06d}", "TYPE": "C"})
            offset += widths[name]
        lines = [option["TEXT"] for option in OPTIONS]
        assert all(len(line) <= 71 for line in lines)
        found = [] if NO_DATA else [row for row in self.tables[QUERY_TABLE] if holds(lines, row)]
        self.random.shuffle(found)
        found = found[:ROWCOUNT] if ROWCOUNT else found
        data = ["".join(row[name][: widths[name]].ljust(widths[name]) for name in names).rstrip() for row in found]
        return {"FIELDS": fields, "DATA": [{"WA": text} for text in data]}


class FakeConnection:
    """A `pyrfc.Connection`; complains when two threads use it."""

    def __init__(self, sap: FakeSap) -> None:
        self.sap = sap
        self.thread = threading.current_thread()
        sap.opened += 1

    def call(self, func_name: str, options: Any = None, **parameters: Any) -> dict[str, Any]:
        assert threading.current_thread() is self.thread
        assert options["timeout"] >= 1
        self.sap.asked.append((func_name, parameters))
        self.sap.before(func_name, parameters)
        if self.sap.fails:
            raise self.sap.fails.pop(0)
        if func_name == "RFC_READ_TABLE":
            if "GET_SORTED" in parameters:
                raise ExternalRuntimeError("field 'GET_SORTED' not found", "RFC_INVALID_PARAMETER")
            return self.sap.read_table(**parameters)
        if func_name == "STFC_CONNECTION" and func_name not in self.sap.functions:
            return {"RESPTEXT": f"SAP R/3 Rel. 731   Sysid: ECC      {self.sap.clock}   Logon_Data: 100/HUB/1"}
        if func_name not in self.sap.functions:
            raise ABAPApplicationError(key="FU_NOT_FOUND")
        return self.sap.functions[func_name](**parameters)

    def ping(self) -> None:
        assert threading.current_thread() is self.thread
        self.sap.pinged += 1
        if self.sap.fails:
            raise self.sap.fails.pop(0)

    def close(self) -> None:
        assert threading.current_thread() is self.thread
        self.sap.closed += 1

    def get_connection_attributes(self) -> dict[str, Any]:
        return {"client": "100", "sysId": "ECC", "partnerRel": "731"}


def holds(lines: list[str], row: dict[str, str]) -> bool:
    """Tell whether a row meets the condition in some lines."""
    tokens: list[str] = []
    for line in lines:
        tokens += _TOKEN.findall(line)
        assert line == " ".join(_TOKEN.findall(line)), f"a token is torn: {line}"
    if not tokens:
        return True
    words = {"=": "==", "AND": "and", "OR": "or"}
    python = []
    for token in tokens:
        if token.startswith("'"):
            python.append(repr(token[1:-1].replace("''", "'").rstrip()))
        elif token in row:
            python.append(repr(row[token].rstrip()))
        else:
            python.append(words.get(token, token))
    return bool(eval(" ".join(python), {"__builtins__": {}}))


def quantity(text: str) -> str:
    """Write a quantity as SAP does: right-aligned, with room for the sign behind."""
    sign = "-" if text.startswith("-") else " "
    return f"{text.lstrip('-')}{sign}".rjust(QUANTITY)


@cache
def load_mapper(languages: tuple[str, ...], numbers: MaterialNumbers) -> RfcMapper:
    """Read the mapping files once: that takes longer than most of what is done with them here."""
    return RfcMapper(MAPPINGS / "erp" / "sap" / "rfc", languages, numbers)


def make_client(sap: FakeSap, **settings: Any) -> RfcClient:
    checked = RfcSettings.model_validate({**LOGON, **settings})
    return RfcClient(checked, connect=sap.connect, retry=RetryPolicy(attempts=3, first_wait=0, longest_wait=0))


def make_connector(sap: FakeSap, locations: Collection[str] = LOCATIONS, **settings: Any) -> RfcConnector:
    checked = RfcSettings.model_validate({**LOGON, **settings})
    numbers = MaterialNumbers(checked.material_length, checked.material_zeros)
    mapper = load_mapper((checked.language, checked.fallback_language), numbers)
    return RfcConnector("ecc", checked, make_client(sap, **settings), mapper, numbers, locations)
