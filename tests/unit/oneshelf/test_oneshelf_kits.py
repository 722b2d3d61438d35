"""`oneshelf kits`: what is sold as one and consists of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.oneshelf.conftest import Run

ARTICLES = """
INSERT INTO item (sku, name, unit)
SELECT sku, 'article ' || sku, 'EA' FROM unnest(ARRAY['SET', 'BOX', 'A', 'B']) AS sku;
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, 5, 1, 2 FROM item, location WHERE sku IN ('A', 'B') AND code = 'DC-SH';
"""


@pytest.fixture
def seeded(run: Run, database_url: str) -> Iterator[psycopg.Connection]:
    assert run("db", "upgrade").exit_code == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(ARTICLES)
        yield connection


def test_a_kit_is_made_changed_and_unmade(run: Run, seeded: psycopg.Connection) -> None:
    assert "no kit" in run("kits", "list").stdout
    assert run("kits", "set", "SET", "A=2", "B=0.5").exit_code == 0
    assert "SET  article SET  A=2  B=0.5" in run("kits", "list").stdout
    assert run("kits", "set", "SET", "A=3").exit_code == 0
    assert "A=3" in run("kits", "list").stdout
    told = seeded.execute("SELECT key, payload ->> 'skus' FROM outbox WHERE topic = 'stock.changed'").fetchall()
    assert told == [("SET", '["SET"]')] * 2
    assert run("kits", "remove", "SET").exit_code == 0
    again = run("kits", "remove", "SET")
    assert (again.exit_code, "SET is no kit" in again.stdout) == (1, True)
    assert "no kit" in run("kits", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("SET", "C=1"), "no article C"),
        (("NOPE", "A=1"), "no article NOPE"),
        (("SET", "A=0"), "quantities above zero"),
        (("SET", "A=-1"), "quantities above zero"),
        (("SET", "A=NaN"), "'NaN' is no number"),
        (("SET", "A"), "must be SKU=QUANTITY"),
        (("SET", "A=1", "A=2"), "named twice"),
        (("SET", "SET=1"), "SET can't be part of itself"),
        (("SET", "BOX=1"), "a kit can't be part of a kit: BOX"),
        (("A", "B=1"), "there is stock of A itself at DC-SH"),
        (("B", "A=1"), "a kit can't be part of a kit: B"),
    ],
)
def test_what_can_be_no_kit_is_said(
    run: Run, seeded: psycopg.Connection, arguments: tuple[str, ...], said: str
) -> None:
    assert run("kits", "set", "BOX", "B=1").exit_code == 0
    result = run("kits", "set", *arguments)
    assert result.exit_code != 0
    assert said in str(result.exception) + result.output
    assert seeded.execute("SELECT count(*) FROM kit_component").fetchall() == [(1,)]
