"""Turn Kingdee's raw rows into the hub's records through the mapping files; pure, and never stopped by one bad row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from stdnum import ean

from connectors.erp.kingdee.filters import fold
from hub.contracts import BarcodeRecord, ItemRecord, LocationRecord, Rejection, StockKey, StockRow
from hub.errors import ConfigError, RecordError
from hub.mapping import ArticleRow, BarcodeRow, MovedKey, load_mapping

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from collections.abc import Mapping as Dictionary
    from pathlib import Path

    from connectors.erp.kingdee.settings import KingdeeSettings, WatchedForm
    from hub.mapping import Mapping

VARIANT_SEPARATOR = "|"
"""Stands in an item's id between the material's number and its auxiliary property values (辅助属性): `M|C01|S01`."""

ROW_ID = "FID"
MATERIAL = "FMaterialId.FNumber"
_WHOLE_DIGITS = 13
_SCALE = Decimal(1).scaleb(-6)
"""Kingdee stores numeric(23,10) and sends floats: what stands behind a millionth is noise of conversions, not goods."""
_ONE = Decimal(1)

_T = TypeVar("_T")
Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What became of some raw rows."""

    rows: tuple[StockRow, ...]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The barcode master by material (folded number): its variants, its codes, and the rows that failed."""

    variants: Dictionary[str, Sequence[ArticleRow]]
    codes: Dictionary[str, Sequence[BarcodeRow]]
    rejected: tuple[Rejection, ...]


def material_of(item: str) -> str:
    """Return the material number at the front of an item's id."""
    return item.partition(VARIANT_SEPARATOR)[0]


class KingdeeMapper:
    """Holds the mapping files of one connection.

    Args:
        folder: where the files stand.
        settings: which movement files are needed, and whose goods are our own.
        locations: the configured locations as the operator writes them.

    Raises:
        MappingError: a file is missing or wrong; it names file and line.
    """

    def __init__(self, folder: Path, settings: KingdeeSettings, locations: Collection[str]) -> None:
        self.stock = _load(folder, "stock", StockRow)
        self.article = _load(folder, "article", ArticleRow)
        self.article_barcode = _load(folder, "article_barcode", BarcodeRow)
        self.location = _load(folder, "location", LocationRecord)
        self.variant = _load(folder, "variant", ArticleRow)
        self.barcode = _load(folder, "barcode", BarcodeRow)
        self.moved_stock = _load(folder, "moved_stock", MovedKey)
        self._moved = {
            name: _load(folder, name, MovedKey) for watched in settings.movement_forms for name in watched.mappings
        }
        self._own = frozenset(fold(owner) for owner in settings.own_owners)
        self._places = {fold(code): code for code in locations}

    @property
    def version(self) -> str:
        """Return the versions of all files, joined."""
        fixed = (self.stock, self.article, self.article_barcode, self.location)
        more = (self.variant, self.barcode, self.moved_stock)
        return " ".join(mapping.version for mapping in (*fixed, *more, *self._moved.values()))

    def moved(self, watched: WatchedForm) -> tuple[Mapping, ...]:
        """Return the mappings of a watched form, one per location of a line."""
        return tuple(self._moved.get(name, self.moved_stock) for name in watched.mappings)

    def parse_stock(self, raw_rows: Iterable[Dictionary[str, Any]]) -> Mapped:
        """Map the rows of one page; a row that came twice counts once.

        Two rows with one id and different contents can't both be true, and nothing tells which is: both are rejected,
        and the levels that they belong to keep their old numbers while all others go on.
        """
        rows: list[StockRow] = []
        rejected: list[Rejection] = []
        for same_id in _by_id(raw_rows).values():
            if len(same_id) > 1:
                rejected += [self._conflict(raw) for raw in same_id]
                continue
            try:
                _require_material(same_id[0])
                row = self.stock.apply(same_id[0])
                rows += [self._settle(row)] if row is not None else []
            except RecordError as error:
                rejected.append(self._rejection(self.stock, same_id[0], error))
        return Mapped(tuple(rows), tuple(rejected))

    def parse_moved(self, mapping: Mapping, raw: Dictionary[str, Any]) -> tuple[StockKey, str] | None:
        """Return the key that a changed line names, and the line's id.

        None when it names no stock of ours: skipped by the file, at a location that is not configured, or a line
        without material or location (a service, a fee).
        """
        try:
            moved = mapping.apply(raw)
        except RecordError:
            return None
        place = self._places.get(fold(moved.location)) if moved is not None else None
        return None if moved is None or place is None else (StockKey(moved.item, place), moved.document_id)

    def parse_locations(self, raw_rows: Iterable[Dictionary[str, Any]]) -> list[LocationRecord]:
        """Map places, each code once; one that can't be mapped is left out."""
        found: dict[str, LocationRecord] = {}
        for raw in raw_rows:
            try:
                record = self.location.apply(raw)
            except RecordError:
                continue
            if record is not None:
                found.setdefault(record.code, replace(record, code=self._spelled(record.code)))
        return list(found.values())

    def parse_catalogue(self, raw_rows: Iterable[Dictionary[str, Any]], material_field: str) -> Catalogue:
        """Map the barcode master. A barcode that fails is rejected, and the variant that it names still exists."""
        variants: dict[str, list[ArticleRow]] = {}
        codes: dict[str, list[BarcodeRow]] = {}
        rejected: list[Rejection] = []
        for raw in raw_rows:
            material = fold(raw[material_field])
            variant, refusal = self._try(self.variant, raw)
            if variant is not None:
                variants.setdefault(material, []).append(variant)
            if refusal is None:
                code, refusal = self._try(self.barcode, raw)
                codes.setdefault(material, []).extend([code] if code is not None else [])
            rejected += [refusal] if refusal else []
        return Catalogue(variants, codes, tuple(rejected))

    def parse_articles(
        self, raw_rows: Iterable[Dictionary[str, Any]], catalogue: Catalogue
    ) -> tuple[list[ItemRecord], list[Rejection]]:
        """Map materials into the items that they are: their variants, or themselves."""
        records: list[ItemRecord] = []
        rejected: list[Rejection] = []
        for raw in raw_rows:
            article, refusal = self._try(self.article, raw)
            if refusal is not None:
                rejected.append(refusal)
            if article is not None:
                own_code, refusal = self._try(self.article_barcode, raw)
                rejected += [refusal] if refusal else []
                records += _items(article, own_code, catalogue)
        return records, rejected

    def _try(self, mapping: Mapping, raw: Dictionary[str, Any]) -> tuple[Any, Rejection | None]:
        try:
            return mapping.apply(raw), None
        except RecordError as error:
            return None, self._rejection(mapping, raw, error)

    def _settle(self, row: StockRow) -> StockRow:
        """Blank our own organisation as owner, spell the location as configured, take off the noise of floats."""
        return replace(
            row,
            location=self._spelled(row.location),
            owner="" if fold(row.owner) in self._own else row.owner,
            quantity=_without_noise(row.quantity),
        )

    def _spelled(self, location: str) -> str:
        return self._places.get(fold(location), location)

    def _rejection(self, mapping: Mapping, raw: Dictionary[str, Any], error: RecordError) -> Rejection:
        location = mapping.field(raw, "location")
        return Rejection(
            reason=error.reason,
            detail=error.message,
            raw=dict(raw),
            item=None if error.field == "item" else mapping.field(raw, "item") or None,
            location=self._spelled(location) if location else None,
        )

    def _conflict(self, raw: Dictionary[str, Any]) -> Rejection:
        error = RecordError("one answer holds this row id with two contents", reason="conflicting_rows")
        return self._rejection(self.stock, raw, error)


