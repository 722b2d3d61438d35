"""RFC_READ_TABLE and the dictionary: formats, limits, the WHERE clause and the order of the rows."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.erp.sap_rfc.errors import ABAPApplicationError, ABAPRuntimeError, ExternalRuntimeError
from sandbox.erp.sap_rfc.system import AbapSystem
from sandbox.erp.sap_rfc.tables import TABLES
from tests.sandbox.sap_rfc.client import connect, matnr, packed, read

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.erp.sap_rfc.connection import Connection


def refused(connection: Connection, table: str, fields: str, *options: str, **more: Any) -> str:
    with pytest.raises(ABAPApplicationError) as caught:
        read(connection, table, fields, *options, **more)
    return caught.value.key


def test_a_row_is_text_of_fixed_width(reading: Connection) -> None:
    answer = reading.call(
        "RFC_READ_TABLE",
        QUERY_TABLE="MARD",
        FIELDS=[{"FIELDNAME": name} for name in ("MATNR", "WERKS", "LABST", "LGORT")],
        OPTIONS=[{"TEXT": "MATNR EQ '000000000000100333' AND LGORT EQ '101B'"}],
    )

    described = [(line["FIELDNAME"], line["OFFSET"], line["LENGTH"], line["TYPE"]) for line in answer["FIELDS"]]
    assert described == [
        ("MATNR", "000000", "000018", "C"),
        ("WERKS", "000018", "000004", "C"),
        ("LABST", "000022", "000015", "P"),
        ("LGORT", "000037", "000004", "C"),
    ]
    assert answer["DATA"] == [{"WA": "0000000000001003331010         6.000-101B"}]


def test_a_delimiter_moves_the_offsets_and_may_stand_in_a_text(reading: Connection) -> None:
    answer = reading.call(
        "RFC_READ_TABLE",
        QUERY_TABLE="MAKT",
        DELIMITER=" ",
        FIELDS=[{"FIELDNAME": "MATNR"}, {"FIELDNAME": "MAKTX"}],
        OPTIONS=[{"TEXT": "SPRAS EQ 'E' AND MATNR EQ '000000000000100001'"}],
    )
    assert answer["FIELDS"][1]["OFFSET"] == "000018"
    piped = read(reading, "MAKT", "MATNR SPRAS MAKTX", "MATNR EQ '000000000000100001'", DELIMITER="|")
    assert {row["SPRAS"]: row["MAKTX"] for row in piped}["E"].endswith("100001")


def test_trailing_blanks_are_stripped_unless_the_client_wants_them(reading: Connection, tmp_path: Path) -> None:
    stripped = reading.call("RFC_READ_TABLE", QUERY_TABLE="MARD", FIELDS=[{"FIELDNAME": "LABST"}], ROWCOUNT=1)
    assert stripped["DATA"][0]["WA"].endswith(".000")

    system = AbapSystem(tmp_path / "ecc.sqlite", articles=10)
    padded = connect(system, {"rstrip": False})
    answer = padded.call("RFC_READ_TABLE", QUERY_TABLE="MARD", FIELDS=[{"FIELDNAME": "LABST"}], ROWCOUNT=1)
    assert len(answer["DATA"][0]["WA"]) == 512
    system.close()


def test_dates_times_digits_and_units_have_their_internal_form(reading: Connection) -> None:
    header = read(reading, "MKPF", "MBLNR MJAHR CPUDT CPUTM AEDAT XBLNR")[0]
    assert len(header["CPUDT"]) == 8
    assert len(header["CPUTM"]) == 6
    assert header["AEDAT"] == "00000000"
    item = read(reading, "MSEG", "ZEILE SMBLP SHKZG", f"MBLNR EQ '{header['MBLNR']}'", ROWCOUNT=1)[0]
    assert (len(item["ZEILE"]), item["SMBLP"], item["SHKZG"]) == (4, "0000", "S")
    units = {row["MEINH"] for row in read(reading, "MARM", "MEINH")}
    assert units == {"EA", "KG", "KAR"}
    assert {row["SPRAS"] for row in read(reading, "MAKT", "SPRAS")} == {"1", "E"}


def test_own_stock_is_the_sum_of_its_batches_and_special_stock_stands_apart(reading: Connection) -> None:
    system = reading._system
    expected = {(row["location"], row["item"]): Decimal(row["quantity"]) for row in system.world.totals()["totals"]}
    mard = {
        (f"{row['WERKS']}/{row['LGORT']}", row["MATNR"].lstrip("0")): packed(row["LABST"])
        for row in read(reading, "MARD", "MATNR WERKS LGORT LABST")
    }
    assert {key: value for key, value in mard.items() if value} == {k: v for k, v in expected.items() if v}

    sums: dict[tuple[str, str], Decimal] = {}
    for row in read(reading, "MCHB", "MATNR WERKS LGORT CHARG CLABS"):
        key = (f"{row['WERKS']}/{row['LGORT']}", row["MATNR"].lstrip("0"))
        sums[key] = sums.get(key, Decimal(0)) + packed(row["CLABS"])
    assert sums
    assert {key: mard[key] for key in sums} == sums
    consigned = read(reading, "MKOL", "MATNR SOBKZ SLABS")
    assert {row["SOBKZ"] for row in consigned} == {"K"}
    material = consigned[0]["MATNR"]
    total = read(reading, "MARD", "LABST KLABS", f"MATNR EQ '{material}' AND LGORT EQ '101A'")[0]
    assert packed(total["KLABS"]) == packed(consigned[0]["SLABS"]) > 0
    assert read(reading, "MSKA", "VBELN")


@pytest.mark.parametrize("table", ["MARA", "MARC", "MSEG"])
def test_a_row_wider_than_512_characters_is_refused(reading: Connection, table: str) -> None:
    with pytest.raises(ABAPApplicationError) as caught:
        reading.call("RFC_READ_TABLE", QUERY_TABLE=table)
    error = caught.value
    assert (error.code, error.key, error.msg_v1, error.msg_v2) == (5, "DATA_BUFFER_EXCEEDED", table, "512")
    described = reading.call("RFC_READ_TABLE", QUERY_TABLE=table, NO_DATA="X")
    assert len(described["FIELDS"]) == len(TABLES[table].columns)
    assert described["DATA"] == []


def test_what_is_not_there_is_named_as_sap_names_it(reading: Connection) -> None:
    with pytest.raises(ABAPApplicationError) as caught:
        reading.call("RFC_READ_TABLE", QUERY_TABLE="T008X", DELIMITER=".")
    error = caught.value
    assert (error.code, error.key, error.message) == (5, "TABLE_NOT_AVAILABLE", "ID:SV Type:E Number:029 T008X")
    assert (error.msg_class, error.msg_type, error.msg_number, error.msg_v1) == ("SV", "E", "029", "T008X")
    assert str(error) == (
        "5 (rc=5): key=TABLE_NOT_AVAILABLE, message=ID:SV Type:E Number:029 T008X "
        "[MSG: class=SV, type=E, number=029, v1-4:=T008X;;;]"
    )
    assert refused(reading, "MARD", "MATNR MENGE") == "FIELD_NOT_VALID"
    assert refused(reading, "BAPIRET2", "TYPE") == "TABLE_WITHOUT_DATA"
    assert read(reading, "T000", "MANDT") == [{"MANDT": "100"}]


THREE = ("MATNR IN ( '000000000000100001' , '000000000000100002',", "'000000000000100003' )")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["MATNR EQ '000000000000100001'"], {1}),
        (["MATNR = '000000000000100001' OR", "MATNR = '000000000000100002'"], {1, 2}),
        ([*THREE, "AND NOT MATNR EQ '000000000000100002'"], {1, 3}),
        ([*THREE, "AND ( MATNR EQ '000000000000100001' OR", "MATNR GE '000000000000100003' )"], {1, 3}),
        (["MATNR BETWEEN '000000000000100001' AND '000000000000100002'"], {1, 2}),
        ([*THREE, "AND MATNR NOT BETWEEN '000000000000100001' AND '000000000000100002'"], {3}),
        (["MATNR IN ('000000000000100001','000000000000100002')"], {1, 2}),
        ([*THREE, "AND MATNR NOT IN ( '000000000000100001' )"], {2, 3}),
        (["MATNR LT '000000000000100003'"], {1, 2}),
        ([*THREE, "and matnr <> '000000000000100002'"], {1, 3}),
        (["MATNR LIKE '%10000_' AND", "MATNR LE '000000000000100002'"], {1, 2}),
        (["MATNR EQ '100001'"], set()),
        (["MATNR LIKE '%''%'"], set()),
        (["MANDT EQ '100' AND MATNR EQ '000000000000100001'"], {1}),
    ],
)  # fmt: skip
def test_the_where_clause_selects(reading: Connection, options: list[str], found: set[int]) -> None:
    rows = read(reading, "MARA", "MATNR", *options)
    assert {int(row["MATNR"]) - 100_000 for row in rows} == found
    assert len(rows) == len(found)


def test_quantities_dates_and_times_compare_by_their_value(reading: Connection) -> None:
    everything = [packed(row["LABST"]) for row in read(reading, "MARD", "LABST")]
    for clause, expected in (
        ("LABST > 40", [quantity for quantity in everything if quantity > 40]),
        ("LABST GE '40.5'", [quantity for quantity in everything if quantity >= Decimal("40.5")]),
        ("LABST < 0", [quantity for quantity in everything if quantity < 0]),
        ("LABST EQ '6.000-'", [quantity for quantity in everything if quantity == -6]),
    ):
        assert sorted(packed(row["LABST"]) for row in read(reading, "MARD", "LABST", clause)) == sorted(expected)
    header = read(reading, "MKPF", "CPUDT CPUTM")[0]
    date, time = header["CPUDT"], header["CPUTM"]
    count = len(read(reading, "MKPF", "MBLNR"))
    assert len(read(reading, "MKPF", "MBLNR", f"CPUDT GT '{date}'")) == 0
    assert len(read(reading, "MKPF", "MBLNR", f"CPUDT EQ '{date}' AND CPUTM GE '000000'")) == count
    assert len(read(reading, "MKPF", "MBLNR", f"CPUDT EQ '{date}' AND CPUTM EQ '{time}'")) == 1
    assert len(read(reading, "MKPF", "MBLNR", "AEDAT EQ '00000000' AND AEDAT LT '20000101'")) == count
    assert len(read(reading, "MKPF", "MBLNR", "AEDAT GT '20000101' OR NOT AEDAT LT '20000101'")) == 0
    # No calendar has this date, yet it stands between the last of February and the first of March.
    dated = {row["VFDAT"] for row in read(reading, "MCH1", "VFDAT")}
    early = {row["VFDAT"] for row in read(reading, "MCH1", "VFDAT", "VFDAT LE '20270231'")}
    assert early == {text for text in dated if text <= "20270231"} != dated


@pytest.mark.parametrize(
    "options",
    [
        ["MATNR='000000000000100001'"],
        ["MATNR EQ '000000000000100001"],
        ["MATNR EQ 000000000000100001"],
        ["MATNR EQ"],
        ["MATNR '000000000000100001'"],
        ["MATNR ~ '1'"],
        ["MENGE GT 5"],
        ["MATNR EQ '000000000000100001' MATNR EQ '000000000000100002'"],
        ["( MATNR EQ '000000000000100001'"],
        ["(MATNR EQ '000000000000100001')"],
        ["MATNR EQ '0000000000001", "00001'"],
        ["MAT", "NR EQ '000000000000100001'"],
        ["MATNR IN ( '000000000000100001' '000000000000100002' )"],
        ["LVORM EQ 'X' AND"],
        ["ERSDA EQ 'today'"],
        # 73 characters: the last one is cut off without a word, and with it the end of the literal.
        ["MATNR EQ '000000000000100001' OR MATNR EQ '000000000000100002' OR LVORM='X'"],
    ],
)
def test_a_clause_that_abap_can_not_read_is_refused(reading: Connection, options: list[str]) -> None:
    assert refused(reading, "MARA", "MATNR", *options) == "OPTION_NOT_VALID"


def test_a_line_of_72_characters_is_whole_and_a_longer_one_loses_its_end(reading: Connection) -> None:
    line = "MATNR EQ '000000000000100001' OR      MATNR EQ '000000000000100002' OR  "
    assert len(line) == 72
    assert len(read(reading, "MARA", "MATNR", line, "MATNR EQ '000000000000100003'")) == 3
    lost = f"{'MATNR EQ':51s} '000000000000100001' AND LVORM EQ 'Y'"
    assert lost.index("AND") == 73
    assert len(read(reading, "MARA", "MATNR", lost)) == 1


def test_a_literal_longer_than_its_field_is_a_dump(ecc: AbapSystem) -> None:
    connection = connect(ecc)
    with pytest.raises(ABAPRuntimeError) as caught:
        read(connection, "MARD", "MATNR", "WERKS EQ '10101'")
    assert (caught.value.code, caught.value.key) == (3, "SAPSQL_DATA_LOSS")


def test_a_thousand_conditions_are_no_problem(reading: Connection) -> None:
    lines = [f"MATNR EQ '{matnr(str(100_000 + number))}' OR" for number in range(1, 2000)]
    assert len(read(reading, "MARA", "MATNR", *lines, "MATNR EQ '0'")) == 400


def test_rows_come_in_no_key_order_and_pages_follow_each_other(reading: Connection) -> None:
    everything = [row["MATNR"] for row in read(reading, "MARA", "MATNR")]
    assert everything != sorted(everything)
    pages = [read(reading, "MARA", "MATNR", ROWSKIPS=skips, ROWCOUNT=150) for skips in (0, 150, 300, 450)]
    assert [len(page) for page in pages] == [150, 150, 100, 0]
    assert [row["MATNR"] for page in pages for row in page] == everything


def test_sorting_is_a_question_of_the_release(reading: Connection, tmp_path: Path) -> None:
    with pytest.raises(ExternalRuntimeError) as caught:
        read(reading, "MARA", "MATNR", GET_SORTED="X")
    error = caught.value
    assert (error.code, error.key, error.message) == (20, "RFC_INVALID_PARAMETER", "field 'GET_SORTED' not found")

    system = AbapSystem(tmp_path / "ecc.sqlite", articles=50, get_sorted=True)
    connection = connect(system)
    found = [row["MATNR"] for row in read(connection, "MARA", "MATNR", GET_SORTED="X")]
    assert found == sorted(found)
    system.close()


def test_more_rows_than_memory_holds_are_a_dump(tmp_path: Path) -> None:
    system = AbapSystem(tmp_path / "ecc.sqlite", articles=50, itab_rows=40)
    connection = connect(system)
    assert len(read(connection, "MARA", "MATNR", ROWCOUNT=40)) == 40
    with pytest.raises(ABAPRuntimeError) as caught:
        read(connection, "MARA", "MATNR")
    assert (caught.value.code, caught.value.key) == (3, "TSV_TNEW_PAGE_ALLOC_FAILED")
    system.close()


def test_the_dictionary_describes_what_the_tables_answer(reading: Connection) -> None:
    fields = reading.call("DDIF_FIELDINFO_GET", TABNAME="MARD")["DFIES_TAB"]
    labst = next(line for line in fields if line["FIELDNAME"] == "LABST")
    assert (labst["DATATYPE"], labst["INTTYPE"], labst["LENG"], labst["DECIMALS"]) == ("QUAN", "P", "000013", "000003")
    assert [line["FIELDNAME"] for line in fields if line["KEYFLAG"]] == ["MANDT", "MATNR", "WERKS", "LGORT"]
    single = reading.call("DDIF_FIELDINFO_GET", TABNAME="MAKT", FIELDNAME="MAKTX")
    assert (single["DFIES_WA"]["LENG"], single["DFIES_TAB"]) == ("000040", [])
    with pytest.raises(ABAPApplicationError) as caught:
        reading.call("DDIF_FIELDINFO_GET", TABNAME="MARD", FIELDNAME="NOPE")
    assert caught.value.key == "NOT_FOUND"


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_counts_and_reads(reading: Connection, table: str) -> None:
    counted = reading.call("EM_GET_NUMBER_OF_ENTRIES", IT_TABLES=[{"TABNAME": table}])["IT_TABLES"][0]["TABROWS"]
    keys = " ".join(column.name for column in TABLES[table].columns if column.key)
    rows = read(reading, table, keys)
    assert len(rows) == counted
    assert len({tuple(row.values()) for row in rows}) == counted
