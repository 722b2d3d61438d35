"""Places: their file is checked line by line, and the database follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hub.errors import ConfigError
from hub.locations import Location, codes_of, load_locations, store_locations
from hub.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from hub.db.session import Database

SOURCES = ["sap", "kingdee"]
FIRST = """\
locations:
  - code: DC-1
    name: 华东仓
    kind: warehouse
    stock_from: sap
    erp_codes: {sap: 1010/101A}
    sellable_online: yes
    pickup: NO
    time_zone: Asia/Shanghai
"""
SECOND = FIRST.replace("locations:\n", "").replace("DC-1", "DC-2").replace("101A", "101B")
SECOND_LINE = 10


def write(folder: Path, text: str) -> Path:
    path = folder / "locations.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def place(code: str, **changes: Any) -> Location:
    plain = {"code": code, "name": code, "kind": "store", "stock_from": "sap", "erp_codes": {"sap": f"P/{code}"}}
    rest = {"sellable_online": True, "pickup": True, "time_zone": "Asia/Shanghai"}
    return Location.model_validate({**plain, **rest, **changes})


def test_a_file_is_read_as_it_stands(tmp_path: Path) -> None:
    found = load_locations(write(tmp_path, FIRST + SECOND), SOURCES)
    assert [(location.code, location.pickup, location.sellable_online) for location in found] == [
        ("DC-1", False, True),
        ("DC-2", False, True),
    ]
    assert codes_of(found, "sap") == ["1010/101A", "1010/101B"]
    assert codes_of(found, "kingdee") == []


def test_the_places_in_the_repository_are_in_order() -> None:
    assert len(load_locations(PROJECT_ROOT / "config" / "locations.yaml", SOURCES)) == 9


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("places: []\n", 1, "one list named `locations`"),
        ("locations: {}\n", 1, "one list named `locations`"),
        ("locations: [\n", 2, "not valid YAML"),
        (FIRST + SECOND.replace("DC-2", "DC-1"), SECOND_LINE, "DC-1 is given twice"),
        (FIRST + SECOND.replace("101B", "101A"), SECOND_LINE, "1010/101A of sap is DC-1 already"),
        (FIRST + SECOND.replace("stock_from: sap", "stock_from: oracle"), SECOND_LINE, "there is sap, kingdee"),
        (FIRST + SECOND.replace("{sap:", "{kingdee:"), SECOND_LINE, "lacks the code of sap"),
        (FIRST + SECOND.replace("pickup: NO", "pickup: perhaps"), SECOND_LINE, "pickup: Input should be a valid bool"),
        (FIRST + SECOND.replace("kind: warehouse", "kind: shed"), SECOND_LINE, "'warehouse' or 'store'"),
        (FIRST + SECOND.replace("    pickup: NO\n", ""), SECOND_LINE, "pickup: Field required"),
        (FIRST + SECOND + "    colour: red\n", SECOND_LINE, "fields: code, name, kind"),
        (FIRST + SECOND + "    cutoff_time: '25:00'\n", SECOND_LINE, "must be HH:MM or empty"),
        (FIRST + SECOND.replace("Asia/Shanghai", "Peking"), SECOND_LINE, "must be an IANA time zone"),
        (FIRST + SECOND.replace("DC-2", "'DC 2'"), SECOND_LINE, "code: String should match"),
        (FIRST + "    name: again\n", 10, "duplicate key 'name'"),
        (FIRST + "  - DC-3\n", 10, "valid dictionary"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_locations(path, SOURCES)
    assert (caught.value.file, caught.value.line) == (str(path), line)
    assert says in str(caught.value)


def test_a_missing_or_unreadable_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "locations.yaml"
    with pytest.raises(ConfigError, match="missing") as caught:
        load_locations(path, SOURCES)
    assert caught.value.file == str(path)
    path.write_bytes(FIRST.encode("gbk"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load_locations(path, SOURCES)


def stored(database: Database) -> dict[str, tuple[bool, int, dict[str, str]]]:
    """Return activity, position and codes of each place in the database."""
    with database.driver() as connection:
        rows = connection.execute(
            "SELECT location.code, active, position, system, external_id FROM location"
            " LEFT JOIN external_reference ON our_id = location.id AND external_reference.kind = 'location'"
        ).fetchall()
    found: dict[str, tuple[bool, int, dict[str, str]]] = {}
    for code, active, position, system, external_id in rows:
        codes = found.setdefault(code, (active, position, {}))[2]
        if system:
            codes[system] = external_id
    return found


def store(database: Database, *places: Location) -> None:
    with database.driver() as connection, connection.transaction():
        store_locations(connection, places)


def test_the_database_follows_the_file(database: Database) -> None:
    store(database, place("A"), place("B", erp_codes={"sap": "P/B", "kingdee": "CK1"}))
    assert stored(database) == {
        "A": (True, 0, {"sap": "P/A"}),
        "B": (True, 1, {"sap": "P/B", "kingdee": "CK1"}),
    }
    # A gives its code to B, which moves up; A goes
    store(database, place("B", erp_codes={"sap": "P/A"}), place("C"))
    assert stored(database) == {
        "A": (False, 0, {}),
        "B": (True, 0, {"sap": "P/A"}),
        "C": (True, 1, {"sap": "P/C"}),
    }
    store(database, place("A", name="again", stock_from="kingdee", erp_codes={"kingdee": "CK9"}))
    assert stored(database)["A"] == (True, 0, {"kingdee": "CK9"})
    assert not stored(database)["B"][0]
    with database.driver() as connection:
        row = connection.execute("SELECT name, stock_source, kind FROM location WHERE code = 'A'").fetchone()
    assert row == ("again", "kingdee", "store")


def test_storing_twice_changes_nothing_and_keeps_ids(database: Database) -> None:
    store(database, place("A"), place("B"))
    with database.driver() as connection:
        before = connection.execute("SELECT * FROM location ORDER BY id").fetchall()
    store(database, place("A"), place("B"))
    with database.driver() as connection:
        assert connection.execute("SELECT * FROM location ORDER BY id").fetchall() == before


def test_other_references_are_left_alone(database: Database) -> None:
    with database.driver() as connection:
        connection.execute(
            "INSERT INTO external_reference (system, kind, external_id, our_id) VALUES ('sap', 'item', 'P/A', 1)"
        )
    store(database, place("A"))
    with database.driver() as connection:
        rows = connection.execute("SELECT kind, external_id FROM external_reference ORDER BY kind").fetchall()
    assert rows == [("item", "P/A"), ("location", "P/A")]
