"""FilterString against an independent three-valued evaluation, and against hostile text."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.erp.kingdee.filters import parse_filter
from sandbox.erp.kingdee.forms import query_forms
from sandbox.erp.kingdee.wire import ApiError
from sandbox.erp.kingdee.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

FORM = query_forms()["stk_inventory"]
QUIET = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def world() -> World:
    return World(":memory:", articles=40)


def matching(world: World, text: str) -> set[str]:
    condition = parse_filter(FORM, text)
    statement = f"SELECT i.fid FROM {FORM.source} WHERE {condition.sql}"
    return {row["fid"] for row in world.database.rows(statement, condition.parameters)}


def escaped(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


Tree = tuple[str, "Callable[[dict[str, Any]], bool | None]"]


def leaf_quantity(operator: str, bound: Decimal) -> Tree:
    compare = {
        "=": lambda a: a == bound,
        "<>": lambda a: a != bound,
        ">": lambda a: a > bound,
        ">=": lambda a: a >= bound,
        "<": lambda a: a < bound,
        "<=": lambda a: a <= bound,
    }[operator]
    return f"FBASEQTY {operator} {bound}", lambda row: compare(Decimal(row["quantity"]))


def leaf_text(name: str, column: str, values: list[str], *, negated: bool) -> Tree:
    def holds(row: dict[str, Any]) -> bool | None:
        if not row[column]:
            return None
        return (row[column] in values) is not negated

    listed = ", ".join(escaped(value.lower() + " ") for value in values)
    return f"{name} {'NOT IN' if negated else 'in'} ({listed})", holds


def leaf_null(*, negated: bool) -> Tree:
    return f"FLot.FNumber IS {'NOT ' if negated else ''}NULL", lambda row: bool(row["lot"]) is negated


def both(left: Tree, right: Tree) -> Tree:
    def holds(row: dict[str, Any]) -> bool | None:
        answers = (left[1](row), right[1](row))
        return False if False in answers else None if None in answers else True

    return f"({left[0]}) AND ({right[0]})", holds


def either(left: Tree, right: Tree) -> Tree:
    def holds(row: dict[str, Any]) -> bool | None:
        answers = (left[1](row), right[1](row))
        return True if True in answers else None if None in answers else False

    return f"({left[0]}) or ({right[0]})", holds


def negation(inner: Tree) -> Tree:
    def holds(row: dict[str, Any]) -> bool | None:
        answer = inner[1](row)
        return None if answer is None else not answer

    return f"not ({inner[0]})", holds


LEAVES = st.one_of(
    st.builds(
        leaf_quantity,
        st.sampled_from(["=", "<>", ">", ">=", "<", "<="]),
        st.decimals(-5, 400, places=3) | st.integers(-2, 50).map(Decimal),
    ),
    st.builds(
        leaf_text,
        st.just("FStockId.FNumber"),
        st.just("stock"),
        st.lists(st.sampled_from(["CK001", "CK101", "CK106", "CK900"]), min_size=1, max_size=3),
        negated=st.booleans(),
    ),
    st.builds(
        leaf_text,
        st.just("FAuxPropId.FF100001.FNumber"),
        st.just("colour"),
        st.lists(st.sampled_from(["C01", "C02"]), min_size=1),
        negated=st.booleans(),
    ),
    st.builds(leaf_null, negated=st.booleans()),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.builds(both, inner, inner), st.builds(either, inner, inner), st.builds(negation, inner)),
    max_leaves=6,
)


@QUIET
@given(tree=TREES)
def test_a_filter_selects_what_its_meaning_says(world: World, tree: Tree) -> None:
    text, holds = tree
    assert matching(world, text) == {row["fid"] for row in world.stock_rows() if holds(row) is True}


@QUIET
@given(text=st.text(max_size=40))
def test_any_text_is_a_filter_or_an_error_of_the_vendors(world: World, text: str) -> None:
    try:
        matching(world, text)
    except ApiError as error:
        assert error.msg_code in {4, 9}  # noqa: PT017 - text that happens to be a filter is fine too


@QUIET
@given(value=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20))
def test_an_escaped_literal_is_only_a_literal(world: World, value: str) -> None:
    assert matching(world, f"FStockId.FNumber = {escaped(value)}") in (set(), matching(world, "1=1"))
    assert matching(world, f"FStockId.FNumber <> {escaped(value)} or 1=2")


def test_an_unescaped_quote_opens_the_filter(world: World) -> None:
    value = "x' or '1'='1"
    assert matching(world, f"FStockId.FNumber = '{value}'") == matching(world, "")
    assert matching(world, f"FStockId.FNumber = {escaped(value)}") == set()


@pytest.mark.parametrize(
    ("text", "stocks"),
    [
        ("FStockId.FName LIKE '%南京西路%'", {"CK101"}),
        ("fstockid.fnumber like 'ck10[1-2]'", {"CK101", "CK102"}),
        ("FStockId.FNumber LIKE 'CK10_' AND FStockId.FNumber NOT LIKE '%[^6]'", {"CK106"}),
        ("FStockId.FNumber between 'CK101' and 'CK102'", {"CK101", "CK102"}),
        ("'CK101' = FStockId.FNumber", {"CK101"}),
        ("FStockId.FNumber != N'CK001' and not (FStockId.FNumber > 'CK101')", {"CK101"}),
    ],
)
def test_spellings(world: World, text: str, stocks: set[str]) -> None:
    found = matching(world, text)
    assert {row["stock"] for row in world.stock_rows() if row["fid"] in found} == stocks


@pytest.mark.parametrize(
    "literal", ["'2020-01-01'", "'2020/01/01 00:00:00'", "{ts'2020-01-01 00:00:00'}", "'20200101'"]
)
def test_dates(world: World, literal: str) -> None:
    if literal == "'2020/01/01 00:00:00'":
        literal = "'2020/01/01 00:00:00'"
    everything = matching(world, "")
    assert matching(world, f"FUpdateTime >= {literal}") == everything
    assert matching(world, f"FUpdateTime < {literal}") == set()


def test_a_time_compares_to_the_millisecond(world: World) -> None:
    row = world.stock_rows()[0]
    spaced = row["updated"].replace("T", " ")
    assert row["fid"] in matching(world, f"FUpdateTime = '{spaced}'")
    assert row["fid"] not in matching(world, f"FUpdateTime > '{spaced}'")


def test_long_and_deep_filters(world: World) -> None:
    many = ",".join(f"'M{number}'" for number in range(3000))
    assert matching(world, f"FMaterialId.FNumber IN ({many})") == set()
    assert matching(world, " OR ".join(["FStockId.FNumber = 'CK001'"] * 2000))
    with pytest.raises(ApiError):
        matching(world, "(" * 500 + "1=1" + ")" * 500)


def test_numbers_that_are_no_numbers(world: World) -> None:
    with pytest.raises(ApiError):
        matching(world, "FBaseQty > 'many'")
    assert matching(world, "FBaseQty < 99999999999999999999999") == matching(world, "")
