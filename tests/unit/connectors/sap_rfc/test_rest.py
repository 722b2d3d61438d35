"""Articles, places, changes, the availability check and the self-check over RFC."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.sap.rfc.checks import judge_clock
from connectors.registry import create_erp, create_receiver
from hub.clock import utc_now
from hub.contracts import AvailabilityCheck, BarcodeRecord, CheckResult, ErpConnector, StockKey
from hub.errors import ConfigError, ProtocolViolation, RecordError, Rejected, Truncated
from tests.unit.connectors.sap_rfc.fake import (
    LOCATIONS,
    LOGON,
    MAPPINGS,
    WIDTHS,
    ABAPApplicationError,
    ABAPRuntimeError,
    CommunicationError,
    FakeSap,
    LogonError,
    holds,
    make_connector,
    quantity,
)

HAM = "000000000000000047"


@pytest.fixture
def sap() -> FakeSap:
    fake = FakeSap()
    fake.add("MARA", MATNR=HAM, MEINS="KG", EAN11="6901234567892", MATKL="L007", GROES="0.5 kg")
    fake.add("MAKT", MATNR=HAM, SPRAS="E", MAKTX="Ham")
    fake.add("MAKT", MATNR=HAM, SPRAS="1", MAKTX="火腿𠮷")
    fake.add("MARM", MATNR=HAM, MEINH="KG", UMREZ="1", UMREN="1", EAN11="6901234567892")
    fake.add("MARM", MATNR=HAM, MEINH="KAR", UMREZ="   12", UMREN="    1", EAN11="16901234567899")
    fake.add("MEAN", MATNR=HAM, MEINH="KAR", LFNUM="00001", EAN11="26901234567896")
    fake.add("MARA", MATNR="OLD", MEINS="ST", LVORM="X")
    fake.add("MAKT", MATNR="OLD", SPRAS="D", MAKTX="Alt")
    fake.add("MARA", MATNR="NAMELESS", MEINS="ST")
    fake.add("MARD", MATNR=HAM, WERKS="1010", LGORT="101A", LABST=quantity("1.000"))
    fake.add("T001L", WERKS="1010", LGORT="101A", LGOBE="华东")
    fake.add("T001L", WERKS="1010", LGORT="101B")
    post(fake, "0000000001", "20260101", "120000", {"MATNR": HAM})
    return fake


def post(sap: FakeSap, number: str, day: str, time: str, *lines: dict[str, str]) -> None:
    sap.add("MKPF", MBLNR=number, MJAHR="2026", CPUDT=day, CPUTM=time)
    for place, line in enumerate(lines, start=1):
        row = {"WERKS": "1010", "LGORT": "101A", **line}
        sap.add("MSEG", MBLNR=number, MJAHR="2026", ZEILE=f"{place:04d}", **row)


def lines_served(sap: FakeSap) -> int:
    """Return how many rows the last read of MSEG met."""
    options = [option["TEXT"] for option in sap.reads("MSEG")[-1]["OPTIONS"]]
    return sum(holds(options, row) for row in sap.tables["MSEG"])


# --- articles and places


def test_articles_with_names_and_codes(sap: FakeSap) -> None:
    (page,) = make_connector(sap).get_items()
    assert page.complete
    ham, old = sorted(page.records, key=lambda record: record.item)
    assert (ham.item, ham.name, ham.unit, ham.gtin, ham.category) == ("47", "火腿𠮷", "KG", "6901234567892", "L007")
    assert ham.attributes == {"size": "0.5 kg"}
    assert ham.barcodes == (
        BarcodeRecord("6901234567892", Decimal(1)),
        BarcodeRecord("16901234567899", Decimal(12)),
        BarcodeRecord("26901234567896", Decimal(12)),
    )
    assert (old.name, old.active) == ("Alt", False)
    assert [(refused.reason, refused.item) for refused in page.rejected] == [("missing_field", "NAMELESS")]
    (page,) = make_connector(sap, language="EN").get_items()
    assert {record.name for record in page.records} == {"Ham", "Alt"}


def test_a_bad_code_costs_itself_alone(sap: FakeSap) -> None:
    sap.tables["MARM"][1]["UMREN"] = "7"
    (page,) = make_connector(sap).get_items()
    ham = next(record for record in page.records if record.item == "47")
    assert [code.code for code in ham.barcodes] == ["6901234567892"]
    assert {(refused.reason, refused.item) for refused in page.rejected} >= {("bad_number", "47")}


def test_articles_come_in_pages(sap: FakeSap) -> None:
    for number in range(30):
        material = f"M{number:02d}"
        sap.add("MARA", MATNR=material, MEINS="ST")
        for language in "1ED":
            sap.add("MAKT", MATNR=material, SPRAS=language, MAKTX=f"{material} in {language}")
    pages = list(make_connector(sap, page_rows=10).get_items())
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    records = {record.item: record for page in pages for record in page.records}
    assert len(records) == sum(len(page.records) for page in pages) == 32
    assert records["M07"].name == "M07 in 1"


def test_places_with_or_without_a_name(sap: FakeSap) -> None:
    places = {place.code: place.name for place in make_connector(sap, page_rows=2).get_locations()}
    assert places == {"1010/101A": "101A 华东", "1010/101B": "101B"}


# --- changes


def test_the_first_look_starts_at_the_newest_document_and_names_nothing(sap: FakeSap) -> None:
    connector = make_connector(sap)
    post(sap, "0000000003", "20260102", "080910", {"MATNR": HAM})
    post(sap, "0000000002", "20260102", "080000", {"MATNR": HAM})
    changes = connector.changed_keys(None)
    assert changes.keys == frozenset()
    assert changes.cursor == {"at": "2026-01-02T08:09:10", "seen": {}, "lines": {}}
    assert json.loads(json.dumps(changes.cursor)) == changes.cursor


def test_documents_are_named_once_also_late_ones(sap: FakeSap) -> None:
    connector = make_connector(sap)
    settled = connector.changed_keys(connector.changed_keys(None).cursor)
    post(sap, "0000000005", "20260101", "120100", {"MATNR": "A"}, {"MATNR": HAM})
    found = connector.changed_keys(settled.cursor)
    assert found.keys == {StockKey("A", "1010/101A"), StockKey("47", "1010/101A")}
    # begun before the one already seen, and visible only now
    post(sap, "0000000004", "20260101", "115800", {"MATNR": "B"})
    late = connector.changed_keys(found.cursor)
    assert late.keys == {StockKey("B", "1010/101A")}
    assert connector.changed_keys(late.cursor).keys == frozenset()
    assert lines_served(sap) == 0, "lines that are known are not read again"
    assert connector.changed_keys(settled.cursor).keys == {*found.keys, *late.keys}


def test_both_sides_of_a_transfer_are_named_and_other_places_are_not(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(connector.changed_keys(None).cursor).cursor
    transfer = {"MATNR": "A", "UMMAT": "B", "UMWRK": "1010", "UMLGO": "101B"}
    post(sap, "0000000006", "20260101", "120200", transfer, {"MATNR": "C", "LGORT": "9999"}, {"MATNR": "", "LGORT": ""})
    assert connector.changed_keys(cursor).keys == {StockKey("A", "1010/101A"), StockKey("B", "1010/101B")}
    transfer = {"MATNR": "A", "UMLGO": "101B"}
    post(sap, "0000000007", "20260101", "120300", transfer)
    assert StockKey("A", "1010/101B") in connector.changed_keys(cursor).keys


def test_a_document_that_shows_before_its_lines_is_met_again(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(connector.changed_keys(None).cursor).cursor
    post(sap, "0000000008", "20260101", "120400")
    with pytest.raises(Truncated, match="without their lines"):
        connector.changed_keys(cursor)
    post(sap, "0000000009", "20260101", "120500", {"MATNR": "B"})
    looked = connector.changed_keys(cursor)
    assert looked.keys == {StockKey("B", "1010/101A")}
    sap.add("MSEG", MBLNR="0000000008", MJAHR="2026", ZEILE="0001", MATNR="A", WERKS="1010", LGORT="101A")
    assert connector.changed_keys(looked.cursor).keys == {StockKey("A", "1010/101A")}


def test_a_material_that_does_not_lead_back_is_not_passed_over(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(None).cursor
    post(sap, "0000000010", "20260101", "120500", {"MATNR": "000047"})
    with pytest.raises(ProtocolViolation, match="material_length"):
        connector.changed_keys(cursor)


def test_many_documents_and_the_turn_of_the_year(sap: FakeSap) -> None:
    connector = make_connector(sap, page_rows=7, names_per_call=3, requests_per_minute=10**6)
    cursor = connector.changed_keys(None).cursor
    for number in range(40):
        post(sap, f"{number + 100:010d}", "20260101", f"1300{number:02d}", {"MATNR": f"M{number}"})
    sap.add("MKPF", MBLNR="0000000100", MJAHR="2027", CPUDT="20270101", CPUTM="240000")
    sap.add("MSEG", MBLNR="0000000100", MJAHR="2027", ZEILE="0001", MATNR="NEW", WERKS="1010", LGORT="101A")
    sap.clock = "Date: 20270102   Time: 000000"
    found = connector.changed_keys(cursor)
    assert {f"M{number}" for number in range(40)} | {"NEW"} <= {key.item for key in found.keys}
    assert found.cursor["at"] == "2027-01-01T23:59:59"


def test_one_document_with_many_lines(sap: FakeSap) -> None:
    connector = make_connector(sap, page_rows=7)
    cursor = connector.changed_keys(None).cursor
    post(sap, "0000000011", "20260101", "130000", *({"MATNR": f"M{number}"} for number in range(50)))
    assert {f"M{number}" for number in range(50)} <= {key.item for key in connector.changed_keys(cursor).keys}


def test_lines_that_show_later_than_others_of_their_document_are_named(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(connector.changed_keys(None).cursor).cursor
    post(sap, "0000000011", "20260101", "120100", *({"MATNR": f"M{number}"} for number in range(1, 1001)))
    post(sap, "0000000012", "20260101", "120100", {"MATNR": "OTHER"})
    whole = list(sap.tables["MSEG"])
    late = {number for number in range(1, 1001) if number in {1, 7, 8, 500} or number > 990}
    sap.tables["MSEG"] = [row for row in whole if row["MATNR"] not in {f"M{number}" for number in late}]
    first = connector.changed_keys(cursor)
    assert {key.item for key in first.keys} == {f"M{n}" for n in range(1, 1001) if n not in late} | {"OTHER"}
    assert first.cursor["lines"]["2026/0000000011"] == "2-6,9-499,501-990"
    sap.tables["MSEG"] = whole
    second = connector.changed_keys(first.cursor)
    assert {key.item for key in second.keys} == {f"M{number}" for number in late}
    assert lines_served(sap) == len(late), "what is known of a large posting is not read again"
    assert connector.changed_keys(second.cursor).keys == frozenset()
    assert lines_served(sap) == 0


def test_lines_that_lack_here_and_there_are_named_too(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(connector.changed_keys(None).cursor).cursor
    post(sap, "0000000011", "20260101", "120100", *({"MATNR": f"M{number}"} for number in range(100)))
    whole, sap.tables["MSEG"] = sap.tables["MSEG"], sap.tables["MSEG"][::2]
    first = connector.changed_keys(cursor)
    sap.tables["MSEG"] = whole
    second = connector.changed_keys(first.cursor)
    assert {key.item for key in first.keys | second.keys} == {f"M{number}" for number in range(100)}
    assert not first.keys & second.keys


def test_a_cursor_of_an_earlier_version_is_read(sap: FakeSap) -> None:
    connector = make_connector(sap)
    old = {"at": "2026-01-01T12:00:00", "seen": {"2026/0000000001": "2026-01-01T12:00:00"}}
    changes = connector.changed_keys(old)
    assert changes.keys == {StockKey("47", "1010/101A")}
    assert connector.changed_keys(changes.cursor).keys == frozenset()


def test_a_document_of_the_future_hides_no_others(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(connector.changed_keys(None).cursor).cursor
    sap.clock = "Date: 20260101   Time: 130000"
    post(sap, "0000000011", "20260101", "140000", {"MATNR": "EARLY"})
    first = connector.changed_keys(cursor)
    assert (first.keys, first.cursor["at"]) == ({StockKey("EARLY", "1010/101A")}, "2026-01-01T13:00:00")
    post(sap, "0000000012", "20260101", "130100", {"MATNR": "A"})
    second = connector.changed_keys(first.cursor)
    assert second.keys == {StockKey("A", "1010/101A")}
    assert connector.changed_keys(second.cursor).keys == frozenset()
    assert connector.changed_keys(None).cursor["at"] == "2026-01-01T13:00:00"


def test_the_hour_that_comes_twice(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(connector.changed_keys(None).cursor).cursor
    sap.clock = "Date: 20260102   Time: 030000"
    post(sap, "0000000011", "20260102", "025959", {"MATNR": "SUMMER"})
    cursor = connector.changed_keys(cursor).cursor
    sap.clock = "Date: 20260102   Time: 020100"
    post(sap, "0000000012", "20260102", "020030", {"MATNR": "WINTER"})
    assert connector.changed_keys(cursor).keys == {StockKey("WINTER", "1010/101A")}


@pytest.mark.parametrize("refusal", [ABAPRuntimeError("", "RFC_NO_AUTHORITY"), None])
def test_a_clock_that_is_not_told_is_ahead_of_any_on_earth(sap: FakeSap, refusal: Exception | None) -> None:
    def ask(**_: Any) -> dict[str, Any]:
        if refusal is not None:
            raise refusal
        return {"RESPTEXT": "a quarter past"}

    sap.functions["STFC_CONNECTION"] = ask
    post(sap, "0000000011", "20991231", "140000", {"MATNR": "A"})
    at = datetime.fromisoformat(make_connector(sap).changed_keys(None).cursor["at"]).replace(tzinfo=UTC)
    assert timedelta(hours=13, minutes=59) < at - utc_now() <= timedelta(hours=14)


def test_a_line_without_a_number_is_an_error(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(None).cursor
    sap.add("MSEG", MBLNR="0000000001", MJAHR="2026", ZEILE="A", MATNR=HAM, WERKS="1010", LGORT="101A")
    with pytest.raises(ProtocolViolation, match="no number"):
        connector.changed_keys(cursor)


def test_where_there_is_no_document_yet_all_are_news(sap: FakeSap) -> None:
    sap.tables["MKPF"].clear()
    connector = make_connector(sap)
    empty = connector.changed_keys(None)
    assert empty.cursor["at"] is None
    post(sap, "0000000009", "20260101", "120500", {"MATNR": "A"})
    assert connector.changed_keys(empty.cursor).keys == {StockKey("A", "1010/101A")}


def test_documents_that_are_out_of_sight_are_not_silence(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(None).cursor
    sap.tables["MKPF"].clear()
    with pytest.raises(Truncated):
        connector.changed_keys(cursor)


def test_a_document_without_a_time_is_an_error(sap: FakeSap) -> None:
    connector = make_connector(sap)
    cursor = connector.changed_keys(None).cursor
    post(sap, "0000000010", "20260199", "120500", {"MATNR": "A"})
    with pytest.raises(ProtocolViolation, match="0000000010"):
        connector.changed_keys(cursor)


# --- the availability check


def promise(sap: FakeSap, quantity: str = "5", item: str = "47", **answer: Any) -> Any:
    told = {
        "AV_QTY_PLT": Decimal("7.000"),
        "DIALOGFLAG": "X",
        "WMDVEX": [
            {"COM_DATE": "20260301", "COM_QTY": Decimal("2.000")},
            {"COM_DATE": "20260210", "COM_QTY": Decimal("3.000")},
            {"COM_DATE": "00000000", "COM_QTY": Decimal("0.000")},
        ],
        "RETURN": {"TYPE": "", "CODE": "", "MESSAGE": ""},
        **answer,
    }
    sap.functions["BAPI_MATERIAL_AVAILABILITY"] = lambda **_: told
    return make_connector(sap).check_availability(StockKey(item, "1010/101A"), Decimal(quantity), date(2026, 2, 15))


def test_what_sap_would_confirm(sap: FakeSap) -> None:
    found = promise(sap)
    assert (found.wanted, found.confirmed, found.available, found.checked) == (5, 3, 7, True)
    assert found.schedule == ((date(2026, 2, 10), Decimal(3)), (date(2026, 3, 1), Decimal(2)))
    _, asked = sap.asked[-1]
    assert asked == {
        "PLANT": "1010",
        "MATERIAL": HAM,
        "UNIT": "KG",
        "CHECK_RULE": "A",
        "STGE_LOC": "101A",
        "WMDVSX": [{"REQ_DATE": "20260215", "REQ_QTY": Decimal(5)}],
    }
    assert not promise(sap, DIALOGFLAG="N").checked
    # a warning is no refusal; the structure may come as a table
    assert promise(sap, RETURN={"TYPE": "W", "MESSAGE": "locked for planning"}).confirmed == 3
    assert promise(sap, RETURN=[]).confirmed == 3


@pytest.mark.parametrize("kind", ["E", "A", "X"])
@pytest.mark.parametrize("table", [True, False])
def test_a_refused_check(sap: FakeSap, kind: str, table: bool) -> None:  # noqa: FBT001
    line = {"TYPE": kind, "ID": "M3", "NUMBER": "305", "MESSAGE": "Material  not maintained in plant"}
    with pytest.raises(Rejected, match="Material not maintained in plant") as caught:
        promise(sap, RETURN=[line] if table else line)
    assert caught.value.remote_code == "M3/305"


def test_what_can_not_be_asked_or_read(sap: FakeSap) -> None:
    for wrong in ("0", "-1", "1.0005"):
        with pytest.raises(RecordError):
            promise(sap, wrong)
    for item in ("no-such", "x" * 41):
        with pytest.raises(Rejected):
            promise(sap, item=item)
    for broken in (
        {"WMDVEX": None},
        {"WMDVEX": [{"COM_DATE": "00000000", "COM_QTY": Decimal(1)}]},
        {"WMDVEX": [{"COM_DATE": "20260101", "COM_QTY": 1.5}]},
        {"AV_QTY_PLT": "7"},
    ):
        with pytest.raises(ProtocolViolation):
            promise(sap, **broken)


# --- the self-check


def by_name(results: Any) -> dict[str, CheckResult]:
    return {result.name: result for result in results}


def test_check_is_well(sap: FakeSap) -> None:
    sap.functions["STFC_CONNECTION"] = lambda **_: {"RESPTEXT": "SAP R/3 Rel. 731 Sysid: ECC Date: 20260101 Time: 1 "}
    results = by_name(make_connector(sap).check())
    assert [result for result in results.values() if not result.ok] == []
    assert results.keys() >= {"log-on", "client", *(WIDTHS.keys() - {"MCHA"}), "stock rows", "clock"}
    assert results["GET_SORTED"].detail == "not on this release; not needed"
    assert results["MARD"].detail == "readable, 176 of 512 characters"


def test_each_fault_has_its_advice(sap: FakeSap) -> None:
    del sap.widths["MEAN"], sap.widths["MARA"]["GROES"], sap.widths["MARA"]["XCHPF"]
    sap.widths["MARD"]["LABST"] = 500
    connector = make_connector(sap, client="200")
    results = by_name(connector.check())
    assert not results["client"].ok
    assert results["MARA"].detail == "lacks XCHPF, GROES"
    assert "TABLE_NOT_AVAILABLE" in results["MEAN"].detail
    assert not results["MARD"].ok
    assert results["MCHB"].ok
    assert all(result.advice for result in results.values() if not result.ok)
    sap.tables["MARD"].clear()
    assert "locations" in by_name(connector.check())["stock rows"].advice


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (LogonError("", "RFC_LOGON_FAILURE"), "S_RFC"),
        (CommunicationError("", "RFC_COMMUNICATION_FAILURE"), "ashost"),
    ],
)
def test_check_stops_at_the_door(sap: FakeSap, error: Exception, word: str) -> None:
    sap.connect = lambda: (_ for _ in ()).throw(error)  # type: ignore[method-assign]
    (result,) = make_connector(sap).check()
    assert (result.name, result.ok) == ("log-on", False)
    assert word in result.advice


def test_check_tells_a_missing_right(sap: FakeSap) -> None:
    def refuse(_: str, parameters: dict[str, Any]) -> None:
        if parameters.get("QUERY_TABLE") == "MKPF":
            raise ABAPApplicationError("", "NOT_AUTHORIZED")
        if parameters.get("QUERY_TABLE") == "T001L":
            raise ABAPRuntimeError("", "RFC_NO_AUTHORITY")

    sap.before = refuse
    results = by_name(make_connector(sap).check())
    for name in ("MKPF", "T001L", "material documents"):
        assert "S_TABU_NAM" in results[name].advice
    assert results["MARA"].ok


@pytest.mark.parametrize(
    ("served", "well", "says"),
    [
        ("2026-01-01 20:00:05", True, "UTC+8.00 h, +5 s"),
        ("2026-01-01 17:28:00", False, "UTC+5.50 h, -120 s"),
        ("2025-12-31 23:59:40", True, "UTC-12.00 h, -20 s"),
    ],
)
def test_clocks_are_compared_whatever_the_zone(served: str, well: bool, says: str) -> None:  # noqa: FBT001
    ours = datetime(2026, 1, 1, 12, 0, 0)  # noqa: DTZ001 - as judge_clock takes it
    result = judge_clock(datetime.fromisoformat(served), ours)
    assert (result.ok, says in result.detail) == (well, True), result.detail


# --- the factory


def test_the_transport_chooses_the_connector_and_its_settings() -> None:
    connection = {"transport": "rfc", **LOGON}
    connector = create_erp("sap", "ecc", connection, LOCATIONS, MAPPINGS)
    assert isinstance(connector, ErpConnector)
    assert isinstance(connector, AvailabilityCheck)
    assert connector.mapping_version.count("rfc/") == 6
    assert create_receiver("sap", "ecc", connection) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"transport": "soap"}, "there is odata and rfc"),
        ({"ashost": None}, "either ashost, or mshost"),
        ({"mshost": "m"}, "either ashost, or mshost"),
        ({"ashost": None, "mshost": "m", "group": "PUBLIC"}, "needs mshost, group and sysid"),
        ({"password": None}, "belong together"),
        ({"user": None, "password": None}, "snc_partnername"),
        ({"base_url": "https://s4.example.com"}, "sources.ecc.connection.base_url"),
        ({"conversation": 3}, "did you mean conversations?"),
        ({"client": "1"}, "ONESHELF_SOURCES__ECC__CONNECTION__CLIENT"),
    ],
)
def test_wrong_settings_are_named_and_secrets_are_not(changes: dict[str, Any], says: str) -> None:
    given = {k: v for k, v in {"transport": "rfc", **LOGON, **changes}.items() if v is not None}
    with pytest.raises(ConfigError) as caught:
        create_erp("sap", "ecc", given, LOCATIONS, MAPPINGS)
    assert says in str(caught.value)
    assert LOGON["password"] not in str(caught.value)


def test_what_is_given_to_the_library_is_what_all_providers_know() -> None:
    from connectors.erp.sap.rfc.settings import RfcSettings

    balanced = {"mshost": "m", "group": "PUBLIC", "sysid": "ECC", "snc_partnername": "p:CN=ECC", "saprouter": "/H/r"}
    assert RfcSettings.model_validate(balanced).logon_parameters() == {
        **balanced,
        "snc_mode": "1",
        "client": "100",
        "lang": "ZH",
    }
    direct = RfcSettings.model_validate(LOGON).logon_parameters()
    assert direct.keys() == {"ashost", "sysnr", "user", "passwd", "client", "lang"}


def test_a_wrong_location_or_mapping_is_told(tmp_path: Any) -> None:
    with pytest.raises(ConfigError):
        create_erp("sap", "ecc", {"transport": "rfc", **LOGON}, ["SHANGHAI"], MAPPINGS)
    with pytest.raises(ConfigError):
        create_erp("sap", "ecc", {"transport": "rfc", **LOGON}, LOCATIONS, tmp_path)
