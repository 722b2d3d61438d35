"""What both transports make of an article once its parts are read: one record, its barcodes, or a rejection. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.contracts import BarcodeRecord, ItemRecord, Rejection
from hub.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hub.mapping import ArticleRow, BarcodeRow
    from hub.mapping import Mapping as MappingFile

ADDED = "connector"
"""The raw field under which a connector puts what it worked out itself; mapping files call it `connector.NAME`."""

_ONE = Decimal(1)


def build_item(article: ArticleRow, barcodes: Iterable[BarcodeRecord]) -> ItemRecord:
    """Return the record of an article."""
    attributes = {"colour": article.colour, "size": article.size}
    return ItemRecord(
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


def map_barcodes(
    mapping: MappingFile, article: ArticleRow, raws: Iterable[Mapping[str, Any]]
) -> tuple[list[BarcodeRecord], list[Rejection]]:
    """Map the codes of an article's units; a bad one costs itself alone."""
    found = {article.gtin: BarcodeRecord(article.gtin, _ONE)} if article.gtin else {}
    rejected: list[Rejection] = []
    for raw in raws:
        try:
            row: BarcodeRow | None = mapping.apply(raw)
            if row is not None:
                _check_factor(row, found.get(row.code))
                found[row.code] = BarcodeRecord(row.code, row.factor)
        except RecordError as error:
            rejected.append(reject(mapping, raw, error, item=article.item))
    return list(found.values()), rejected


def choose_name(by_language: Mapping[str, str], languages: Sequence[str]) -> str | None:
    """Return the name in the best language there is; any other comes after those preferred."""
    for language in languages:
        if language in by_language:
            return by_language[language]
    return by_language[min(by_language)] if by_language else None


def reject(mapping: MappingFile, raw: Mapping[str, Any], error: RecordError, item: str | None = None) -> Rejection:
    """Return the rejection of a raw record, with the key as far as it can be read."""
    location = mapping.field(raw, "location") if "location" in mapping.targets else None
    return Rejection(error.reason, error.message, raw, item or mapping.field(raw, "item"), location)


def _check_factor(row: BarcodeRow, known: BarcodeRecord | None) -> None:
    """Refuse a factor that no package can have, or that contradicts the same code on another unit."""
    if row.factor <= 0:
        raise RecordError(f"factor: {row.code} would hold {row.factor} base units", reason="bad_value", field="factor")
    if known is not None and known.factor != row.factor:
        message = f"factor: {row.code} holds {row.factor} on unit {row.unit} and {known.factor} on another"
        raise RecordError(message, reason="bad_value", field="factor")
