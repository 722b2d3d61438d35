"""From rows to one level: everything is counted once, and nothing that may not be sold is offered."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.contracts import StockRow, StockStatus
from hub.stock.summing import EXPIRING, ExpiryRule, sum_rows

TODAY = date(2026, 11, 23)
NO_RULE = ExpiryRule({})
QUANTITIES = st.decimals(-10_000, 10_000, places=3, allow_nan=False)
DAYS = st.dictionaries(st.sampled_from(["default", "food", "fresh"]), st.integers(0, 400))
CATEGORIES = st.sampled_from(["food", "fresh", "toys", ""])
ROWS = st.lists(
    st.builds(
        StockRow,
        row_id=st.sampled_from([str(number) for number in range(40)]),
        item=st.just("A"),
        location=st.just("W1"),
        status=st.sampled_from(StockStatus),
        quantity=QUANTITIES,
        unit=st.just("EA"),
        owner=st.sampled_from(["", "V1", "V2"]),
        lot=st.sampled_from(["", "L1"]),
        expires_on=st.none() | st.dates(TODAY - timedelta(30), TODAY + timedelta(500)),
        changed_at=st.just(datetime(2026, 11, 1, tzinfo=UTC)),
    ),
    unique_by=lambda row: row.row_id,
    max_size=15,
)


@given(ROWS, DAYS, CATEGORIES)
def test_nothing_is_lost_and_nothing_invented(rows: list[StockRow], days: dict[str, int], category: str) -> None:
    level = sum_rows(rows, ExpiryRule(days), category, TODAY)
    assert level.on_hand + sum(level.unsellable.values()) == sum(row.quantity for row in rows)
    assert all(level.unsellable.values())


@given(st.data(), ROWS, DAYS, CATEGORIES)
def test_order_and_repetition_do_not_matter(
    data: st.DataObject, rows: list[StockRow], days: dict[str, int], category: str
) -> None:
    repeated = data.draw(st.permutations([*rows, *rows[: len(rows) // 2]]))
    assert sum_rows(repeated, ExpiryRule(days), category, TODAY) == sum_rows(rows, ExpiryRule(days), category, TODAY)


@given(ROWS, DAYS, CATEGORIES)
def test_owners_and_states_are_never_mixed(rows: list[StockRow], days: dict[str, int], category: str) -> None:
    rule = ExpiryRule(days)
    level = sum_rows(rows, rule, category, TODAY)
    assert level.on_hand == sum(
        row.quantity
        for row in rows
        if row.status is StockStatus.SELLABLE and not row.owner and not rule.leaves_out(row, category, TODAY)
    )
    for (status, owner), quantity in level.unsellable.items():
        if status == EXPIRING:
            assert owner == ""
            assert quantity == sum(
                row.quantity
                for row in rows
                if row.status is StockStatus.SELLABLE and not row.owner and rule.leaves_out(row, category, TODAY)
            )
        else:
            assert quantity == sum(row.quantity for row in rows if (row.status, row.owner) == (status, owner))


def lot(expires_on: date | None) -> StockRow:
    return StockRow("1", "A", "W1", StockStatus.SELLABLE, Decimal(5), "EA", expires_on=expires_on)


@pytest.mark.parametrize(
    ("category", "days_left", "sold"),
    [
        ("food", 30, True),
        ("food", 29, False),
        ("fresh", 1, True),
        ("fresh", 0, False),
        ("toys", 0, True),
        ("toys", -1, False),
        ("food", None, True),
    ],
)
def test_a_lot_is_sold_until_the_day_its_category_says(category: str, days_left: int | None, *, sold: bool) -> None:
    rule = ExpiryRule({"default": 0, "food": 30, "fresh": 1})
    expires_on = None if days_left is None else TODAY + timedelta(days=days_left)
    level = sum_rows([lot(expires_on)], rule, category, TODAY)
    assert level.on_hand == (5 if sold else 0)
    assert level.unsellable == ({} if sold else {(EXPIRING, ""): Decimal(5)})


def test_without_a_rule_a_lot_is_sold_through_its_last_day() -> None:
    assert sum_rows([lot(TODAY)], NO_RULE, "food", TODAY).on_hand == 5
    assert sum_rows([lot(TODAY - timedelta(1))], NO_RULE, "food", TODAY).on_hand == 0


@given(st.integers(0, 400), st.dates(TODAY - timedelta(500), TODAY + timedelta(500)))
def test_a_lot_that_is_left_out_stays_out(days: int, expires_on: date) -> None:
    rule = ExpiryRule({"default": days})
    out = [rule.leaves_out(lot(expires_on), "x", TODAY + timedelta(day)) for day in range(10)]
    assert out == sorted(out)


@given(st.lists(QUANTITIES, max_size=50))
def test_sums_are_exact(quantities: list[Decimal]) -> None:
    rows = [
        StockRow(str(number), "A", "W1", StockStatus.SELLABLE, quantity, "EA")
        for number, quantity in enumerate(quantities)
    ]
    thousandths = sum(int(quantity * 1000) for quantity in quantities)
    assert sum_rows(rows, NO_RULE, "", TODAY).on_hand == Decimal(thousandths) / 1000
