"""The picture of a level's day: its line, its zero and its marks."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hub.stock.timeline import Change, Timeline
from storefront_adapter.staff.picture import HEIGHT, WIDTH, Mark, draw

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def timeline(values: list[int], *changes: tuple[Change, ...]) -> Timeline:
    padded = [*changes, *[()] * (len(values) - 1 - len(changes))]
    return Timeline(NOON, NOON, tuple(map(Decimal, values)), tuple(padded))


def points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


def test_a_line_has_a_step_where_the_number_changed() -> None:
    picture = draw(timeline([10, 10, 4, 4]))
    drawn = points(picture.line)
    assert [x for x, _ in drawn] == [0, 200, 200, WIDTH]
    assert drawn[0][1] == drawn[1][1] < drawn[2][1] == drawn[3][1] <= HEIGHT
    assert (picture.high, picture.low, picture.zero) == (10, 4, None)


def test_zero_is_drawn_where_it_is_within() -> None:
    picture = draw(timeline([10, -10]))
    first, _, last, _ = (y for _, y in points(picture.line))
    assert picture.zero == (first + last) / 2


def test_a_day_without_change_is_a_flat_line() -> None:
    picture = draw(timeline([5, 5, 5]))
    assert len(points(picture.line)) == 2
    assert picture.marks == ()


def test_documents_of_both_directions_are_one_mark() -> None:
    sold, came, set_aside = (Change(kind, Decimal(1), 2) for kind in ("demand", "supply", "buffer"))
    picture = draw(timeline([5, 5, 5, 5], (), (sold, came, set_aside), (Change("base", Decimal(1), 1),)))
    assert picture.marks == (Mark("document", 150, 4), Mark("read", 250, 1))
