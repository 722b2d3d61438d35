"""From SAP's raw rows to hub records, through the mapping files; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.erp.sap.odata import Row, exact_quotient
from connectors.erp.sap.reading import stock_row_id
from connectors.erp.sap.records import ADDED, build_item, choose_name, map_barcodes, reject
from hub.errors import RecordError
from hub.mapping import MovedKey, load_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from hub.contracts import ItemRecord, Rejection, StockRow
    from hub.mapping import ArticleRow

_ROW_ID = f"{ADDED}.row_id"
_OTHER_SIDE = ("IssgOrRcvgMaterial", "IssuingOrReceivingPlant", "IssuingOrReceivingStorageLoc")
_HEADER = "to_MaterialDocumentHeader"


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

    @property
    def stock_fields(self) -> tuple[str, ...]:
        """Return the fields of SAP's that a stock row is made of."""
        return tuple(path for path in self.stock.source_fields if not path.startswith(f"{ADDED}."))

    @property
    def moved_fields(self) -> tuple[str, ...]:
        """Return the fields of SAP's that are read of a document's item, for both its sides."""
        own = (path for path in self.movement.source_fields if not path.startswith(f"{_HEADER}."))
        return (*own, *_OTHER_SIDE)

    @property
    def header_fields(self) -> tuple[str, ...]:
        """Return the fields of SAP's that are read of a document's header for its items."""
        paths = (path.partition(".") for path in self.movement.source_fields)
        return tuple(field for entity, _, field in paths if entity == _HEADER)

    def parse_stock(self, rows: Sequence[Row]) -> tuple[list[StockRow], list[Rejection]]:
        """Map stock rows, and note in each its identity; those that can't be used come back as rejections."""
        for row in rows:
            row[_ROW_ID] = stock_row_id(row)
        records: list[StockRow] = []
        rejected: list[Rejection] = []
        for row, outcome in zip(rows, self.stock.apply_all(rows), strict=True):
            if isinstance(outcome, RecordError):
                rejected.append(reject(self.stock, row, outcome))
            elif outcome is not None:
                records.append(outcome)
        return records, rejected

    def parse_moved(self, header: Row, items: Iterable[Row]) -> tuple[list[MovedKey], list[Rejection]]:
        """Map the items of a material document.

        Of a transfer's other side only the key is told: SAP writes it as an item of its own, which says what it moved.
        """
        records: list[MovedKey] = []
        rejected: list[Rejection] = []
        for item in items:
            own = {**item, _HEADER: header}
            for raw in (own, *_other_sides(own)):
                try:
                    record: MovedKey | None = self.movement.apply(raw)
                except RecordError as error:
                    rejected.append(reject(self.movement, raw, error))
                    continue
                if record is not None:
                    records.append(record if raw is own else MovedKey(record.item, record.location))
        return records, rejected

    def parse_item(
        self, product: Row, names: Sequence[Row], units: Sequence[Row]
    ) -> tuple[ItemRecord | None, list[Rejection]]:
        """Map one product with its names and units; a bad unit costs its barcode, a bad product the whole record."""
        raw = {**product, "ProductDescription": self._choose_name(names)}
        try:
            article: ArticleRow | None = self.article.apply(raw)
        except RecordError as error:
            return None, [reject(self.article, raw, error)]
        if article is None:
            return None, []
        added = [
            {**unit, ADDED: {"factor": exact_quotient(unit.get("QuantityNumerator"), unit.get("QuantityDenominator"))}}
            for unit in units
        ]
        barcodes, rejected = map_barcodes(self.barcode, article, added)
        return build_item(article, barcodes), rejected

    def _choose_name(self, names: Sequence[Row]) -> str | None:
        by_language = {
            str(row.get("Language")).upper(): text
            for row in names
            if isinstance(text := row.get("ProductDescription"), str) and text.strip()
        }
        return choose_name(by_language, self._languages)


def _other_sides(item: Row) -> Iterator[Row]:
    """Yield the other side of a document's item where goods went to, or came from, another storage location."""
    if _text(item.get("IssuingOrReceivingStorageLoc")):
        yield {
            **item,
            "Material": _text(item.get("IssgOrRcvgMaterial")) or item.get("Material"),
            "Plant": _text(item.get("IssuingOrReceivingPlant")) or item.get("Plant"),
            "StorageLocation": item["IssuingOrReceivingStorageLoc"],
        }


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
