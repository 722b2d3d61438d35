"""Mapping files for the tests: a whole one for stock rows, and a way to load any text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hub.mapping import RECORDS, load_mapping

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hub.mapping import Mapping

    Load = Callable[..., Mapping]

STOCK = """\
version: 3
source: {system: kingdee, object: STK_Inventory}
target: StockRow
external_tables: [units]
example_tables: {units: {Pcs: EA}}
tables:
  status: {KCZT01_SYS: sellable, KCZT02_SYS: quality}
fields:
  row_id: {from: FID, required: true}
  item: {from: [FMaterialId.FNumber, FAuxPropId.FF100001.FNumber], transform: [strip, {join: "|"}], required: true}
  location: {from: FStockId.FNumber, transform: [strip]}
  status: {from: FStockStatusId.FNumber, lookup: status, default: other}
  quantity: {from: FBaseQty, transform: [decimal], required: true}
  unit: {from: FBaseUnitId.FNumber, lookup: units}
  owner: {const: ""}
  lot: {from: FLot.FNumber, transform: [strip]}
  expires_on: {from: FExpiryDate, transform: [date]}
  changed_at: {from: FUpdateTime, transform: [{datetime: {tz: Asia/Shanghai}}]}
keep_when: {FForbidStatus: {equals: A}, FOwner: {not_in: [OTHER]}}
examples:
  - in: {FID: 0012, FMaterialId.FNumber: " ab-1 ", FStockId.FNumber: NO, FBaseQty: "3.0", FBaseUnitId.FNumber: Pcs,
         FUpdateTime: "2026-11-22T10:11:12.123", FStockStatusId.FNumber: KCZT01_SYS, FForbidStatus: A}
    out: {row_id: 0012, item: ab-1, location: NO, quantity: 3, status: sellable, unit: EA, expires_on: null,
          changed_at: 2026-11-22T02:11:12.123Z}
  - in: {FForbidStatus: B}
    skip: true
  - in: {FForbidStatus: A}
    error: missing_field
"""


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Return a function that writes a text to a file of its own and loads it."""

    def write_and_load(text: str, records: Any = RECORDS) -> Mapping:
        path: Path = tmp_path_factory.mktemp("mapping") / "stock.yaml"
        path.write_text(text, encoding="utf-8")
        return load_mapping(path, records)

    return write_and_load


@pytest.fixture(scope="session")
def stock_text() -> str:
    """Return the text of a whole mapping file."""
    return STOCK


@pytest.fixture(scope="session")
def stock(load: Load) -> Mapping:
    """Return the stock mapping with its external table."""
    return load(STOCK).with_tables({"units": {"Pcs": "EA"}})
