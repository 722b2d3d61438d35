"""Calls over RFC: errors told by class and key, repeats, and conversations that are few, bounded and closed."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from connectors.erp.sap.rfc.client import RfcClient
from connectors.erp.sap.rfc.conditions import compare
from connectors.erp.sap.rfc.errors import TooLarge
from connectors.erp.sap.rfc.reading import TableReader
from connectors.erp.sap.rfc.settings import RfcSettings
from connectors.erp.sap.rfc.tables import LEVELS, MATERIALS, Table
from hub.errors import AuthFailed, ConfigError, OneshelfError, ProtocolViolation, Rejected, Unavailable
from tests.unit.connectors.sap_rfc.fake import (
    LOGON,
    PASSWORD,
    ABAPApplicationError,
    ABAPRuntimeError,
    CommunicationError,
    ExternalRuntimeError,
    FakeSap,
    LogonError,
    RFCError,
    make_client,
    quantity,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def sap() -> FakeSap:
    fake = FakeSap()
    fake.functions["Z_READ"] = lambda **_: {"OK": "X"}
    return fake


def call(sap: FakeSap, **settings: Any) -> dict[str, Any]:
    client = make_client(sap, **settings)
    try:
        return client.call("Z_READ", {})
    finally:
        client.pool.close()


def until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < ends_at, "it never came true"
        time.sleep(0.005)


# --- what errors mean


class SdkNotFoundError(Exception): ...


class ExternalAuthorizationError(RFCError): ...


ERRORS = [
    (LogonError("Name or password is incorrect", "RFC_LOGON_FAILURE", 2), AuthFailed, 1),
    (CommunicationError("refused", "RFC_COMMUNICATION_FAILURE", 1), Unavailable, 3),
    (CommunicationError("closed by peer", "RFC_CLOSED", 13), Unavailable, 3),
    (RFCError("Connection was canceled: 1. New handle: 2", "RFC_CANCELED", 7), Unavailable, 3),
    (ExternalRuntimeError("handle", "RFC_INVALID_HANDLE", 13), Unavailable, 3),
    (ExternalRuntimeError("unknown", "RFC_UNKNOWN_ERROR", 28), Unavailable, 3),
    (ExternalRuntimeError("field 'undefined' not found", "RFC_INVALID_PARAMETER", 20), Rejected, 1),
    (ExternalRuntimeError("not a number", "RFC_CONVERSION_FAILURE", 22), ProtocolViolation, 1),
    (ABAPApplicationError("ID:SV Type:E Number:029 T008X", "TABLE_NOT_AVAILABLE", 5), Rejected, 1),
    (ABAPApplicationError("", "FIELD_NOT_VALID", 5), Rejected, 1),
    (ABAPApplicationError("", "OPTION_NOT_VALID", 5), Rejected, 1),
    (ABAPApplicationError("", "NOT_AUTHORIZED", 5), AuthFailed, 1),
    (ABAPApplicationError("", "DATA_BUFFER_EXCEEDED", 5), ProtocolViolation, 1),
    (ABAPApplicationError("", "SOMETHING_ELSE", 5), Rejected, 1),
    (ABAPRuntimeError("no page", "TSV_TNEW_PAGE_ALLOC_FAILED", 3), TooLarge, 1),
    (ABAPRuntimeError("no authorization", "RFC_NO_AUTHORITY", 3), AuthFailed, 1),
    (ABAPRuntimeError("Division by 0", "COMPUTE_INT_ZERODIVIDE", 3), Rejected, 1),
    (ABAPRuntimeError("triggered a termination", "MESSAGE_TYPE_X", 4), Rejected, 1),
    (ExternalAuthorizationError("", "RFC_AUTHORIZATION_FAILURE", 29), AuthFailed, 1),
    (ValueError("what a library should not raise"), Unavailable, 3),
    (KeyboardInterrupt(), Unavailable, 3),
    (SdkNotFoundError("libsapnwrfc.so"), ConfigError, 1),
]


@pytest.mark.parametrize(("error", "expected", "attempts"), ERRORS, ids=lambda value: getattr(value, "key", None))
def test_errors_are_told_by_class_and_key(
    sap: FakeSap, error: BaseException, expected: type[OneshelfError], attempts: int
) -> None:
    sap.fails = [error] * 9
    with pytest.raises(expected) as caught:
        call(sap)
    assert type(caught.value) is expected
    assert len(sap.asked) == attempts
    assert getattr(caught.value, "remote_code", None) == (getattr(error, "key", None) or None)
    assert "nothing can be told" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_passing_failure_is_asked_again(sap: FakeSap) -> None:
    sap.fails = [CommunicationError("", "RFC_COMMUNICATION_FAILURE"), RFCError("", "RFC_CANCELED")]
    assert call(sap) == {"OK": "X"}
    assert sap.opened == 3


def test_each_call_leaves_a_line_and_no_secret_is_told(sap: FakeSap) -> None:
    sap.fails = [CommunicationError(f"log-on of HUB with {PASSWORD} failed", "RFC_COMMUNICATION_FAILURE")] * 3
    with capture_logs() as lines, pytest.raises(Unavailable) as caught:
        call(sap)
    done = [line for line in lines if line["event"] == "remote_call"]
    assert [(line["operation"], line["status"], line["log_level"]) for line in done] == [
        ("Z_READ", "failed", "info")
    ] * 3
    assert done[0].keys() >= {"duration_ms", "waited_ms", "system"}
    told = [repr(lines), str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
    told.append(repr(RfcSettings.model_validate(LOGON)))
    assert not [text for text in told if PASSWORD in text]
    assert "***" in str(caught.value)


def test_the_module_is_loaded_when_it_is_needed_and_named_when_it_is_missing() -> None:
    client = RfcClient(RfcSettings.model_validate({**LOGON, "pyrfc_module": "no_such_pyrfc"}))
    with pytest.raises(ConfigError, match=r"no_such_pyrfc.*sap-rfc"):
        client.call("RFC_PING", {})


# --- conversations


def test_a_conversation_is_used_again_after_an_abap_exception_and_after_nothing_else(sap: FakeSap) -> None:
    client = make_client(sap)
    client.call("Z_READ", {})
    sap.fails = [ABAPApplicationError("", "TABLE_NOT_AVAILABLE")]
    with pytest.raises(Rejected):
        client.call("Z_READ", {})
    client.call("Z_READ", {})
    assert (sap.opened, sap.closed) == (1, 0)
    sap.fails = [ABAPRuntimeError("", "COMPUTE_INT_ZERODIVIDE")]
    with pytest.raises(Rejected):
        client.call("Z_READ", {})
    until(lambda: sap.closed == 1)
    client.call("Z_READ", {})
    assert sap.opened == 2
    client.pool.close()
    until(lambda: sap.closed == 2)
    until(lambda: client.pool.count == 0)


def test_an_idle_conversation_is_tried_before_it_is_used(sap: FakeSap) -> None:
    client = make_client(sap, ping_after=0)
    client.call("Z_READ", {})
    client.call("Z_READ", {})
    assert (sap.opened, sap.pinged) == (1, 1)
    sap.fails = [CommunicationError("gone", "RFC_CLOSED")]
    assert client.call("Z_READ", {}) == {"OK": "X"}
    assert (sap.opened, sap.pinged) == (2, 2)
    client.pool.close()
    until(lambda: sap.closed == sap.opened)


def test_a_conversation_that_nobody_uses_closes_itself(sap: FakeSap) -> None:
    client = make_client(sap, idle_timeout=0.05)
    client.call("Z_READ", {})
    until(lambda: sap.closed == 1)
    until(lambda: client.pool.count == 0)
    assert client.call("Z_READ", {}) == {"OK": "X"}


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_no_more_conversations_than_allowed_and_each_has_one_user(sap: FakeSap, gate: threading.Event) -> None:
    inside, most = set(), 0
    lock = threading.Lock()

    def stay(*_: Any) -> None:
        nonlocal most
        with lock:
            inside.add(threading.current_thread())
            most = max(most, len(inside))
        gate.wait(5)
        with lock:
            inside.discard(threading.current_thread())

    sap.before = stay
    client = make_client(sap, conversations=3)
    threads = [threading.Thread(target=client.call, args=("Z_READ", {})) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: most == 3)
    gate.set()
    for thread in threads:
        thread.join()
    assert (most, sap.opened) == (3, 3)
    client.pool.close()
    until(lambda: sap.closed == 3)


def test_a_call_that_hangs_is_given_up_and_counts_until_it_ends(
    sap: FakeSap, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.erp.sap.rfc.client._GRACE", 0.04)
    sap.before = lambda *_: gate.wait(5)
    client = make_client(sap, conversations=2, call_timeout=0.01, logon_timeout=0.05)
    with pytest.raises(Unavailable, match="in use, or hang"):
        client.call("Z_READ", {})
    assert (client.pool.count, sap.opened, sap.closed) == (2, 2, 0)
    gate.set()
    until(lambda: client.pool.count == 0)
    assert sap.closed == 2


def test_a_log_on_that_hangs_is_given_up_and_closed_when_it_comes(sap: FakeSap, gate: threading.Event) -> None:
    connect = sap.connect

    def late() -> Any:
        gate.wait(5)
        return connect()

    sap.connect = late  # type: ignore[method-assign]
    client = make_client(sap, conversations=1, logon_timeout=0.05)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        client.call("Z_READ", {})
    assert time.monotonic() - started < 3
    assert (client.pool.count, sap.opened) == (1, 0)
    gate.set()
    until(lambda: client.pool.count == 0)
    assert (sap.opened, sap.closed) == (1, 1)
    assert client.call("Z_READ", {}) == {"OK": "X"}


# --- reading tables


def reader(sap: FakeSap, page_rows: int = 100, **settings: Any) -> TableReader:
    return TableReader(make_client(sap, **settings), "RFC_READ_TABLE", page_rows)


def test_wide_rows_are_read_in_parts_that_fit(sap: FakeSap) -> None:
    wide = Table("ZWIDE", ("ID",))
    sap.widths["ZWIDE"] = {"ID": 10, "A": 300, "B": 300, "C": 500}
    for number in range(5):
        sap.add("ZWIDE", ID=f"{number}", A=f"a{number}", B=f"b{number}", C=f"c{number}")
    answer = reader(sap).read(wide, ("A", "B", "C"))
    assert sorted(answer.rows, key=lambda row: row["ID"])[1] == {"ID": "1", "A": "a1", "B": "b1", "C": "c1"}
    assert len(sap.reads("ZWIDE")) == 3
    sap.widths["ZWIDE"]["C"] = 510
    with pytest.raises(ConfigError, match="ZWIDE can't be read: C"):
        reader(sap).read(wide, ("A", "C"))


def test_a_row_that_comes_between_the_parts_makes_them_be_read_again(sap: FakeSap) -> None:
    wide = Table("ZWIDE", ("ID",))
    sap.widths["ZWIDE"] = {"ID": 10, "A": 500, "B": 500}
    sap.add("ZWIDE", ID="1", A="a", B="b")
    tables = reader(sap)
    tables.widths(wide, ("A", "B"))

    def come(_: str, parameters: dict[str, Any]) -> None:
        if {"FIELDNAME": "B"} in parameters["FIELDS"] and len(sap.tables["ZWIDE"]) < most:
            sap.add("ZWIDE", ID=f"{len(sap.tables['ZWIDE']) + 1}", A="a", B="b")

    sap.before, most = come, 2
    assert len(tables.read(wide, ("A", "B")).rows) == 2
    most = 99
    with pytest.raises(Unavailable, match="come and go"):
        tables.read(wide, ("A", "B"))


def test_an_answer_says_whether_it_is_the_whole(sap: FakeSap) -> None:
    for number in range(5):
        sap.add("MARA", MATNR=f"M{number}", MEINS="ST")
    assert not reader(sap, 5).read(MATERIALS, ("MEINS",)).cut
    assert reader(sap, 4).read(MATERIALS, ("MEINS",)).cut
    assert sap.reads("MARA")[-1]["ROWCOUNT"] == 5


def test_when_sap_runs_out_of_memory_fewer_rows_are_asked_for(sap: FakeSap) -> None:
    for number in range(40):
        sap.add("MARA", MATNR=f"M{number}", MEINS="ST")

    def run_out(_: str, parameters: dict[str, Any]) -> None:
        if parameters["ROWCOUNT"] > 30:
            raise ABAPRuntimeError("no page", "TSV_TNEW_PAGE_ALLOC_FAILED")

    sap.before = run_out
    tables = reader(sap, 100)
    assert tables.read(MATERIALS, ("MEINS",)).cut
    assert sap.reads("MARA")[-1]["ROWCOUNT"] == 26
    sap.before = lambda *_: (_ for _ in ()).throw(ABAPRuntimeError("", "TIME_OUT"))
    with pytest.raises(TooLarge):
        tables.read(MATERIALS, ("MEINS",))


def test_when_the_shortage_is_over_as_many_rows_are_asked_for_as_before(sap: FakeSap) -> None:
    sap.add("MARA", MATNR="M1", MEINS="ST")
    tables = reader(sap, 1000)
    tables.read(MATERIALS, ("MEINS",))
    sap.fails = [ABAPRuntimeError("", "TIME_OUT")] * 5
    for _ in range(40):
        assert not tables.read(MATERIALS, ("MEINS",)).cut
    asked = [parameters["ROWCOUNT"] - 1 for parameters in sap.reads("MARA")]
    assert asked[1:7] == [1000, 500, 250, 125, 62, 31]
    assert asked[-1] == 1000


def test_a_lasting_shortage_is_not_tried_again_and_again(sap: FakeSap) -> None:
    sap.add("MARA", MATNR="M1", MEINS="ST")

    def run_out(_: str, parameters: dict[str, Any]) -> None:
        if parameters["ROWCOUNT"] > 300:
            raise ABAPRuntimeError("no page", "TSV_TNEW_PAGE_ALLOC_FAILED")

    sap.before = run_out
    tables = reader(sap, 1000, requests_per_minute=10**6)
    for _ in range(2000):
        tables.read(MATERIALS, ("MEINS",))
    dumps = [parameters for parameters in sap.reads("MARA") if parameters["ROWCOUNT"] > 300]
    assert len(dumps) <= 12


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"FIELDS": []},
        {"FIELDS": [{"FIELDNAME": "MATNR", "OFFSET": "x", "LENGTH": "1"}], "DATA": []},
        {"FIELDS": [{"FIELDNAME": "MATNR", "OFFSET": "0", "LENGTH": "18"}], "DATA": [{"WA": None}]},
        {"FIELDS": [{"FIELDNAME": "MATNR", "OFFSET": "0", "LENGTH": "18"}], "DATA": [{"XX": ""}]},
        {"FIELDS": [{"FIELDNAME": "MATNR", "OFFSET": "0", "LENGTH": "18"}]},
    ],
)
def test_an_answer_of_another_shape_is_not_used(sap: FakeSap, answer: dict[str, Any]) -> None:
    sap.functions["Z_READ_TABLE"] = lambda **_: answer
    tables = TableReader(make_client(sap), "Z_READ_TABLE", 10)
    with pytest.raises(ProtocolViolation):
        tables.read(Table("MARA", ("MATNR",)), ())


def test_a_value_that_fits_into_no_line_is_a_mistake_in_the_settings(sap: FakeSap) -> None:
    with pytest.raises(ConfigError, match="too long"):
        reader(sap).read(LEVELS, (), compare("WERKS", "=", "x" * 99))


def test_blanks_and_signs_of_a_quantity() -> None:
    assert quantity("-5.000") == "         5.000-"
