"""Which item is it? The rules that match an ERP's article to the hub's, as one pure, restartable matcher.

The same article has different numbers in different ERPs. It is recognised by what links it already, by a
cross-reference file, or by the configured key (GTIN, or its number after a named transform). Evidence that points to
two different items is a conflict for people to settle: never two items for one GTIN, never a silent merge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hub.contracts import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from hub.contracts import BarcodeRecord, ItemRecord

Identity = Literal["gtin", "number", "cross_reference"]

NUMBER_TRANSFORMS: Mapping[str, Callable[[str], str]] = {
    "same": str.strip,
    "upper": lambda number: number.strip().upper(),
    "strip_zeros": lambda number: number.strip().lstrip("0") or "0",
}


@dataclass
class Item:
    """An item as the matcher knows it. `id` is None until the database has given one."""

    sku: str
    name: str
    unit: str
    gtin: str | None = None
    category: str = ""
    brand: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    active: bool = True
    id: int | None = None
    numbers: dict[str, str] = field(default_factory=dict)
    """Its number in each source that knows it."""
    changed: bool = False


@dataclass(frozen=True, slots=True)
class SourceRules:
    """How articles of one source are recognised, and whether it may bring new items."""

    source: str
    identity: Identity
    number_transform: str = "same"
    creates: bool = True
    masters: bool = True
    """The source's names and categories win: it stands first among those that give SKUs."""


