"""`oneshelf stock explain`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.unit.oneshelf.conftest import Run

SEED = """
INSERT INTO item (sku, name, unit) VALUES ('A', '[new] 羽绒服', 'EA');
INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
SELECT item.id, location.id, 12, 1, 2 FROM item, location WHERE code = 'DC-SH';
SELECT stock_record_sale('R-1', 'R-1', false, 'pos', '[{"sku": "A", "location": "DC-SH", "quantity": "2.5"}]', '[]',
                         clock_timestamp() - interval '2 hours');
SELECT stock_set_pool('A', 'DC-SH', 'online', NULL, 25);
"""


@pytest.fixture
def seeded(run: Run, database_url: str) -> None:
    assert run("db", "upgrade").exit_code == 0
    with psycopg.connect(database_url) as connection:
        connection.execute(SEED)


@pytest.mark.usefixtures("seeded")
def test_the_terms_are_shown(run: Run) -> None:
    result = run("stock", "explain", "A", "DC-SH")
    assert result.exit_code == 0, result.output
    assert "A [new] 羽绒服 at DC-SH: 9.5 EA available" in result.stdout
    assert re.search(r"^base\s+\+12", result.stdout, re.MULTILINE)
    assert re.search(r"^demand\s+-2\.5\s+sale\s+pos\s+R-1\s+20\d\d-", result.stdout, re.MULTILINE)
    assert re.search(r"^available\s+9\.5", result.stdout, re.MULTILINE)
    assert "set apart for online: 25 %, taken 0" in result.stdout


@pytest.mark.usefixtures("seeded")
def test_a_moment_of_the_past(run: Run) -> None:
    result = run("stock", "explain", "A", "DC-SH", "--known-at", "2026-01-01T10:00")
    assert result.exit_code == 0, result.output
    assert "at 2026-01-01 10:00:00+08:00, as known at 2026-01-01 10:00:00+08:00" in result.stdout
    assert "demand" not in result.stdout
    later = run("stock", "explain", "A", "DC-SH", "--at", "2026-01-01T10:00Z")
    assert "at 2026-01-01 18:00:00+08:00" in later.stdout


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("B", "DC-SH"), "no item has the SKU B"),
        (("A", "NOPE"), "no active location has the code NOPE"),
        (("A", "DC-SH", "--at", "2999-01-01T10:00"), "must not be before 1970 or in the future"),
        (("A", "DC-SH", "--at", "noon"), "'noon' is no time"),
    ],
)
def test_what_is_wrong_is_said(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("stock", "explain", *arguments)
    assert result.exit_code != 0
    assert message in f"{result.exception} {result.output}"
