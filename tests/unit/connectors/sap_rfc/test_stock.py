"""Stock over RFC: whole keys whatever the order, lots in place of their sum, and doubt where the two disagree."""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.erp.sap.rfc.tables import LEVELS
from hub.contracts import StockKey, StockRow, StockStatus
from hub.errors import ConfigError, ProtocolViolation, Truncated
from tests.unit.connectors.sap_rfc.fake import FakeSap, make_connector, quantity

if TYPE_CHECKING:
    from collections.abc import Collection

    from connectors.erp.sap.rfc.connector import RfcConnector
    from hub.contracts import Rejection

HAM, SHIRT = "000000000000000047", "SHIRT-M"


@pytest.fixture
def sap() -> FakeSap:
    fake = FakeSap()
    fake.add("MARA", MATNR=SHIRT, MEINS="ST")
    fake.add("MARD", MATNR=SHIRT, WERKS="1010", LGORT="101A", LABST=quantity("240.125"), SPEME=quantity("-5.000"))
    fake.add("MARA", MATNR=HAM, MEINS="KG", XCHPF="X")
    fake.add("MARD", MATNR=HAM, WERKS="1010", LGORT="101A", LABST=quantity("12.500"), INSME=quantity("1.000"))
    for batch, free, checked, expires in (("B1", "10.000", "1.000", "20261122"), ("B2", "2.500", "0.000", "00000000")):
        row = {"MATNR": HAM, "WERKS": "1010", "LGORT": "101A", "CHARG": batch}
        fake.add("MCHB", **row, CLABS=quantity(free), CINSM=quantity(checked))
        fake.add("MCH1", MATNR=HAM, CHARG=batch, VFDAT=expires)
    fake.add("MCHB", MATNR=HAM, WERKS="1010", LGORT="101A", CHARG="EMPTY")
    return fake


def read(connector: RfcConnector, keys: Collection[StockKey] | None = None) -> tuple[list[StockRow], list[Rejection]]:
    pages = list(connector.iter_stock(keys))
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    seen: list[set[StockKey]] = [{StockKey(row.item, row.location) for row in page.rows} for page in pages]
    assert sum(map(len, seen)) == len(set().union(*seen)), "a key stands on two pages"
    return [row for page in pages for row in page.rows], [refused for page in pages for refused in page.rejected]


def test_each_quantity_of_a_row_is_a_record_and_lots_stand_for_their_sum(sap: FakeSap) -> None:
    rows, rejected = read(make_connector(sap))
    assert rejected == []
    assert {(r.item, r.location, r.status, r.quantity, r.unit, r.lot, r.expires_on) for r in rows} == {
        (SHIRT, "1010/101A", StockStatus.SELLABLE, Decimal("240.125"), "EA", "", None),
        (SHIRT, "1010/101A", StockStatus.BLOCKED, Decimal("-5.000"), "EA", "", None),
        ("47", "1010/101A", StockStatus.SELLABLE, Decimal("10.000"), "KG", "B1", date(2026, 11, 22)),
        ("47", "1010/101A", StockStatus.QUALITY, Decimal("1.000"), "KG", "B1", date(2026, 11, 22)),
        ("47", "1010/101A", StockStatus.SELLABLE, Decimal("2.500"), "KG", "B2", None),
    }
    assert len({row.row_id for row in rows}) == len(rows)
    assert {row.owner for row in rows} == {""}


def test_keys_are_read_as_in_a_full_read(sap: FakeSap) -> None:
    key = StockKey("47", "1010/101A")
    rows, _ = read(make_connector(sap), {key, StockKey("no-such", "1010/101B"), StockKey("it's '%", "1010/101A")})
    assert {(row.lot, row.quantity) for row in rows} == {
        ("B1", Decimal("10.000")),
        ("B1", Decimal("1.000")),
        ("B2", Decimal("2.500")),
    }
    assert read(make_connector(sap), []) == ([], [])


