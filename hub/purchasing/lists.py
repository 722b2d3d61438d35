"""Lists of suppliers as CSV: one line for each supplier of an article."""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TextIO

from hub.errors import ConfigError
from hub.purchasing.suppliers import Offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

COLUMNS = ("sku", "supplier", "position", "lead_time_days", "article_no", "minimum_quantity", "order_multiple")
_REQUIRED = frozenset({"sku", "supplier", "position"})


def write_offers(file: TextIO, offers: Iterable[Offer]) -> None:
    """Write lists with a header; what is not known is empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for offer in offers:
        days = "" if offer.lead_time_days is None else offer.lead_time_days
        multiple = "" if offer.multiple is None else f"{offer.multiple.normalize():f}"
        quantities = (f"{offer.minimum.normalize():f}", multiple)
        writer.writerow((offer.sku, offer.supplier, offer.position, days, offer.article_no, *quantities))


def read_offers(path: Path) -> list[Offer]:
    """Read lists; columns may stand in any order, and only sku, supplier and position must be there.

    Raises:
        ConfigError: says file, line and what is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(csv.DictReader(file), str(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"can't be read as CSV in UTF-8: {error}", file=str(path)) from error


def _read(rows: csv.DictReader[str], file: str) -> list[Offer]:
    given = set(rows.fieldnames or ())
    if not given >= _REQUIRED or not given <= set(COLUMNS):
        raise ConfigError(f"the header must name {', '.join(COLUMNS)}", file=file, line=1)
    offers: list[Offer] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        offer = _offer(row, file, rows.line_num)
        if (offer.sku, offer.supplier) in seen:
            raise ConfigError(
                f"{offer.supplier} stands twice in the list of {offer.sku}", file=file, line=rows.line_num
            )
        seen.add((offer.sku, offer.supplier))
        offers.append(offer)
    return offers


def _offer(row: Mapping[str | None, str | None], file: str, line: int) -> Offer:
    if None in row or None in row.values():
        raise ConfigError("the line has more or fewer columns than the header", file=file, line=line)
    text = {str(name): (value or "").strip() for name, value in row.items()}
    if not text["sku"] or not text["supplier"]:
        raise ConfigError("sku and supplier must not be empty", file=file, line=line)
    try:
        return Offer(
            sku=text["sku"],
            supplier=text["supplier"],
            position=int(text["position"]),
            lead_time_days=int(text["lead_time_days"]) if text.get("lead_time_days") else None,
            article_no=text.get("article_no", ""),
            minimum=Decimal(text.get("minimum_quantity") or 0),
            multiple=Decimal(text["order_multiple"]) if text.get("order_multiple") else None,
        )
    except (ValueError, InvalidOperation):
        raise ConfigError("position, lead time and quantities must be numbers", file=file, line=line) from None