class ItemMatcher:
    """Matches articles one after the other against all items, references and barcodes of the hub.

    Holds the state that the next article is matched against; the caller stores it afterwards.
    """

    def __init__(
        self,
        items: list[Item],
        references: dict[tuple[str, str], Item],
        barcodes: dict[str, tuple[Item, Decimal]],
        cross_reference: Mapping[tuple[str, str], str],
    ) -> None:
        self.items = items
        self.references = references
        self.barcodes = barcodes
        self.new_references: list[tuple[str, str, Item]] = []
        self.changed_barcodes: set[str] = set()
        self._cross_reference = cross_reference
        self._by_sku = {item.sku: item for item in items}
        self._by_gtin = {item.gtin: item for item in items if item.gtin}
        for (source, number), item in references.items():
            item.numbers[source] = number

    def match(self, record: ItemRecord, rules: SourceRules) -> list[Rejection]:
        """Link the article to its item, or create it; returns what could not be used of it (empty: all is well)."""
        named = self._cross_reference.get((rules.source, record.item))
        if named is not None and named not in self._by_sku:
            return [_reject(record, "no_match", f"the cross-reference file names {named}, which is no SKU")]
        candidates = self._candidates(record, rules)
        if problem := self._conflict(record, rules, candidates):
            return [problem]
        item = next(iter(candidates.values()), None)
        if item is None:
            if not rules.creates:
                return [
                    _reject(record, "no_match", "no item of the hub matches and this source may not bring new ones")
                ]
            item = self._create(record)
        else:
            problem = self._update(item, record, rules)
            if problem:
                return [problem]
        self._link(item, record, rules)
        told: dict[str, Decimal] = {}
        problems: list[Rejection | None] = []
        for barcode in record.barcodes:
            if told.setdefault(barcode.code, barcode.factor) == barcode.factor:
                problems.append(self._add_barcode(item, record, barcode, rules))
            else:
                problems.append(_reject(record, "pack_differs", f"barcode {barcode.code} holds two different numbers"))
        return [problem for problem in problems if problem is not None]

    def _candidates(self, record: ItemRecord, rules: SourceRules) -> dict[str, Item]:
        """Return every item that some evidence points to, by the evidence; each item once."""
        evidence: dict[str, Item | None] = {"reference": self.references.get((rules.source, record.item))}
        if sku := self._cross_reference.get((rules.source, record.item)):
            evidence["cross-reference file"] = self._by_sku.get(sku)
        if rules.identity == "number":
            evidence["number"] = self._by_sku.get(NUMBER_TRANSFORMS[rules.number_transform](record.item))
        if record.gtin:
            evidence["gtin"] = self._by_gtin.get(record.gtin)
            owner = self.barcodes.get(record.gtin)
            evidence["barcode"] = owner[0] if owner else None
        found: dict[str, Item] = {}
        for name, item in evidence.items():
            if item is not None and all(item is not other for other in found.values()):
                found[name] = item
        return found

    def _conflict(self, record: ItemRecord, rules: SourceRules, candidates: dict[str, Item]) -> Rejection | None:
        if len(candidates) > 1:
            named = ", ".join(f"{item.sku} (by {evidence})" for evidence, item in candidates.items())
            return _reject(record, "identity_conflict", f"points to different items: {named}")
        for evidence, item in candidates.items():
            return self._conflict_with(item, evidence, record, rules)
        if taken := self._by_sku.get(record.item):
            return _reject(record, "sku_taken", f"the SKU {record.item} is another item: {taken.name}")
        return None

    def _conflict_with(self, item: Item, evidence: str, record: ItemRecord, rules: SourceRules) -> Rejection | None:
        """Tell why the article can't be the one item that the evidence names, or None if it can."""
        linked = item.numbers.get(rules.source)
        problem = None
        if linked is not None and linked != record.item:
            problem = f"item {item.sku} (by {evidence}) is already {linked} in this source"
        elif record.gtin in self.barcodes and self.barcodes[record.gtin][1] != 1:
            problem = f"its GTIN is a package of several of item {item.sku}"
        elif evidence in {"gtin", "barcode"} and rules.identity != "gtin":
            problem = f"item {item.sku} has this GTIN, and GTINs do not identify in this source"
        if problem:
            return _reject(record, "identity_conflict", problem)
        if item.unit != record.unit:
            return _reject(record, "unit_conflict", f"item {item.sku} is counted in {item.unit}, here in {record.unit}")
        return None

    def _create(self, record: ItemRecord) -> Item:
        item = Item(sku=record.item, name=record.name, unit=record.unit, gtin=record.gtin, changed=True)
        _copy_description(item, record)
        self.items.append(item)
        self._by_sku[item.sku] = item
        if item.gtin:
            self._by_gtin[item.gtin] = item
        return item

    def _update(self, item: Item, record: ItemRecord, rules: SourceRules) -> Rejection | None:
        if record.gtin and record.gtin != item.gtin:
            others = item.numbers.keys() - {rules.source}
            if item.gtin and others:
                detail = f"item {item.sku} has GTIN {item.gtin} in {', '.join(sorted(others))}, here {record.gtin}"
                return _reject(record, "gtin_differs", detail)
            if item.gtin:
                del self._by_gtin[item.gtin]
            item.gtin, item.changed = record.gtin, True
            self._by_gtin[record.gtin] = item
        if self._speaks_for(item, rules):
            _copy_description(item, record)
        return None

    def _link(self, item: Item, record: ItemRecord, rules: SourceRules) -> None:
        if (rules.source, record.item) not in self.references:
            self.references[rules.source, record.item] = item
            item.numbers[rules.source] = record.item
            self.new_references.append((rules.source, record.item, item))

    def _add_barcode(
        self, item: Item, record: ItemRecord, barcode: BarcodeRecord, rules: SourceRules
    ) -> Rejection | None:
        owner, factor = self.barcodes.get(barcode.code, (item, None))
        for taken_by in (owner, self._by_gtin.get(barcode.code, item)):
            if taken_by is not item:
                return _reject(record, "barcode_taken", f"barcode {barcode.code} belongs to {taken_by.sku}")
        if barcode.code == item.gtin and barcode.factor != 1:
            return _reject(record, "pack_differs", f"barcode {barcode.code} is the GTIN of one {item.unit}, no package")
        if factor == barcode.factor:
            return None
        if factor is not None and not self._speaks_for(item, rules):
            return _reject(
                record, "pack_differs", f"barcode {barcode.code} holds {factor} base units, here {barcode.factor}"
            )
        self.barcodes[barcode.code] = (item, barcode.factor)
        self.changed_barcodes.add(barcode.code)
        return None

    @staticmethod
    def _speaks_for(item: Item, rules: SourceRules) -> bool:
        """Tell whether the source's word on the item stands: it is the master, or nobody else knows the item."""
        return rules.masters or item.numbers.keys() <= {rules.source}


def _copy_description(item: Item, record: ItemRecord) -> None:
    described = (record.name, record.category, record.brand, dict(record.attributes), record.active)
    if described != (item.name, item.category, item.brand, dict(item.attributes), item.active):
        item.name, item.category, item.brand, item.attributes, item.active = described
        item.changed = True


def _reject(record: ItemRecord, reason: str, detail: str) -> Rejection:
    raw = {"item": record.item, "name": record.name, "gtin": record.gtin, "unit": record.unit}
    return Rejection(reason=reason, detail=detail, raw=raw, item=record.item)