@pytest.mark.parametrize("conversations", [1, 3])
def test_the_tables_of_a_few_keys_are_read_at_once(sap: FakeSap, conversations: int) -> None:
    connector = make_connector(sap, conversations=conversations)
    connector.get_locations()  # logged on: a wrong password must not be tried three times at once
    all_here = threading.Barrier(conversations)

    def wait_for_the_others(_: str, parameters: dict[str, Any]) -> None:
        if parameters.get("QUERY_TABLE") in {"MARA", "MARD", "MCHB"} and not parameters.get("NO_DATA"):
            all_here.wait(timeout=5)

    sap.before = wait_for_the_others
    rows, _ = read(connector, {StockKey("47", "1010/101A")})
    assert len(rows) == 3
    assert not all_here.broken


def test_a_key_that_no_row_can_have_is_not_asked_for(sap: FakeSap) -> None:
    impossible = {StockKey("x" * 41, "1010/101A"), StockKey("A", "1010/TOO-LONG"), StockKey("A\nB", "1010/101A")}
    assert read(make_connector(sap), impossible) == ([], [])
    assert sap.asked == []
    with pytest.raises(ConfigError):
        read(make_connector(sap), {StockKey("A", "SHANGHAI")})


def test_keys_are_not_taken_for_sold_out_when_nothing_can_be_seen(sap: FakeSap) -> None:
    connector = make_connector(sap)
    assert read(connector, {StockKey("no-such", "1010/101A")}) == ([], [])
    sap.tables["MARD"].clear()
    with pytest.raises(Truncated):
        read(connector, {StockKey("no-such", "1010/101A")})


def test_the_quantities_of_a_row_are_of_one_call_though_its_fields_take_several(sap: FakeSap) -> None:
    """Else a transfer from checked to blocked stock between two calls would be counted twice, or not at all."""
    sap.widths["MARD"]["LGPBE"] = 340
    for row in sap.tables["MARD"]:
        row["LGPBE"] = "A-07"
    connector = make_connector(sap)
    first, *others = connector._stock.fields[LEVELS]
    connector._stock.fields[LEVELS] = (first, "LGPBE", *others)
    rows, rejected = read(connector)
    assert (len(rows), rejected) == (5, [])
    fields = [{field["FIELDNAME"] for field in parameters["FIELDS"]} for parameters in sap.reads("MARD")]
    quantities = sap.widths["MARD"].keys() - {"MATNR", "WERKS", "LGORT", "LGPBE"}
    assert len(fields) == 2
    assert [named & quantities for named in fields] == [quantities, set()]


def test_quantities_that_do_not_fit_into_one_row_are_refused(sap: FakeSap) -> None:
    sap.widths["MARD"]["LABST"] = 380
    with pytest.raises(ConfigError, match=r"LABST.* together have \d+ characters"):
        read(make_connector(sap))


