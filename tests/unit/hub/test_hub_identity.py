"""Which item is it? Whatever three ERPs say, the list of items stays sound."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.contracts import BarcodeRecord, ItemRecord
from hub.items.identity import Item, ItemMatcher, SourceRules
from tests.fake_erp import article, carton

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.contracts import Rejection

SOURCES = ("sap", "kingdee", "pos")
CODES = [f"69012345000{number}" for number in range(4)]
NUMBERS = ["1", "01", "a2", "A2"]
SKUS = st.sampled_from([*NUMBERS, "X"])
BARCODES = st.builds(BarcodeRecord, code=st.sampled_from(CODES), factor=st.sampled_from([Decimal(1), Decimal(12)]))
ARTICLES = st.builds(
    ItemRecord,
    item=st.sampled_from(NUMBERS),
    name=st.sampled_from(["羽绒服", "coat", "shoe"]),
    unit=st.sampled_from(["EA", "EA", "EA", "KG"]),
    gtin=st.none() | st.sampled_from(CODES),
    barcodes=st.lists(BARCODES, max_size=2).map(tuple),
    category=st.sampled_from(["", "food"]),
    active=st.booleans(),
)
LISTS = st.lists(ARTICLES, max_size=6, unique_by=lambda record: record.item)
CROSS_REFERENCES = st.dictionaries(st.tuples(st.sampled_from(SOURCES), st.sampled_from(NUMBERS)), SKUS, max_size=3)


@st.composite
def all_rules(draw: st.DrawFn) -> dict[str, SourceRules]:
    order = draw(st.permutations(SOURCES))
    givers = order[: draw(st.integers(1, 3))]
    return {
        source: SourceRules(
            source,
            identity=draw(st.sampled_from(["gtin", "number", "cross_reference"])),
            number_transform=draw(st.sampled_from(["same", "strip_zeros", "upper"])),
            creates=source in givers,
            masters=givers[:1] == [source],
        )
        for source in SOURCES
    }


def read(matcher: ItemMatcher, records: Sequence[ItemRecord], rules: SourceRules) -> list[Rejection]:
    return [rejection for record in records for rejection in matcher.match(record, rules)]


def snapshot(matcher: ItemMatcher) -> Any:
    """Return all that would be stored."""
    items = [(i.sku, i.gtin, i.name, i.unit, i.category, i.brand, dict(i.attributes), i.active) for i in matcher.items]
    references = {key: item.sku for key, item in matcher.references.items()}
    return items, references, {code: (item.sku, factor) for code, (item, factor) in matcher.barcodes.items()}


def stored_again(matcher: ItemMatcher, cross_reference: dict[tuple[str, str], str]) -> ItemMatcher:
    """Return a matcher as it is loaded after what this one did has been stored."""
    items = {
        item.sku: Item(
            item.sku, item.name, item.unit, item.gtin, item.category, item.brand, item.attributes, item.active, number
        )
        for number, item in enumerate(matcher.items, start=1)
    }
    references = {key: items[item.sku] for key, item in matcher.references.items()}
    barcodes = {code: (items[item.sku], factor) for code, (item, factor) in matcher.barcodes.items()}
    return ItemMatcher(list(items.values()), references, barcodes, cross_reference)


def assert_sound(matcher: ItemMatcher) -> None:
    skus = [item.sku for item in matcher.items]
    assert len(skus) == len(set(skus))
    gtins = [item.gtin for item in matcher.items if item.gtin]
    assert len(gtins) == len(set(gtins))
    by_item: dict[str, dict[str, list[str]]] = {}
    for (source, number), item in matcher.references.items():
        assert any(item is known for known in matcher.items)
        by_item.setdefault(item.sku, {}).setdefault(source, []).append(number)
    for sources in by_item.values():
        assert all(len(numbers) == 1 for numbers in sources.values())
    for item in matcher.items:
        assert item.numbers == {source: numbers[0] for source, numbers in by_item.get(item.sku, {}).items()}
    for code, (owner, factor) in matcher.barcodes.items():
        for item in matcher.items:
            if item.gtin == code:  # one scan, one answer
                assert item is owner
                assert factor == 1
    pairs = [(source, number) for source, number, _ in matcher.new_references]
    assert len(pairs) == len(set(pairs))


@settings(max_examples=150)
@given(st.data(), all_rules(), CROSS_REFERENCES)
def test_the_list_of_items_stays_sound_whatever_the_sources_say(
    data: st.DataObject, rules: dict[str, SourceRules], cross_reference: dict[tuple[str, str], str]
) -> None:
    matcher = ItemMatcher([], {}, {}, cross_reference)
    for source in data.draw(st.lists(st.sampled_from(SOURCES), min_size=1, max_size=6)):
        known = {(item.sku, item.unit) for item in matcher.items}
        linked = {key: item.sku for key, item in matcher.references.items()}
        records = data.draw(LISTS)
        read(matcher, records, rules[source])
        assert_sound(matcher)
        # no SKU goes, no unit changes, no link is moved behind anybody's back
        assert known <= {(item.sku, item.unit) for item in matcher.items}
        assert linked.items() <= {key: item.sku for key, item in matcher.references.items()}.items()
        if data.draw(st.booleans()):
            matcher = stored_again(matcher, cross_reference)


@settings(max_examples=60)
@given(LISTS, all_rules(), CROSS_REFERENCES, st.sampled_from(SOURCES))
def test_reading_the_same_list_again_changes_nothing(
    records: list[ItemRecord],
    rules: dict[str, SourceRules],
    cross_reference: dict[tuple[str, str], str],
    source: str,
) -> None:
    first = ItemMatcher([], {}, {}, cross_reference)
    read(first, records, rules[source])
    again = stored_again(first, cross_reference)
    read(again, records, rules[source])
    assert snapshot(again) == snapshot(first)
    assert again.new_references == []
    assert again.changed_barcodes == set()
    assert not any(item.changed for item in again.items)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(SOURCES), LISTS), max_size=3), all_rules(), CROSS_REFERENCES)
def test_sources_that_tell_the_same_every_time_come_to_rest(
    lists: list[tuple[str, list[ItemRecord]]],
    rules: dict[str, SourceRules],
    cross_reference: dict[tuple[str, str], str],
) -> None:
    told = dict(lists)  # one list per source
    matcher = ItemMatcher([], {}, {}, cross_reference)
    seen: list[Any] = []
    for _ in range(8):
        for source, records in told.items():
            read(matcher, records, rules[source])
        matcher = stored_again(matcher, cross_reference)
        seen.append(snapshot(matcher))
    assert seen[-1] == seen[-2]


def test_a_source_may_change_a_gtin_that_it_alone_has_given() -> None:
    matcher = ItemMatcher([], {}, {}, {})
    sap, pos = SourceRules("sap", "gtin"), SourceRules("pos", "number", masters=False)
    read(matcher, [article("A", CODES[0]), article("B", CODES[1])], sap)
    assert read(matcher, [article("A", CODES[2]), article("B", CODES[0])], sap) == []
    assert [item.gtin for item in matcher.items] == [CODES[2], CODES[0]]
    read(matcher, [article("A", CODES[2])], pos)
    [problem] = read(matcher, [article("A", CODES[3])], sap)
    assert problem.reason == "gtin_differs"
    assert_sound(matcher)


def test_a_barcode_that_is_the_gtin_of_another_item_is_refused() -> None:
    matcher = ItemMatcher([], {}, {}, {})
    rules = SourceRules("sap", "gtin")
    problems = read(matcher, [article("B", CODES[1]), article("A", CODES[0], barcodes=(carton(CODES[1], 1),))], rules)
    assert [(problem.item, problem.reason) for problem in problems] == [("A", "barcode_taken")]
    assert matcher.barcodes == {}


def test_the_gtin_of_one_piece_is_no_package() -> None:
    matcher = ItemMatcher([], {}, {}, {})
    rules = SourceRules("sap", "gtin")
    [problem] = read(matcher, [article("A", CODES[0], barcodes=(carton(CODES[0], 12),))], rules)
    assert problem.reason == "pack_differs"
    assert matcher.barcodes == {}
    read(matcher, [article("A", CODES[0], barcodes=(carton(CODES[2], 12),))], rules)
    [problem] = read(matcher, [article("A", CODES[2])], rules)
    assert problem.reason == "identity_conflict"
    assert matcher.items[0].gtin == CODES[0]
