"""One set of books behind two doors: what is posted over OData is read over RFC, and the other way round."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from sandbox.erp.sap.app import create_app
from sandbox.erp.sap_rfc.system import AbapSystem
from tests.sandbox.sap.client import DOCUMENTS, SapUser
from tests.sandbox.sap_rfc.client import commit, connect, issue, packed, piece_in_stock, read, stock, totals
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARTICLES = 60


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[tuple[SapUser, AbapSystem]]:
    """Give both sides of one world."""
    database = tmp_path / "sap.sqlite"
    with serve(create_app(database, articles=ARTICLES)) as url:
        user, system = SapUser(url), AbapSystem(database, articles=ARTICLES)
        yield user, system
        user.close()
        system.close()


def test_a_movement_of_the_odata_world_is_seen_over_rfc(doors: tuple[SapUser, AbapSystem]) -> None:
    user, system = doors
    connection = connect(system)
    material = piece_in_stock(system, 5)
    before = stock(connection, material)

    posted = user.move(kind="sale", material=material, quantity="2", reference="POS-7")

    assert stock(connection, material) == before - 2
    number = posted["material_document"]
    header = read(connection, "MKPF", "MJAHR CPUDT CPUTM XBLNR", f"MBLNR EQ '{number}'")[0]
    entered = posted["created_at"]
    assert header == {
        "MJAHR": posted["year"],
        "CPUDT": entered[:10].replace("-", ""),
        "CPUTM": entered[11:19].replace(":", ""),
        "XBLNR": "POS-7",
    }
    clause = f"CPUDT GT '{header['CPUDT']}' OR CPUDT EQ '{header['CPUDT']}'"
    later = f"AND CPUTM GE '{header['CPUTM']}'"
    assert number in {row["MBLNR"] for row in read(connection, "MKPF", "MBLNR", clause, later)}
    item = read(connection, "MSEG", "MATNR LGORT BWART SHKZG MENGE MEINS", f"MBLNR EQ '{number}'")[0]
    assert (item["BWART"], item["SHKZG"], packed(item["MENGE"]), item["MEINS"]) == ("251", "H", Decimal(2), "EA")
    user.world("cancel", {"material_document": number, "year": posted["year"]})
    assert stock(connection, material) == before


def test_an_issue_committed_over_rfc_is_seen_over_odata(doors: tuple[SapUser, AbapSystem]) -> None:
    user, system = doors
    connection = connect(system)
    material = piece_in_stock(system, 5)
    key = ("1010/101A", material)
    before = Decimal(user.totals()[key])

    number = issue(connection, material, "3")["MATERIALDOCUMENT"]
    assert Decimal(user.totals()[key]) == before
    commit(connection)

    assert Decimal(user.totals()[key]) == before - 3
    headers = user.rows(f"{DOCUMENTS}/A_MaterialDocumentHeader", filter=f"MaterialDocument eq '{number}'")
    assert [header["ReferenceDocument"] for header in headers] == ["SO-1"]
    assert user.totals() == {place: str(quantity) for place, quantity in totals(system).items()}


def test_a_reset_at_either_door_resets_both(doors: tuple[SapUser, AbapSystem]) -> None:
    user, system = doors
    connection = connect(system)
    opening = totals(system)
    rows = len(read(connection, "MARD", "MATNR"))
    material = piece_in_stock(system, 5)
    transfer = {"kind": "transfer", "material": material, "quantity": "1", "to_plant": "1099"}
    user.move(**transfer, to_storage_location="109A")
    assert len(read(connection, "MARD", "MATNR")) == rows + 1
    user.world("reset", {})
    assert (totals(system), len(read(connection, "MARD", "MATNR"))) == (opening, rows)
    system.world.random_moves(5)
    system.reset()
    assert len(read(connection, "MKPF", "MBLNR")) == user.world("info").json()["counts"]["material_documents"]


_POSTER = """
import sys
from sandbox.erp.sap.store import Store
from sandbox.erp.sap.world import World
world = World(Store(sys.argv[1]), articles=60, seed=20261111)
for number in range(60):
    world.move({"kind": "receipt", "material": sys.argv[2], "quantity": "1", "reference": f"P-{number}"})
"""


def test_two_processes_write_and_read_the_same_file(tmp_path: Path) -> None:
    database = tmp_path / "sap.sqlite"
    system = AbapSystem(database, articles=ARTICLES)
    connection = connect(system)
    material = piece_in_stock(system, 40)
    before = stock(connection, material)
    with subprocess.Popen([sys.executable, "-c", _POSTER, str(database), material]) as process:
        sold, seen = 0, set()
        while process.poll() is None:
            if sold < 20:
                assert issue(connection, material)["RETURN"] == []
                assert commit(connection)["TYPE"] == ""
                sold += 1
            seen.add(stock(connection, material))
    assert process.returncode == 0
    assert len(seen) > 1
    assert stock(connection, material) == before + 60 - sold
    assert len(read(connection, "MKPF", "MBLNR", "XBLNR LIKE 'P-%'")) == 60
    system.close()


def test_reading_goes_on_while_somebody_posts(doors: tuple[SapUser, AbapSystem]) -> None:
    user, system = doors
    connection = connect(system)
    posting = threading.Thread(target=user.world, args=("moves", {"count": 60}))
    posting.start()
    deadline = time.monotonic() + 20
    while posting.is_alive() and time.monotonic() < deadline:
        rows = read(connection, "MARD", "MATNR WERKS LGORT LABST")
        assert len({(row["MATNR"], row["WERKS"], row["LGORT"]) for row in rows}) == len(rows)
    posting.join()
    assert sum(totals(system).values()) == sum(packed(row["LABST"]) for row in read(connection, "MARD", "LABST"))
