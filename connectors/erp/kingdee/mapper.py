"""Turn Kingdee's raw rows into the hub's records through the mapping files; pure, and never stopped by one bad row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from stdnum import ean

from connectors.erp.kingdee.filters import fold
from hub.contracts import BarcodeRecord, ItemRecord, LocationRecord, Movement, Posting, Rejection, StockKey, StockRow
from hub.errors import ConfigError, RecordError
from hub.mapping import ArticleRow, BarcodeRow, MovedKey, load_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from collections.abc import Mapping as Dictionary
    from pathlib import Path
    from zoneinfo import ZoneInfo

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
_STATUS = "FDocumentStatus"
_DRAFTS = frozenset("ZAB")
"""暂存, 创建, 审核中: never in the stock, unless it was un-audited (D, 重新审核) and submitted anew."""
_OF_POSTING = ("quantity", "posted", "version")

_T = TypeVar("_T")
_V = TypeVar("_V")
Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What became of some raw rows."""

    rows: tuple[StockRow, ...]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """What a changed line names: a key, its own identity and state, and what it did under a number of ours, if any."""

    key: StockKey
    line: str
    posting: Posting | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The barcode master by material (folded number): its variants, its codes, and the rows that failed."""

    variants: Dictionary[str, Sequence[ArticleRow]]
    codes: Dictionary[str, Sequence[BarcodeRow]]
    rejected: tuple[Rejection, ...]


def document_of(watched: WatchedForm, raw: Dictionary[str, Any]) -> str:
    """Return the identity of a line among the postings of all forms, `FORM/FID/ENTRYID`."""
    return "/".join([watched.form, *(str(raw[field]).strip() for field in watched.row_id)])


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
            name: _load_moved(folder, name) for watched in settings.movement_forms for name in watched.mappings
        }
        self._own = frozenset(fold(owner) for owner in settings.own_owners)
        self._places = {fold(code): code for code in locations}

    @property
    def version(self) -> str:
        """Return the versions of all files, joined."""
        return " ".join(mapping.version for mapping in self.mappings)

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """Return all files."""
        fixed = (self.stock, self.article, self.article_barcode, self.location)
        return (*fixed, self.variant, self.barcode, self.moved_stock, *self._moved.values())

    def moved(self, watched: WatchedForm) -> tuple[Mapping, ...]:
        """Return the mappings of a watched form, one per location of a line."""
        return tuple(self._moved.get(name, self.moved_stock) for name in watched.mappings)

    def parse_stock(self, raw_rows: Iterable[Dictionary[str, Any]]) -> Mapped:
        """Map the rows of one page; a row that came twice counts once.

        Two rows with one id and different contents can't both be true, and nothing tells which is: both are rejected,
        and the levels that they belong to keep their old numbers while all others go on.
        """
        raws: list[Dictionary[str, Any]] = []
        rejected: list[Rejection] = []
        for same_id in _by_id(raw_rows).values():
            if len(same_id) > 1:
                rejected += [self._conflict(raw) for raw in same_id]
            else:
                raws += same_id
        rows: list[StockRow] = []
        owners, places, quiet = _Memo(self._owner), _Memo(self._spelled), _Memo(_without_noise)
        for raw, outcome in zip(raws, self.stock.apply_all(raws), strict=True):
            if outcome is None:
                continue
            try:
                rows.append(_settle(raw, outcome, owners, places, quiet))
            except RecordError as error:
                rejected.append(self._rejection(self.stock, raw, error))
        return Mapped(tuple(rows), tuple(rejected))

    def parse_moved(self, watched: WatchedForm, raw: Dictionary[str, Any]) -> list[Moved]:
        """Return what a changed line names, each key once.

        Empty when it names no stock of ours: skipped by the file, at a location that is not configured, or a line
        without material or location (a service, a fee).
        """
        found: dict[StockKey, Moved] = {}
        for name, key, moved in self._sides(watched, raw):
            posting = _posting(watched, name, raw, key, moved)
            if key in found and (other := found[key].posting) is not None:
                # a transfer inside one place: both ends are the same key
                posting = replace(other, quantity=other.quantity + (posting.quantity if posting else 0))
            found[key] = Moved(key, moved.document_id, posting)
        return list(found.values())

    def parse_movements(self, watched: WatchedForm, raw: Dictionary[str, Any], zone: ZoneInfo) -> list[Movement]:
        """Return what a line of a bill did to the stock of each key it names; nothing where it does not say how much.

        Args:
            zone: of the server's times.

        Raises:
            ValueError: the time when it was approved or changed is no time.
        """
        times = [datetime.fromisoformat(text) for field in watched.changed if (text := str(raw[field] or "").strip())]
        if not times:
            return []
        entered_at = max(moment.replace(tzinfo=zone) for moment in times)
        document = document_of(watched, raw)
        return [
            Movement(document, moved.reference, key, _signed(watched, name, moved), entered_at, posted=moved.posted)
            for name, key, moved in self._sides(watched, raw)
            if moved.quantity is not None
        ]

    def _sides(self, watched: WatchedForm, raw: Dictionary[str, Any]) -> Iterator[tuple[str, StockKey, MovedKey]]:
        """Yield each of ours that a line names: the mapping that reads it so, its key, and what was read."""
        for name, mapping in zip(watched.mappings, self.moved(watched), strict=True):
            moved = _read_moved(mapping, raw)
            place = self._places.get(fold(moved.location)) if moved is not None else None
            if moved is not None and place is not None:
                yield name, StockKey(moved.item, place), moved

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

    def _owner(self, owner: str) -> str:
        return "" if fold(owner) in self._own else owner

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


def _load_moved(folder: Path, name: str) -> Mapping:
    mapping = _load(folder, name, MovedKey)
    filled = {field.name for field in mapping.spec.fields}
    lacking = [name for name in _OF_POSTING if name not in filled]
    if "reference" in filled and lacking:
        message = f"{name}.yaml fills reference, so it must fill {', '.join(lacking)} too"
        raise ConfigError(message, file=str(folder / f"{name}.yaml"))
    return mapping


def _read_moved(mapping: Mapping, raw: Dictionary[str, Any]) -> MovedKey | None:
    """Read a changed line. What it did may not be readable; its key must not be missed for that."""
    try:
        moved: MovedKey | None = mapping.apply(raw)
        if moved is None or moved.quantity is None:
            return moved
        return replace(moved, quantity=_without_noise(moved.quantity))
    except RecordError:
        item, location, line = (mapping.field(raw, name) for name in ("item", "location", "document_id"))
        return MovedKey(item, location, line or "") if item and location else None


def _posting(
    watched: WatchedForm, name: str, raw: Dictionary[str, Any], key: StockKey, moved: MovedKey
) -> Posting | None:
    """Return what a line did under a number of ours, or that it was taken back (反审核); None of all other lines."""
    if moved.posted and (not moved.reference or moved.quantity is None):
        return None
    if not moved.posted and not moved.version and raw.get(_STATUS) in _DRAFTS:
        return None
    return Posting(
        document=document_of(watched, raw),
        version=moved.version,
        reference=moved.reference,
        key=key,
        quantity=_signed(watched, name, moved),
        posted=moved.posted,
    )


def _signed(watched: WatchedForm, name: str, moved: MovedKey) -> Decimal:
    """Return what a line took out of its place; bills write quantities without direction."""
    quantity = moved.quantity or Decimal(0)
    return -quantity if name in watched.brings else quantity


class _Memo(dict[_V, _V]):
    """What a function made of each value so far."""

    def __init__(self, make: Callable[[_V], _V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: _V) -> _V:
        self[value] = made = self._make(value)
        return made


def _settle(
    raw: Dictionary[str, Any],
    outcome: StockRow | RecordError,
    owners: _Memo[str],
    places: _Memo[str],
    quiet: _Memo[Decimal],
) -> StockRow:
    """Blank our own organisation as owner, spell the location as configured, take off the noise of floats."""
    _require_material(raw)
    if isinstance(outcome, RecordError):
        raise outcome
    outcome.location, outcome.owner = places[outcome.location], owners[outcome.owner]
    outcome.quantity = quiet[outcome.quantity]
    return outcome


def _require_material(raw: Dictionary[str, Any]) -> None:
    """Refuse a row without material: its colour or size would stand at the front of the item's id in its place."""
    material = raw[MATERIAL]
    if not (type(material) is str and material.strip()) and not fold(material):
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
