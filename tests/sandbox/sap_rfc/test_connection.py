"""Logging on, calling, failing and closing, with the values that SAP's own tests of PyRFC expect."""

from __future__ import annotations

import socket
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.erp.sap_rfc import errors
from sandbox.erp.sap_rfc.system import AbapSystem
from tests.sandbox.sap_rfc.client import LOGON, connect, issue, piece_in_stock, read, stock

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.erp.sap_rfc.connection import Connection

INVALID_HANDLE = (13, "RFC_INVALID_HANDLE")


def dead(connection: Connection) -> bool:
    """Return whether the next call finds the handle dead."""
    try:
        connection.ping()
    except errors.ExternalRuntimeError as error:
        return (error.code, error.key) == INVALID_HANDLE
    return False


def test_the_exceptions_form_one_tree(ecc: AbapSystem) -> None:
    pyrfc = ecc.pyrfc
    for name in (
        "ABAPApplicationError", "ABAPRuntimeError", "LogonError", "CommunicationError", "ExternalRuntimeError",
        "ExternalApplicationError", "ExternalAuthorizationError", "RFCTypeError",
    ):  # fmt: skip
        assert issubclass(getattr(pyrfc, name), pyrfc.RFCLibError)
    assert issubclass(pyrfc.RFCLibError, pyrfc.RFCError)


def test_two_systems_share_nothing(ecc: AbapSystem, tmp_path: Path) -> None:
    other = AbapSystem(tmp_path / "ecc.sqlite", articles=5)
    connection = connect(other)
    assert (other.conversations, ecc.conversations) == (1, 0)
    assert not isinstance(connection, ecc.pyrfc.Connection)
    assert isinstance(connection, other.pyrfc.Connection)
    other.close()


def test_echo_system_information_and_the_servers_clock(connection: Connection) -> None:
    echo = connection.call("STFC_CONNECTION", REQUTEXT="Hällo SAP! 你好")
    assert echo["ECHOTEXT"] == "Hällo SAP! 你好"
    clock = connection.call("MSS_GET_SY_DATE_TIME")
    assert f"Date: {clock['SAPDATE']}   Time: " in echo["RESPTEXT"]
    information = connection.call("RFC_SYSTEM_INFO")["RFCSI_EXPORT"]
    assert (information["RFCTZONE"], information["RFCDAYST"]) == (" 28800", "")
    local = time.gmtime(time.time() + int(information["RFCTZONE"]))
    assert clock["SAPDATE"] in {time.strftime("%Y%m%d", local), time.strftime("%Y%m%d", time.gmtime(time.time()))}
    assert connection.call("RFC_PING") == {}


def test_connection_attributes(connection: Connection) -> None:
    attributes = connection.get_connection_attributes()
    assert (attributes["client"], attributes["user"], attributes["isoLanguage"]) == ("100", "ONESHELF", "EN")
    assert (attributes["host"], attributes["rfcRole"]) == (socket.gethostname(), "C")
    connection.close()
    assert connection.get_connection_attributes() == {}


@pytest.mark.parametrize(
    "changes",
    [{"dest": "ECC"}, {"trace": "1"}, {"codepage": "4103"}, {"password": "x"}, {"clientNum": "100"}],
)
def test_unknown_connection_parameters_are_refused(ecc: AbapSystem, changes: dict[str, str]) -> None:
    with pytest.raises(errors.ExternalRuntimeError) as caught:
        connect(ecc, **changes)
    assert (caught.value.code, caught.value.key) == (20, "RFC_INVALID_PARAMETER")


def test_unknown_configuration_is_refused_and_parameters_are_needed(ecc: AbapSystem) -> None:
    with pytest.raises(errors.ExternalRuntimeError) as caught:
        connect(ecc, {"check_date": True})
    assert caught.value.key == "RFC_INVALID_PARAMETER"
    with pytest.raises(errors.RFCError, match="Connection parameters missing"):
        ecc.pyrfc.Connection()
    with pytest.raises(errors.ExternalRuntimeError):
        ecc.pyrfc.Connection(user="ONESHELF", passwd="x", client="100")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"passwd": "DEMO-SAP-PASSWORD"}, "Name or password is incorrect (repeat logon)"),
        ({"user": "NOBODY"}, "Name or password is incorrect (repeat logon)"),
        ({"client": "800"}, "Client 800 is not available in this system"),
        ({"lang": "XX"}, "Select one of the installed languages"),
    ],
)
def test_a_refused_logon_says_why_in_its_text_only(ecc: AbapSystem, changes: dict[str, str], text: str) -> None:
    with pytest.raises(errors.LogonError) as caught:
        connect(ecc, **changes)
    error = caught.value
    assert (error.code, error.key, error.message, error.msg_number) == (2, "RFC_LOGON_FAILURE", text, "")
    assert ecc.conversations == 0


