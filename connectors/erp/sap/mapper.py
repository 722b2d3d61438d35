"""From SAP's raw rows to hub records, through the mapping files; pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connectors.erp.sap.odata import Row, exact_quotient
from connectors.erp.sap.reading import STOCK_KEY, identify
from hub.contracts import BarcodeRecord, ItemRecord, Rejection
from hub.errors import RecordError
from hub.mapping import load_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hub.contracts import StockRow
    from hub.mapping import ArticleRow, BarcodeRow, MovedKey
    from hub.mapping import Mapping as MappingFile

_ONE = Decimal(1)
ADDED = "connector"
"""The raw field under which the connector puts what it worked out itself; mapping files call it `connector.NAME`."""


class SapMapper:
    """The four mapping files of this connector.

    Args:
        folder: holds stock.yaml, article.yaml, barcode.yaml and movement.yaml.
        languages: of article names, the best first; any other comes after them.

    Raises:
        MappingError: a file is refused.
    """

    def __init__(self, folder: Path, languages: Sequence[str]) -> None:
        self.stock = load_mapping(folder / "stock.yaml")
        self.article = load_mapping(folder / "article.yaml")
        self.barcode = load_mapping(folder / "barcode.yaml")
        self.movement = load_mapping(folder / "movement.yaml")
        self._languages = tuple(languages)
        self.version = " ".join(m.version for m in (self.stock, self.article, self.barcode, self.movement))

    def parse_stock(self, rows: Iterable[Mapping[str, Any]]) -> tuple[list[StockRow], list[Rejection]]:
        """Map stock rows; those that can't be used come back as rejections."""
        records: list[StockRow] = []
        rejected: list[Rejection] = []
        for row in rows:
            raw = {**row, ADDED: {"row_id": "|".join(identify(row, STOCK_KEY))}}
            try:
                record: StockRow | None = self.stock.apply(raw)
            except RecordError as error:
                rejected.append(_reject(self.stock, raw, error))
                continue
            if record is not None:
                records.append(record)
        return records, rejected

    def parse_moved(self, items: Iterable[Row]) -> tuple[list[MovedKey], list[Rejection]]:
        """Map the items of a material document, both sides of a transfer."""
        records: list[MovedKey] = []
        rejected: list[Rejection] = []
        for item in items:
            for raw in _sides(item):
                try:
                    record: MovedKey | None = self.movement.apply(raw)
                except RecordError as error:
                    rejected.append(_reject(self.movement, raw, error))
                    continue
                if record is not None:
                    records.append(record)
        return records, rejected

    def parse_item(
        self, product: Row, names: Sequence[Row], units: Sequence[Row]
    ) -> tuple[ItemRecord | None, list[Rejection]]:
        """Map one product with its names and units; a bad unit costs its barcode, a bad product the whole record."""
        raw = {**product, "ProductDescription": self._choose_name(names)}
        try:
            article: ArticleRow | None = self.article.apply(raw)
        except RecordError as error:
            return None, [_reject(self.article, raw, error)]
        if article is None:
            return None, []
        barcodes, rejected = self._parse_barcodes(article, units)
        attributes = {"colour": article.colour, "size": article.size}
        record = ItemRecord(
            item=article.item,
            name=article.name,
            unit=article.unit,
            gtin=article.gtin,
            barcodes=tuple(barcodes),
            category=article.category,
            brand=article.brand,
            attributes={name: value for name, value in attributes.items() if value},
            active=article.active,
        )
        return record, rejected

    def _parse_barcodes(self, article: ArticleRow, units: Sequence[Row]) -> tuple[list[BarcodeRecord], list[Rejection]]:
        factors = {article.gtin: BarcodeRecord(article.gtin, _ONE)} if article.gtin else {}
        rejected: list[Rejection] = []
        for unit in units:
            factor = exact_quotient(unit.get("QuantityNumerator"), unit.get("QuantityDenominator"))
            raw = {**unit, ADDED: {"factor": factor}}
            try:
                row: BarcodeRow | None = self.barcode.apply(raw)
                if row is not None:
                    _check_factor(row, factors.get(row.code))
                    factors[row.code] = BarcodeRecord(row.code, row.factor)
            except RecordError as error:
                rejected.append(_reject(self.barcode, raw, error, item=article.item))
        return list(factors.values()), rejected

    def _choose_name(self, names: Sequence[Row]) -> str | None:
        by_language = {
            str(row.get("Language")).upper(): text
            for row in names
            if isinstance(text := row.get("ProductDescription"), str) and text.strip()
        }
        for language in self._languages:
            if language in by_language:
                return by_language[language]
        return by_language[min(by_language)] if by_language else None


def _check_factor(row: BarcodeRow, known: BarcodeRecord | None) -> None:
    """Refuse a factor that no package can have, or that contradicts the same code on another unit."""
    if row.factor <= 0:
        raise RecordError(f"factor: {row.code} would hold {row.factor} base units", reason="bad_value", field="factor")
    if known is not None and known.factor != row.factor:
        message = f"factor: {row.code} holds {row.factor} on unit {row.unit} and {known.factor} on another"
        raise RecordError(message, reason="bad_value", field="factor")


def _sides(item: Row) -> Iterator[Row]:
    """Yield a document item, and its other side where goods went to, or came from, another storage location."""
    yield item
    if _text(item.get("IssuingOrReceivingStorageLoc")):
        yield {
            **item,
            "Material": _text(item.get("IssgOrRcvgMaterial")) or item.get("Material"),
            "Plant": _text(item.get("IssuingOrReceivingPlant")) or item.get("Plant"),
            "StorageLocation": item["IssuingOrReceivingStorageLoc"],
        }


def _reject(mapping: MappingFile, raw: Mapping[str, Any], error: RecordError, item: str | None = None) -> Rejection:
    location = mapping.field(raw, "location") if "location" in mapping.targets else None
    return Rejection(error.reason, error.message, raw, item or mapping.field(raw, "item"), location)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