def _load(folder: Path, name: str, record: type[_T]) -> Mapping:
    mapping = load_mapping(folder / f"{name}.yaml")
    if mapping.record is not record:
        message = f"the target of {name}.yaml must be {record.__name__}"
        raise ConfigError(message, file=str(folder / f"{name}.yaml"))
    return mapping


def _require_material(raw: Dictionary[str, Any]) -> None:
    """Refuse a row without material: its colour or size would stand at the front of the item's id in its place."""
    if not fold(raw[MATERIAL]):
        raise RecordError(f"{MATERIAL} is blank", reason="missing_field", field="item")


def _without_noise(quantity: Decimal) -> Decimal:
    if quantity.adjusted() >= _WHOLE_DIGITS:
        raise RecordError(f"{quantity} is more than Kingdee can store", reason="bad_number", field="quantity")
    return quantity.quantize(_SCALE, rounding=ROUND_HALF_EVEN).normalize() + 0


def _by_id(raw_rows: Iterable[Dictionary[str, Any]]) -> dict[str, list[Dictionary[str, Any]]]:
    found: dict[str, list[Dictionary[str, Any]]] = {}
    for raw in raw_rows:
        same_id = found.setdefault(str(raw[ROW_ID]), [])
        if raw not in same_id:
            same_id.append(raw)
    return found


def _items(article: ArticleRow, own_code: BarcodeRow | None, catalogue: Catalogue) -> list[ItemRecord]:
    material = fold(article.item)
    codes: dict[str, list[BarcodeRow]] = {}
    for code in catalogue.codes.get(material, ()):
        codes.setdefault(code.item, []).append(code)
    named = {row.item: row for row in catalogue.variants.get(material, ()) if fold(row.item) != material}
    plain = [code for item, found in codes.items() if fold(item) == material for code in found]
    items = [_item(article, codes.get(item, ()), row) for item, row in named.items()]
    if not named and own_code is not None:
        # With variants the material's own code says nothing: it can't belong to all of them.
        plain.insert(0, own_code)
    if not named or plain:
        items.append(_item(article, plain, None))
    return items


def _item(article: ArticleRow, codes: Iterable[BarcodeRow], variant: ArticleRow | None) -> ItemRecord:
    barcodes = tuple({code.code: BarcodeRecord(code.code, code.factor) for code in codes}.values())
    colour, size = (variant.colour, variant.size) if variant else (article.colour, article.size)
    name = " ".join(part for part in (article.name, *((colour, size) if variant else ())) if part)
    attributes = {"colour": colour, "size": size}
    return ItemRecord(
        item=variant.item if variant else article.item,
        name=name,
        unit=article.unit,
        gtin=(variant or article).gtin or next((code.code for code in barcodes if _is_base_gtin(code)), None),
        barcodes=barcodes,
        category=article.category,
        brand=article.brand,
        attributes={key: value for key, value in attributes.items() if value},
        active=article.active and (variant is None or variant.active),
    )


def _is_base_gtin(code: BarcodeRecord) -> bool:
    return code.factor == _ONE and bool(ean.is_valid(code.code)) and ean.compact(code.code) == code.code