def test_five_wrong_passwords_lock_the_user(ecc: AbapSystem) -> None:
    for _ in range(5):
        with pytest.raises(errors.LogonError):
            connect(ecc, passwd="wrong")
    with pytest.raises(errors.LogonError, match="too many failed attempts"):
        connect(ecc)
    ecc.unlock_user()
    connect(ecc).close()


def test_languages_and_message_servers(ecc: AbapSystem) -> None:
    for language, key in (("ZH", "1"), ("1", "1"), ("zh", "1"), ("DE", "D")):
        connection = connect(ecc, lang=language, user="oneshelf")
        assert connection.get_connection_attributes()["language"] == key
        connection.close()
    balanced = {name: value for name, value in LOGON.items() if name not in {"ashost", "sysnr"}}
    balanced |= {"mshost": "ms", "group": "PUBLIC", "sysid": "ECC", "saprouter": "/H/router/H/"}
    ecc.pyrfc.Connection(**balanced).close()


def test_a_wrong_instance_number_finds_nobody(ecc: AbapSystem) -> None:
    with pytest.raises(errors.CommunicationError, match="Connection refused") as caught:
        connect(ecc, sysnr="01")
    assert (caught.value.code, caught.value.key) == (1, "RFC_COMMUNICATION_FAILURE")


def test_unknown_functions_and_fields_leave_the_connection_open(connection: Connection) -> None:
    with pytest.raises(errors.ABAPApplicationError) as unknown:
        connection.call("undefined")
    assert (unknown.value.code, unknown.value.key) == (5, "FU_NOT_FOUND")
    assert unknown.value.message == "ID:FL Type:E Number:046 undefined"
    with pytest.raises(errors.ExternalRuntimeError) as field:
        connection.call("STFC_CONNECTION", undefined=0)
    assert (field.value.code, field.value.message) == (20, "field 'undefined' not found")
    with pytest.raises(errors.ExternalRuntimeError, match="field 'NAME' not found"):
        connection.call("RFC_READ_TABLE", QUERY_TABLE="MARA", FIELDS=[{"NAME": "MATNR"}])
    with pytest.raises(errors.RFCError) as name:
        connection.call(123)  # type: ignore[arg-type]
    assert name.value.args == ("Remote function module name must be unicode string, received:", 123, int)
    connection.ping()


@pytest.mark.parametrize(
    ("arguments", "code", "key"),
    [
        ({"METHOD": "1", "MESSAGETYPE": "E"}, 5, "RAISE_EXCEPTION"),
        ({"METHOD": "2", "MESSAGETYPE": "E"}, 5, "RAISE_EXCEPTION"),
        ({"METHOD": "3", "MESSAGETYPE": "E"}, 3, "COMPUTE_INT_ZERODIVIDE"),
        ({"METHOD": "0", "MESSAGETYPE": "E"}, 4, "Function not supported"),
        ({"MESSAGETYPE": "A"}, 4, "Function not supported"),
        ({"MESSAGETYPE": "X"}, 4, "MESSAGE_TYPE_X"),
    ],
)
def test_only_a_declared_exception_leaves_the_conversation_open(
    ecc: AbapSystem, arguments: dict[str, str], code: int, key: str
) -> None:
    connection = connect(ecc)
    with pytest.raises(errors.RFCLibError) as caught:
        connection.call("RFC_RAISE_ERROR", **arguments)
    assert (caught.value.code, caught.value.key) == (code, key)
    assert isinstance(caught.value, errors.ABAPApplicationError if code == 5 else errors.ABAPRuntimeError)
    assert connection.alive is True
    assert dead(connection) is (code != 5)
    assert ecc.conversations == (1 if code == 5 else 0)
    connection.reopen()
    connection.ping()
    connection.close()