def test_without_locations_there_is_no_full_read(sap: FakeSap) -> None:
    with pytest.raises(ConfigError, match="no locations"):
        read(make_connector(sap, ()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    page_rows=st.integers(6, 30),
    names=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_a_full_read_finds_every_row_once_whatever_the_order(
    counts: list[int], page_rows: int, names: int, seed: int
) -> None:
    sap = FakeSap()
    sap.random.seed(seed)
    expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for number, count in enumerate(counts):
        material = f"{number:018d}" if number % 3 else f"M-{number}"
        sap.add("MARA", MATNR=material, MEINS="ST")
        for place, lots in (("101A", count), ("101B", count // 2)):
            for lot in range(lots):
                sap.add(
                    "MCHB", MATNR=material, WERKS="1010", LGORT=place, CHARG=f"L{lot}", CLABS=quantity(f"{lot + 1}.000")
                )
                expected[material.lstrip("0") or "0", f"1010/{place}"] += lot + 1
            total = quantity(f"{sum(range(lots + 1))}.000")
            sap.add("MARD", MATNR=material, WERKS="1010", LGORT=place, LABST=total)
    connector = make_connector(
        sap, page_rows=page_rows, names_per_call=names, expiry_table="none", requests_per_minute=10**6
    )
    rows, rejected = read(connector)
    assert rejected == []
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        found[row.item, row.location] += row.quantity
    assert found == expected
    assert len({row.row_id for row in rows}) == len(rows)
    connector._client.pool.close()


def test_one_material_larger_than_an_answer_is_an_error_not_a_loss(sap: FakeSap) -> None:
    for number in range(30):
        sap.add("MCHB", MATNR=HAM, WERKS="1010", LGORT="101A", CHARG=f"N{number}")
    with pytest.raises(ProtocolViolation, match="page_rows"):
        read(make_connector(sap, page_rows=20))
    with pytest.raises(ProtocolViolation, match="page_rows"):
        read(make_connector(sap, page_rows=20), {StockKey("47", "1010/101A")})


def test_pages_are_read_when_they_are_asked_for(sap: FakeSap) -> None:
    for number in range(20):
        sap.add("MARA", MATNR=f"M{number:02d}", MEINS="ST")
        sap.add("MARD", MATNR=f"M{number:02d}", WERKS="1010", LGORT="101A", LABST=quantity("1.000"))
    pages = make_connector(sap, page_rows=5).iter_stock()
    assert sap.asked == []
    next(pages)
    asked = len(sap.asked)
    next(pages)
    assert len(sap.asked) > asked


# --- MARD and MCHB


def move_once(sap: FakeSap, table: str) -> None:
    """Let a lot be sold just before a table is read, the first time."""

    def sell(_: str, parameters: dict[str, Any]) -> None:
        if parameters.get("QUERY_TABLE") == table and not parameters.get("NO_DATA"):
            sap.before = lambda *_: None
            sap.tables["MCHB"][0]["CLABS"] = quantity("9.000")
            sap.tables["MARD"][1]["LABST"] = quantity("11.500")

    sap.before = sell


def test_stock_that_moves_between_the_two_tables_is_read_again(sap: FakeSap) -> None:
    connector = make_connector(sap)
    read(connector)  # the widths are known now
    move_once(sap, "MCHB")
    rows, rejected = read(connector)
    assert rejected == []
    assert sum(row.quantity for row in rows if row.item == "47" and row.status == StockStatus.SELLABLE) == Decimal(
        "11.5"
    )
    assert len(sap.reads("MCHB")) == 3


def test_lots_that_never_add_up_leave_their_level_unknown(sap: FakeSap) -> None:
    sap.tables["MARD"][1]["LABST"] = quantity("99.000")
    rows, (refused,) = read(make_connector(sap))
    assert {row.item for row in rows} == {SHIRT}
    assert (refused.reason, refused.item, refused.location) == ("batches_differ", "47", "1010/101A")
    assert (
        refused.detail
        == "MARD has 1.000 quality, 99.000 sellable, the batches of MCHB together 1.000 quality, 12.500 sellable"
    )


def test_consigned_goods_are_told_apart_and_no_batch_is_missed_for_them(sap: FakeSap) -> None:
    for row in sap.tables["MARD"]:
        row["KLABS"] = quantity("3.000")
    rows, rejected = read(make_connector(sap))
    assert rejected == []
    consigned = [(row.item, row.status, row.quantity, row.lot) for row in rows if row.owner == "K"]
    assert sorted(consigned) == [("47", "sellable", 3, ""), (SHIRT, "sellable", 3, "")]
    assert sum(row.quantity for row in rows if row.item == "47" and not row.owner) == Decimal("13.5")


def test_a_batch_material_without_batches_is_not_sold_by_its_sum(sap: FakeSap) -> None:
    sap.tables["MCHB"].clear()
    _, (refused,) = read(make_connector(sap))
    assert (refused.reason, refused.item) == ("batches_differ", "47")
    sap.tables["MARD"][1] |= {"LABST": quantity("0.000"), "INSME": quantity("0.000")}
    rows, rejected = read(make_connector(sap))
    assert ({row.item for row in rows}, rejected) == ({SHIRT}, [])


def test_batches_that_a_plant_alone_manages_are_found_without_the_flag(sap: FakeSap) -> None:
    sap.tables["MARA"][1]["XCHPF"] = ""
    rows, rejected = read(make_connector(sap))
    assert rejected == []
    assert {row.lot for row in rows if row.item == "47"} == {"B1", "B2"}


def test_batches_without_a_row_of_mard_are_doubted(sap: FakeSap) -> None:
    del sap.tables["MARD"][1]
    _, (refused,) = read(make_connector(sap))
    assert (refused.reason, refused.item) == ("batches_differ", "47")


def test_expiry_dates_may_stand_by_plant_or_nowhere(sap: FakeSap) -> None:
    sap.add("MCHA", MATNR=HAM, WERKS="1010", CHARG="B1", VFDAT="20270101")
    sap.add("MCHA", MATNR=HAM, WERKS="1010", CHARG="B2", VFDAT="")
    rows, _ = read(make_connector(sap, expiry_table="MCHA"))
    assert {row.expires_on for row in rows if row.lot == "B1"} == {date(2027, 1, 1)}
    assert {row.expires_on for row in rows if row.lot == "B2"} == {None}
    rows, _ = read(make_connector(sap, expiry_table="none"))
    assert {row.expires_on for row in rows} == {None}


def test_a_batch_whose_expiry_can_not_be_found_is_not_sold(sap: FakeSap) -> None:
    del sap.tables["MCH1"][0]
    rows, (refused,) = read(make_connector(sap))
    assert {row.item for row in rows} == {SHIRT}
    assert (refused.reason, refused.item, refused.location) == ("unknown_batch", "47", "1010/101A")


# --- what can't be understood


def test_a_bad_quantity_costs_its_level_alone(sap: FakeSap) -> None:
    sap.tables["MARD"][0]["LABST"] = quantity("1.000,5")
    rows, (refused,) = read(make_connector(sap))
    assert (refused.reason, refused.item, refused.location) == ("bad_number", SHIRT, "1010/101A")
    assert {row.item for row in rows if row.status == StockStatus.SELLABLE} == {"47"}


def test_a_row_that_was_cut_off_is_not_zero(sap: FakeSap) -> None:
    sap.tables["MARD"][0]["RETME"] = ""
    _, (refused,) = read(make_connector(sap))
    assert (refused.reason, refused.item) == ("missing_field", SHIRT)


def test_a_material_that_has_no_unit_yet_is_refused(sap: FakeSap) -> None:
    sap.add("MARD", MATNR="NEW", WERKS="1010", LGORT="101A", LABST=quantity("1.000"))
    _, (refused,) = read(make_connector(sap))
    assert (refused.reason, refused.item) == ("missing_field", "NEW")


def test_numbers_that_would_not_lead_back_are_refused(sap: FakeSap) -> None:
    sap.add("MARA", MATNR="12345", MEINS="ST")
    sap.add("MARD", MATNR="12345", WERKS="1010", LGORT="101A", LABST=quantity("1.000"))
    _, (refused,) = read(make_connector(sap))
    assert (refused.reason, refused.item) == ("bad_value", "12345")
    assert "material_zeros" in refused.detail
    _, rejected = read(make_connector(sap, material_zeros=False))
    assert {refused.item for refused in rejected} == {"47"}


def test_long_numbers_of_s4hana(sap: FakeSap) -> None:
    for table in ("MARA", "MARD", "MCHB"):
        sap.widths[table]["MATNR"] = 40
        for row in sap.tables[table]:
            row["MATNR"] = row["MATNR"].zfill(40) if row["MATNR"].isdigit() else row["MATNR"]
    rows, rejected = read(make_connector(sap, material_length=40, expiry_table="none"), {StockKey("47", "1010/101A")})
    assert rejected == []
    assert {row.item for row in rows} == {"47"}
