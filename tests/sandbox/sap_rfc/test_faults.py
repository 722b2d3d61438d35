"""Every declared fault has an effect that a client can see, and goes away when it is spent."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.erp.sap_rfc import errors
from sandbox.erp.sap_rfc.faults import FAULTS
from sandbox.erp.sap_rfc.system import AbapSystem
from tests.sandbox.sap_rfc.client import commit, connect, issue, piece_in_stock, read, stock, totals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.erp.sap_rfc.connection import Connection


def refused_logon(ecc: AbapSystem) -> errors.RFCLibError:
    """Return what a log-on fails with, once; the next one must work."""
    with pytest.raises(errors.RFCLibError) as caught:
        connect(ecc)
    assert ecc.conversations == 0
    connect(ecc).close()
    return caught.value


def broken_call(ecc: AbapSystem, function: str = "RFC_PING", **params: Any) -> errors.RFCLibError:
    """Return what a call fails with; a new connection must work, the old one must be dead."""
    connection = connect(ecc)
    with pytest.raises(errors.RFCLibError) as caught:
        connection.call(function, **params)
    with pytest.raises(errors.ExternalRuntimeError):
        connection.ping()
    connection.reopen()
    connection.call(function, **params)
    connection.close()
    return caught.value


def declared(ecc: AbapSystem, table: str = "MARD") -> str:
    """Return the exception of a read that fails once, on a connection that stays good."""
    connection = connect(ecc)
    with pytest.raises(errors.ABAPApplicationError) as caught:
        read(connection, table, "MATNR WERKS LGORT LABST")
    assert read(connection, table, "MATNR WERKS LGORT LABST")
    connection.close()
    return caught.value.key


def logon_failed(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("logon-failed", times=1)
    error = refused_logon(ecc)
    assert (type(error), error.code, error.key) == (errors.LogonError, 2, "RFC_LOGON_FAILURE")


def user_locked(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("user-locked", times=1)
    error = refused_logon(ecc)
    assert (error.key, "locked" in error.message) == ("RFC_LOGON_FAILURE", True)


def password_expired(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("password-expired", times=1)
    error = refused_logon(ecc)
    assert (error.key, "expired" in error.message) == ("RFC_LOGON_FAILURE", True)


def not_authorized(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("not-authorized", times=1, table="MARD")
    connection = connect(ecc)
    assert read(connection, "MARA", "MATNR")
    connection.close()
    assert declared(ecc) == "NOT_AUTHORIZED"


def no_rfc_authority(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("no-rfc-authority", times=1)
    error = broken_call(ecc)
    assert (type(error), error.key) == (errors.ABAPRuntimeError, "RFC_NO_AUTHORITY")


def refused(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("refused", times=1)
    error = refused_logon(ecc)
    assert (type(error), error.code, error.key) == (errors.CommunicationError, 1, "RFC_COMMUNICATION_FAILURE")
    assert error.message == "I/O error: Connection refused (os error 111)"


def closed(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("closed", times=1)
    error = refused_logon(ecc)
    assert (type(error), error.code, error.key) == (errors.CommunicationError, 13, "RFC_CLOSED")
    assert error.message == "connection closed by peer during routing handshake"


def silent(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("silent", times=1, seconds=0.2)
    start = time.monotonic()
    with pytest.raises(errors.CommunicationError, match="os error 11"):
        connect(ecc, {"timeout": 0.01})
    assert time.monotonic() - start >= 0.2
    ecc.faults.turn_on("silent", times=1, seconds=0.1, then="opens")
    late = connect(ecc)
    late.ping()
    late.close()


def max_conversations(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("max-conversations", times=1)
    error = refused_logon(ecc)
    assert (type(error), error.code) == (errors.CommunicationError, 1)
    assert "max no of 200 conversations exceeded" in error.message


def cancel_new_handle(ecc: AbapSystem) -> None:
    connection = connect(ecc, {"timeout": 0.05})
    material, handle = piece_in_stock(ecc, 5), connection.handle
    before = totals(ecc)
    issue(connection, material)
    ecc.faults.turn_on("cancel-new-handle", times=1)
    with pytest.raises(errors.RFCError) as caught:
        connection.call("RFC_PING")
    assert getattr(caught.value, "key", "") == "RFC_CANCELED"
    assert connection.handle != handle
    commit(connection)
    assert totals(ecc) == before
    connection.close()


def closed_in_call(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("closed-in-call", function="RFC_READ_TABLE", after=2)
    connection = connect(ecc)
    for _ in range(2):
        connection.ping()
        assert read(connection, "MARA", "MATNR", ROWCOUNT=5)
    with pytest.raises(errors.CommunicationError) as caught:
        read(connection, "MARA", "MATNR", ROWCOUNT=5)
    assert caught.value.key == "RFC_CLOSED"
    assert ecc.conversations == 0
    ecc.faults.turn_off()
    connection.reopen()
    assert read(connection, "MARA", "MATNR", ROWCOUNT=5)
    connection.close()


def latency(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    ecc.faults.turn_on("latency", times=1, seconds=0.2)
    start = time.monotonic()
    connection.ping()
    assert time.monotonic() - start >= 0.2
    connection.close()


def buffer_exceeded(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("buffer-exceeded", times=1)
    assert declared(ecc) == "DATA_BUFFER_EXCEEDED"
    ecc.faults.turn_on("buffer-exceeded", width=40)
    connection = connect(ecc)
    assert read(connection, "MARD", "MATNR WERKS LABST")
    connection.close()


def page_alloc_failed(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("page-alloc-failed", rows=50)
    connection = connect(ecc)
    assert len(read(connection, "MARA", "MATNR", ROWCOUNT=50)) == 50
    with pytest.raises(errors.ABAPRuntimeError) as caught:
        read(connection, "MARA", "MATNR")
    assert (caught.value.code, caught.value.key) == (3, "TSV_TNEW_PAGE_ALLOC_FAILED")
    with pytest.raises(errors.ExternalRuntimeError):
        connection.ping()


def unstable_rowskips(ecc: AbapSystem) -> None:
    def pages(connection: Connection) -> list[str]:
        return [
            row["MATNR"]
            for skips in range(0, 400, 100)
            for row in read(connection, "MARA", "MATNR", ROWSKIPS=skips, ROWCOUNT=100)
        ]

    connection = connect(ecc)
    assert len(set(pages(connection))) == 400
    ecc.faults.turn_on("unstable-rowskips")
    found = pages(connection)
    assert len(found) == 400
    assert len(set(found)) < 400
    connection.close()


def empty_answer(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("empty-answer", times=1, table="MARD")
    connection = connect(ecc)
    assert read(connection, "MARA", "MATNR")
    assert read(connection, "MARD", "MATNR") == []
    assert read(connection, "MARD", "MATNR")
    connection.close()


def short_answer(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    whole = read(connection, "MARD", "MATNR WERKS LGORT")
    ecc.faults.turn_on("short-answer", times=1, share=0.25)
    assert read(connection, "MARD", "MATNR WERKS LGORT") == whole[: int(len(whole) * 0.75)]
    assert read(connection, "MARD", "MATNR WERKS LGORT") == whole
    connection.close()


def table_without_data(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("table-without-data", times=1)
    assert declared(ecc) == "TABLE_WITHOUT_DATA"


def wrong_date(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    for value in ("00000000", "20269999"):
        ecc.faults.turn_on("wrong-date", times=1, value=value)
        assert {row["CPUDT"] for row in read(connection, "MKPF", "CPUDT CPUTM")} == {value}
    assert value not in {row["CPUDT"] for row in read(connection, "MKPF", "CPUDT")}
    connection.close()


def truncated_char(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    whole = read(connection, "MAKT", "MATNR SPRAS MAKTX")
    ecc.faults.turn_on("truncated-char", times=1, length=4)
    cut = read(connection, "MAKT", "MATNR SPRAS MAKTX")
    assert cut == [row | {"MAKTX": row["MAKTX"][:4].rstrip()} for row in whole]
    connection.close()


def return_shape(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    ecc.faults.turn_on("return-shape", times=1)
    structure = issue(connection, "999999")["RETURN"]
    assert (structure["TYPE"], structure["CODE"], "ID" in structure) == ("E", "M3305", False)
    assert issue(connection, "999999")["RETURN"][0]["ID"] == "M3"
    asked = {"PLANT": "1010", "MATERIAL": "1", "UNIT": "EA"}
    ecc.faults.turn_on("return-shape", times=1, function="BAPI_MATERIAL_AVAILABILITY")
    assert connection.call("BAPI_MATERIAL_AVAILABILITY", **asked)["RETURN"][0]["NUMBER"] == "305"
    assert connection.call("BAPI_MATERIAL_AVAILABILITY", **asked)["RETURN"]["CODE"] == "M3305"
    connection.close()


def number_with_error(ecc: AbapSystem) -> None:
    connection, material = connect(ecc), piece_in_stock(ecc, 5)
    before = totals(ecc)
    ecc.faults.turn_on("number-with-error", times=1)
    answer = issue(connection, material)
    assert answer["MATERIALDOCUMENT"]
    assert "E" in {line["TYPE"] for line in answer["RETURN"]}
    commit(connection)
    assert totals(ecc) == before
    assert issue(connection, material)["RETURN"] == []
    connection.close()


def locked(ecc: AbapSystem) -> None:
    connection, material = connect(ecc), piece_in_stock(ecc, 5)
    ecc.faults.turn_on("locked", times=1)
    answer = issue(connection, material)
    assert answer["MATERIALDOCUMENT"] == ""
    assert (answer["RETURN"][0]["TYPE"], answer["RETURN"][0]["NUMBER"]) == ("E", "682")
    assert "is locked by user SMITH" in answer["RETURN"][0]["MESSAGE"]
    assert issue(connection, material)["RETURN"] == []
    connection.close()


def a_message(ecc: AbapSystem) -> None:
    connection, material = connect(ecc), piece_in_stock(ecc, 5)
    ecc.faults.turn_on("a-message", times=1, in_return=True)
    assert issue(connection, material)["RETURN"][0]["TYPE"] == "A"
    ecc.faults.turn_on("a-message", times=1)
    with pytest.raises(errors.ABAPRuntimeError) as caught:
        issue(connection, material)
    assert (caught.value.code, caught.value.msg_type) == (4, "A")
    with pytest.raises(errors.ExternalRuntimeError):
        connection.ping()


def lost_commit_answer(ecc: AbapSystem) -> None:
    material = piece_in_stock(ecc, 5)
    for how, key in (("closed", "RFC_CLOSED"), ("canceled", "RFC_CANCELED")):
        connection = connect(ecc)
        before = stock(connection, material)
        number = issue(connection, material)["MATERIALDOCUMENT"]
        ecc.faults.turn_on("lost-commit-answer", times=1, how=how)
        with pytest.raises(errors.CommunicationError) as caught:
            commit(connection)
        assert caught.value.key == key
        connection.reopen()
        assert stock(connection, material) == before - 1
        assert read(connection, "MKPF", "MBLNR", f"MBLNR EQ '{number}'")
        connection.close()


def commit_fails(ecc: AbapSystem) -> None:
    connection, material = connect(ecc), piece_in_stock(ecc, 5)
    before = totals(ecc)
    issue(connection, material)
    ecc.faults.turn_on("commit-fails", times=1)
    answer = commit(connection)
    assert (answer["TYPE"], answer["ID"], answer["NUMBER"]) == ("E", "S&", "101")
    assert commit(connection)["TYPE"] == ""
    assert totals(ecc) == before
    connection.close()


def late_commit(ecc: AbapSystem) -> None:
    connection, material = connect(ecc), piece_in_stock(ecc, 5)
    ecc.faults.turn_on("late-commit", times=2, seconds=120)
    clock = ecc.now()
    moved = ecc.world.move({"kind": "sale", "material": material, "quantity": "1"})
    issued = issue(connection, material)["MATERIALDOCUMENT"]
    commit(connection)
    for number in (moved.number, issued):
        row = read(connection, "MKPF", "CPUDT CPUTM", f"MBLNR EQ '{number}'")[0]
        entered = row["CPUDT"] + row["CPUTM"]
        assert entered < f"{clock:%Y%m%d%H%M%S}"
    connection.close()


def future_entry_time(ecc: AbapSystem) -> None:
    connection, material = connect(ecc), piece_in_stock(ecc, 5)
    ecc.faults.turn_on("future-entry-time", times=1, seconds=120)
    clock = ecc.now()
    moved = ecc.world.move({"kind": "sale", "material": material, "quantity": "1"})
    row = read(connection, "MKPF", "CPUDT CPUTM", f"MBLNR EQ '{moved.number}'")[0]
    assert row["CPUDT"] + row["CPUTM"] > f"{clock + timedelta(seconds=100):%Y%m%d%H%M%S}"
    connection.close()


def documents_taken_back(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    before = len(read(connection, "MKPF", "MBLNR"))
    ecc.faults.turn_on("documents-taken-back", times=1, table="MCHB", documents=3, skip=1)
    for posted in (0, 3, 3):
        read(connection, "MARD", "MATNR")
        read(connection, "MCHB", "MATNR")
        assert len(read(connection, "MKPF", "MBLNR")) == before + posted
    assert read(connection, "MSEG", "SMBLN", "SMBLN <> ''")
    connection.close()


def busy(ecc: AbapSystem) -> None:
    ecc.faults.turn_on("busy", times=1)
    error = broken_call(ecc)
    assert (type(error), "work process" in error.message) == (errors.CommunicationError, True)
    ecc.faults.turn_on("busy", times=1, at="logon")
    assert "work process" in refused_logon(ecc).message


CHECKS: dict[str, Callable[[AbapSystem], None]] = {
    "logon-failed": logon_failed,
    "user-locked": user_locked,
    "password-expired": password_expired,
    "not-authorized": not_authorized,
    "no-rfc-authority": no_rfc_authority,
    "refused": refused,
    "closed": closed,
    "silent": silent,
    "max-conversations": max_conversations,
    "cancel-new-handle": cancel_new_handle,
    "closed-in-call": closed_in_call,
    "latency": latency,
    "buffer-exceeded": buffer_exceeded,
    "page-alloc-failed": page_alloc_failed,
    "unstable-rowskips": unstable_rowskips,
    "empty-answer": empty_answer,
    "short-answer": short_answer,
    "table-without-data": table_without_data,
    "wrong-date": wrong_date,
    "truncated-char": truncated_char,
    "return-shape": return_shape,
    "number-with-error": number_with_error,
    "locked": locked,
    "a-message": a_message,
    "lost-commit-answer": lost_commit_answer,
    "commit-fails": commit_fails,
    "late-commit": late_commit,
    "future-entry-time": future_entry_time,
    "documents-taken-back": documents_taken_back,
    "busy": busy,
}


@pytest.mark.parametrize("fault_id", sorted(FAULTS))
def test_a_fault_strikes_and_goes_away(ecc: AbapSystem, fault_id: str) -> None:
    CHECKS[fault_id](ecc)
    ecc.faults.turn_off()
    connection = connect(ecc)
    material = piece_in_stock(ecc, 5)
    before = stock(connection, material)
    assert issue(connection, material)["RETURN"] == []
    assert commit(connection)["TYPE"] == ""
    assert stock(connection, material) == before - Decimal(1)
    connection.close()


def test_an_unknown_fault_is_an_error(ecc: AbapSystem) -> None:
    with pytest.raises(KeyError):
        ecc.faults.turn_on("no-such-fault")


def test_closing_the_system_ends_every_silence(tmp_path: Path) -> None:
    system = AbapSystem(tmp_path / "ecc.sqlite", articles=5)
    system.faults.turn_on("silent")
    failures: list[errors.RFCError] = []

    def log_on() -> None:
        try:
            connect(system)
        except errors.RFCError as error:
            failures.append(error)

    waiting = threading.Thread(target=log_on)
    waiting.start()
    system.close()
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    assert len(failures) == 1