def test_a_closed_connection(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    handle = connection.handle
    connection.close()
    connection.close()
    assert (connection.alive, connection.handle, ecc.conversations) == (False, 0, 0)
    with pytest.raises(errors.RFCError) as rejected:
        connection.call("STFC_CONNECTION", REQUTEXT="x")
    assert rejected.value.args[0] == (
        "Remote function module 'STFC_CONNECTION' invocation rejected because the connection is closed"
    )
    with pytest.raises(errors.ExternalRuntimeError) as ping:
        connection.ping()
    assert (ping.value.code, ping.value.key) == INVALID_HANDLE
    connection.reopen()
    assert connection.handle not in {0, handle}
    connection.close()


def test_two_threads_on_one_connection_break_it(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    failures: list[errors.ExternalRuntimeError] = []
    ecc.latency = 0.2

    def slow() -> None:
        connection.call("RFC_PING")

    first = threading.Thread(target=slow)
    first.start()
    while not connection._busy.locked():
        time.sleep(0.001)
    try:
        connection.call("RFC_PING")
    except errors.ExternalRuntimeError as error:
        failures.append(error)
    first.join()
    assert [(error.code, error.key) for error in failures] == [INVALID_HANDLE]
    assert dead(connection)


def test_no_more_conversations_than_the_limit(tmp_path: Path) -> None:
    system = AbapSystem(tmp_path / "ecc.sqlite", articles=5, max_conversations=3)
    opened = [connect(system) for _ in range(3)]
    with pytest.raises(errors.CommunicationError, match="max no of 3 conversations exceeded") as caught:
        connect(system)
    assert (caught.value.code, "RC          466" in caught.value.message) == (1, True)
    opened.pop().close()
    connect(system)
    assert system.conversations == 3
    system.close()


@pytest.mark.parametrize("by", ["call", "connection"])
def test_a_cancelled_call_gets_a_new_handle_and_forgets_its_session(ecc: AbapSystem, by: str) -> None:
    material = piece_in_stock(ecc, 5)
    connection = connect(ecc, {"timeout": 0.05} if by == "connection" else {})
    handle, before = connection.handle, stock(connection, material)
    issue(connection, material)
    arguments: dict[str, Any] = {"options": {"timeout": 0.05}} if by == "call" else {}

    with pytest.raises(errors.RFCError) as caught:
        connection.call("RFC_PING_AND_WAIT", SECONDS=5, **arguments)

    error = caught.value
    assert isinstance(error, errors.RFCLibError)
    assert (error.code, error.key) == (7, "RFC_CANCELED")
    assert "Connection was canceled" in error.message
    assert connection.alive
    assert connection.handle != handle
    connection.call("BAPI_TRANSACTION_COMMIT", WAIT="X")
    assert stock(connection, material) == before
    assert ecc.conversations == 1
    connection.close()


def test_a_call_within_its_time_keeps_its_handle(connection: Connection) -> None:
    handle = connection.handle
    assert connection.call("RFC_PING_AND_WAIT", options={"timeout": 10}, SECONDS=0) == {}
    assert connection.handle == handle
    with pytest.raises(errors.ExternalRuntimeError, match="unknown call option"):
        connection.call("RFC_PING", options={"seconds": 1})


def test_values_are_converted_as_the_library_does(connection: Connection) -> None:
    assert connection.call("STFC_CONNECTION", REQUTEXT="x" * 300)["ECHOTEXT"] == "x" * 255
    for wrong in (5, b"x", None):
        with pytest.raises(errors.RFCTypeError):
            connection.call("STFC_CONNECTION", REQUTEXT=wrong)
    asked: dict[str, Any] = {"PLANT": "1010", "MATERIAL": "000000000000100001", "UNIT": "EA"}
    for quantity in (Decimal(1), "1.000", 1):
        wish = {"REQ_DATE": "20991231", "REQ_QTY": quantity}
        answer = connection.call("BAPI_MATERIAL_AVAILABILITY", WMDVSX=[wish], **asked)
        assert isinstance(answer["AV_QTY_PLT"], Decimal)
        assert answer["WMDVEX"][0]["REQ_QTY"] == Decimal(1)
    with pytest.raises(errors.RFCTypeError):
        connection.call("BAPI_MATERIAL_AVAILABILITY", WMDVSX=[{"REQ_QTY": 1.5}], **asked)
    with pytest.raises(errors.ExternalRuntimeError) as caught:
        connection.call("BAPI_MATERIAL_AVAILABILITY", WMDVSX=[{"REQ_DATE": "2026-11-23"}], **asked)
    assert caught.value.key == "RFC_CONVERSION_FAILURE"


def test_dates_come_as_the_configuration_says(ecc: AbapSystem) -> None:
    asked: dict[str, Any] = {"PLANT": "1010", "MATERIAL": "000000000000100001", "WMDVSX": [{"REQ_QTY": "1"}]}
    with_dates = connect(ecc, {"dtime": True, "return_import_params": True})
    answer = with_dates.call("BAPI_MATERIAL_AVAILABILITY", **asked)
    assert answer["WMDVEX"][0]["REQ_DATE"] is None
    assert answer["WMDVEX"][0]["COM_DATE"].year >= 2026
    assert answer["PLANT"] == "1010"
    with_dates.close()
    plain = connect(ecc)
    answer = plain.call("BAPI_MATERIAL_AVAILABILITY", **asked)
    assert answer["WMDVEX"][0]["REQ_DATE"] == ""
    assert "PLANT" not in answer
    plain.close()


def test_many_connections_read_at_the_same_time(ecc: AbapSystem) -> None:
    counts: list[int] = []

    def work() -> None:
        connection = connect(ecc)
        counts.append(len(read(connection, "MARA", "MATNR")))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [400] * 6
    assert ecc.conversations == 0
