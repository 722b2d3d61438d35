"""A look at SAP over RFC: what an ECC system may do otherwise, each named with what to do about it."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import connectors.erp.sap.rfc.probe
from connectors.registry import create_erp
from hub.db.session import Database
from hub.settings import PROJECT_ROOT, SourceSettings, load_settings
from oneshelf.live_check import look_at
from sandbox.erp.sap_rfc.basis import basis_functions
from tests.erp_sandboxes import UNLIMITED, SapRfcSandbox, run_sandbox
from tests.hub_shop import make_shop
from tests.integration.test_live_probe import different, look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hub.probe import TracedRow
    from sandbox.erp.sap_rfc.interface import Call, Function
    from tests.conftest import FreshDatabase

READS = {
    "log-on",
    "RFC_PING",
    "RFC_READ_TABLE",
    "STFC_CONNECTION",
    "DDIF_FIELDINFO_GET",
    "BAPI_MATERIAL_AVAILABILITY",
    "BBP_RFC_READ_TABLE",
    "/BODS/RFC_READ_TABLE",
    "/BODS/RFC_READ_TABLE2",
    "/SAPDS/RFC_READ_TABLE",
    "/SAPDS/RFC_READ_TABLE2",
}
LONG_NUMBERS = {"table MARA", "table MARD", "table MCHB", "table MCH1", "table MAKT", "table MARM", "table MEAN"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SapRfcSandbox]:
    with run_sandbox("sap-rfc", tmp_path_factory.mktemp("rfc")) as served:
        assert isinstance(served, SapRfcSandbox)
        served.moves(5)
        yield served


def changed(
    function: Function, before: Callable[[Call], None] | None, after: Callable[[Call], None] | None
) -> Function:
    """Return a function module that does something else before, or after, what it does."""

    def body(call: Call) -> None:
        if before is not None:
            before(call)
        function.body(call)
        if after is not None:
            after(call)

    return replace(function, body=body)


def test_everything_that_a_look_calls_is_a_read(world: SapRfcSandbox) -> None:
    books, documents = world.books(), world._read_table("MKPF", "MBLNR")
    world.asked.clear()
    look(world)
    world.connect().trace(next(iter(books)).item)  # type: ignore[attr-defined]
    assert set(world.asked) == READS
    assert world.books() == books
    assert world._read_table("MKPF", "MBLNR") == documents
    assert world._read_table("RKPF", "RSNUM") == []


@pytest.mark.parametrize(
    ("fault", "options", "names", "name", "words"),
    [
        ("page-alloc-failed", {"rows": 30}, {"largest answer"}, "largest answer", "out of memory"),
        (
            "no-rfc-authority",
            {"function": "STFC_CONNECTION"},
            {"function STFC_CONNECTION", "server clock"},
            "function STFC_CONNECTION",
            "S_RFC",
        ),
        (
            "no-rfc-authority",
            {"function": "BAPI_MATERIAL_AVAILABILITY"},
            {"function BAPI_MATERIAL_AVAILABILITY"},
            "function BAPI_MATERIAL_AVAILABILITY",
            "S_RFC",
        ),
        (
            "no-rfc-authority",
            {"function": "DDIF_FIELDINFO_GET"},
            {"function DDIF_FIELDINFO_GET"},
            "function DDIF_FIELDINFO_GET",
            "S_RFC",
        ),
    ],
)
def test_what_does_no_harm_is_named_alone(
    world: SapRfcSandbox, fault: str, options: dict[str, Any], names: set[str], name: str, words: str
) -> None:
    with world.fault(fault, **options):
        seen = look(world)
    assert different(seen) == names
    assert words in seen[name].seen
    assert not any(observation.alarming for observation in seen.values())


@pytest.mark.parametrize(
    ("fault", "options", "name", "words"),
    [
        ("not-authorized", {"table": "MEAN"}, "table MEAN", "S_TABU_NAM"),
        ("table-without-data", {"table": "MCHB"}, "table MCHB", "structure"),
        ("empty-answer", {"table": "MKPF"}, "table MKPF", "no row"),
        ("empty-answer", {"table": "MCH1"}, "stock rows refused", "expiry_table"),
        ("short-answer", {"table": "MCHB"}, "stock rows refused", "batches_differ"),
        ("short-answer", {}, "largest answer", "more show in parts"),
        ("buffer-exceeded", {"width": 40}, "row width", "DATA_BUFFER_EXCEEDED"),
    ],
)
def test_what_makes_numbers_wrong_is_alarming(
    world: SapRfcSandbox, fault: str, options: dict[str, Any], name: str, words: str
) -> None:
    with world.fault(fault, **options):
        seen = look(world)
    assert seen[name].alarming
    assert seen[name].advice
    assert words in f"{seen[name].seen} {seen[name].advice}"


@pytest.mark.parametrize(
    ("change", "name", "words", "alarming"),
    [
        (lambda call: call.imports.update(ROWCOUNT=0), "ROWCOUNT", "read_function", False),
        (
            lambda call: call.imports.update(ROWCOUNT=min(call.imports["ROWCOUNT"] or 20, 20)),
            "largest answer",
            "page_rows below 20",
            True,
        ),
        (lambda call: call.tables.update(OPTIONS=[]), "ranges of materials", "do not read", True),
    ],
)
def test_a_copy_of_the_function_that_does_otherwise_is_found_out(
    world: SapRfcSandbox,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Call], None],
    name: str,
    words: str,
    *,
    alarming: bool,
) -> None:
    copy = replace(changed(world.abap.functions["RFC_READ_TABLE"], change, None), name="Z_READ_TABLE")
    monkeypatch.setitem(world.abap.functions, "Z_READ_TABLE", copy)
    seen = look(world, read_function="Z_READ_TABLE")
    assert not seen[name].agrees
    assert seen[name].alarming is alarming
    assert words in seen[name].advice


def test_longer_fields_are_told_beside_the_known_lengths(world: SapRfcSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def lengthen(call: Call) -> None:
        for line in call.tables["DFIES_TAB"]:
            if line["FIELDNAME"] == "MATNR":
                line["LENG"] = "000040"

    function = world.abap.functions["DDIF_FIELDINFO_GET"]
    monkeypatch.setitem(world.abap.functions, function.name, changed(function, None, lengthen))
    seen = look(world)
    assert different(seen) == {*LONG_NUMBERS, "table MSEG"}
    assert "MATNR CHAR 40, WERKS CHAR 4, LGORT CHAR 4, LABST QUAN 13,3" in seen["table MARD"].seen
    assert "MATNR CHAR 18" in seen["table MARD"].assumed
    assert not seen["table MARD"].alarming


def test_a_field_that_the_release_lacks_is_named(world: SapRfcSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(call: Call) -> None:
        call.tables["DFIES_TAB"] = [line for line in call.tables["DFIES_TAB"] if line["FIELDNAME"] != "KLABS"]

    function = world.abap.functions["DDIF_FIELDINFO_GET"]
    monkeypatch.setitem(world.abap.functions, function.name, changed(function, None, drop))
    seen = look(world)
    assert different(seen) == {"table MARD"}
    assert seen["table MARD"].alarming
    assert seen["table MARD"].seen == "lacks KLABS"


def test_what_a_release_has_besides_is_told(world: SapRfcSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in basis_functions(get_sorted=True):
        monkeypatch.setitem(world.abap.functions, function.name, function)
    wide = replace(
        world.abap.functions["RFC_READ_TABLE"],
        name="BBP_RFC_READ_TABLE",
        body=lambda call: call.tables.update(DATA=[{"WA": "1"}]),
    )
    other = replace(world.abap.functions["RFC_PING"], name="/SAPDS/RFC_READ_TABLE")
    for function in (wide, other):
        monkeypatch.setitem(world.abap.functions, function.name, function)
    seen = look(world)
    assert different(seen) == {"GET_SORTED", "function BBP_RFC_READ_TABLE", "function /SAPDS/RFC_READ_TABLE"}
    assert "read_function may name it" in seen["function BBP_RFC_READ_TABLE"].advice
    assert "refuses" in seen["function /SAPDS/RFC_READ_TABLE"].seen


def test_numbers_that_are_stored_otherwise_name_the_setting(world: SapRfcSandbox) -> None:
    seen = look(world, material_length=40)
    assert {"material numbers", "stock rows refused"} <= different(seen)
    assert seen["material numbers"].alarming
    assert "material_length" in seen["material numbers"].advice


def test_a_slow_search_for_changes_names_the_index_and_is_not_repeated(
    world: SapRfcSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors.erp.sap.rfc.probe, "_SLOW_SECONDS", 0.0)
    seen = look(world)
    assert different(seen) == {"search by entry time"}
    assert "CPUDT" in seen["search by entry time"].advice
    assert "newest document" not in seen


def test_a_document_ahead_of_the_servers_clock_is_told(world: SapRfcSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectors.erp.sap.rfc.probe, "ask_clock", lambda _: datetime(2020, 1, 1))  # noqa: DTZ001
    seen = look(world)
    assert different(seen) == {"newest document"}
    assert "NTP" in seen["newest document"].advice


def test_a_unit_that_no_mapping_file_lists_is_named_with_its_count(world: SapRfcSandbox, tmp_path: Path) -> None:
    shutil.copytree(PROJECT_ROOT / "mappings", tmp_path / "mappings")
    file = tmp_path / "mappings" / "erp" / "sap" / "rfc" / "stock.yaml"
    text = file.read_text(encoding="utf-8").replace("    KG: KG\n", "").replace("MEINS: KG", "MEINS: G")
    file.write_text(text.replace("unit: KG", "unit: G"), encoding="utf-8")
    connection = {**world.connection, **UNLIMITED}
    connector = create_erp("sap", "sap", connection, world.locations, tmp_path / "mappings")
    seen = {found.name: found for found in connector.probe()}  # type: ignore[attr-defined]
    assert different(seen) == {"unit values of MARD", "stock rows refused"}
    assert "KG (" in seen["unit values of MARD"].seen
    assert "stock.yaml" in seen["unit values of MARD"].advice


def trace(world: SapRfcSandbox, item: str | None, **settings: Any) -> list[TracedRow]:
    return list(world.connect(**settings).trace(item))  # type: ignore[attr-defined]


def test_goods_in_batches_are_counted_once(world: SapRfcSandbox) -> None:
    batch = next(row for row in world._read_table("MCHB", "MATNR", "WERKS", "LGORT", "CLABS") if row["CLABS"] > "0")
    rows = trace(world, batch["MATNR"].lstrip("0"))
    mine = [row for row in rows if row.location == f"{batch['WERKS']}/{batch['LGORT']}"]
    whole = [row for row in mine if "LABST" in row.raw]
    parts = [row for row in mine if "CLABS" in row.raw]
    assert [row.row for row in whole] == [None]
    assert "MCHB" in whole[0].reason
    assert sum(row.row.quantity for row in parts if row.row) == Decimal(whole[0].raw["LABST"])
    assert all(row.raw["CHARG"] for row in parts)
    assert any(row.raw["VFDAT"] for row in trace_all_lots(world))


def trace_all_lots(world: SapRfcSandbox) -> list[TracedRow]:
    materials = {row["MATNR"].lstrip("0") for row in world._read_table("MCHB", "MATNR")}
    return [row for material in materials for row in trace(world, material) if "CHARG" in row.raw]


def test_consigned_goods_are_shown_as_goods_of_others(world: SapRfcSandbox) -> None:
    material = world._read_table("MKOL", "MATNR")[0]["MATNR"].lstrip("0")
    consigned = [row for row in trace(world, material) if "KLABS" in row.raw]
    assert consigned
    assert all(row.reason.startswith("consigned by K") for row in consigned)


def test_a_place_that_holds_nothing_any_more_is_shown(world: SapRfcSandbox) -> None:
    key, quantity = next(
        (key, quantity)
        for key, quantity in world.books().items()
        if sum(row.location == key.location for row in trace(world, key.item)) == 1
    )
    world.move("sale", key, quantity)
    [sold_out] = [row for row in trace(world, key.item) if row.location == key.location]
    assert (sold_out.row, sold_out.reason) == (None, "holds nothing")
    assert sold_out.steps


def test_a_place_that_is_not_ours_is_shown(world: SapRfcSandbox) -> None:
    item = next(iter(world.books())).item
    elsewhere = create_erp("sap", "sap", {**world.connection, **UNLIMITED}, ["9999/999A"], PROJECT_ROOT / "mappings")
    rows = [row for row in elsewhere.trace(item) if row.reason != "holds nothing"]  # type: ignore[attr-defined]
    assert rows
    assert {(row.row, row.reason) for row in rows} == {(None, "not at a place of config/locations.yaml")}


def test_what_does_not_add_up_is_shown_as_refused(world: SapRfcSandbox) -> None:
    material = world._read_table("MCHB", "MATNR")[0]["MATNR"].lstrip("0")
    with world.fault("short-answer", table="MCHB", share=1.0):
        rows = trace(world, material)
    assert any(row.reason.startswith("refused: MARD has") for row in rows)


def test_without_a_number_an_article_with_stock_is_taken_and_an_unknown_one_has_no_row(world: SapRfcSandbox) -> None:
    rows = trace(world, None)
    assert any(row.row is not None and row.row.quantity > 0 for row in rows)
    assert trace(world, "no-such-material") == []


def test_a_wrong_password_is_tried_once_and_ends_the_look(world: SapRfcSandbox) -> None:
    settings = load_settings(PROJECT_ROOT / "config")
    connection = {**world.connection, **UNLIMITED, "password": "geheim-und-falsch"}
    source = SourceSettings(system="sap", connection=connection)
    settings = settings.model_copy(update={"sources": {**settings.sources, "sap": source}})
    world.asked.clear()
    [report] = look_at(settings, "sap", None)
    assert "not let in" in report.failure
    assert world.asked == ["log-on"]
    assert "geheim" not in str(report)


def test_a_field_of_a_mapping_file_that_no_table_has_is_named(world: SapRfcSandbox, tmp_path: Path) -> None:
    shutil.copytree(PROJECT_ROOT / "mappings", tmp_path / "mappings")
    file = tmp_path / "mappings" / "erp" / "sap" / "rfc" / "location.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("LGOBE", "ZZWIDE"), encoding="utf-8")
    connector = create_erp("sap", "sap", {**world.connection, **UNLIMITED}, world.locations, tmp_path / "mappings")
    seen = {found.name: found for found in connector.probe()}  # type: ignore[attr-defined]
    assert different(seen) == {"table T001L"}
    assert seen["table T001L"].seen == "lacks ZZWIDE"


def test_the_hub_tells_the_same_as_the_rows_and_says_so_when_not(
    world: SapRfcSandbox, fresh_database: FreshDatabase
) -> None:
    with fresh_database() as url, closing(Database(url)) as database:
        shop = make_shop(database, {"sap": world})
        shop.read_items()
        shop.sync("sap").snapshot()
        source = SourceSettings(system="sap", connection={**world.connection, **UNLIMITED})
        settings = shop.runtime.settings
        settings = settings.model_copy(
            update={
                "sources": {**settings.sources, "sap": source},
                "database": settings.database.model_copy(update={"url": url}),
                "config_dir": PROJECT_ROOT / "config",
            }
        )
        key = max(world.books().items(), key=lambda entry: entry[1])[0]
        [report] = look_at(settings, "sap", key.item)
        assert report.well, report
        assert report.item == key.item
        assert report.comparisons
        assert all(place.hub_on_hand == place.erp_on_hand for place in report.comparisons)

        world.move("receipt", key, 7)
        [report] = look_at(settings, "sap", key.item)
        assert not report.well
        assert [place.erp_on_hand - (place.hub_on_hand or 0) for place in report.comparisons if place.differs] == [7]
