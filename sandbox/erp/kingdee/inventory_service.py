"""InventoryQueryService.GetInventoryData: the stock module's own query, with its own paging and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.kingdee.database import QUANTITY_SCALE
from sandbox.erp.kingdee.wire import is_true

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.erp.kingdee.world import World
    from sandbox.faults import Switchboard

_MOST_ROWS: Final = 10_000
_ORGANISATION_ID: Final = 1
_FILTERS: Final = {"fmaterialnumbers": "i.material", "fstocknumbers": "i.stock", "flotnumbers": "i.lot"}


def inventory_data(world: World, faults: Switchboard, data: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one page; `pageindex` counts from 1, `rowcount` is the number of rows of all pages."""
    given = {str(name).lower(): value for name, value in data.items()}
    if faults.strike("empty-answer", form="GetInventoryData") is not None:
        return {"success": True, "message": "", "rowcount": 0, "data": []}
    clauses, parameters = ["1"], []
    for name, column in _FILTERS.items():
        wanted = [part.strip() for part in str(given.get(name) or "").split(",") if part.strip()]
        if wanted:
            clauses.append(f"{column} COLLATE NOCASE IN ({', '.join('?' * len(wanted))})")
            parameters.extend(wanted)
    organisations = [part.strip() for part in str(given.get("fstockorgnumbers") or "").split(",") if part.strip()]
    if organisations and "100" not in organisations:
        clauses.append("0")
    try:
        size = min(max(int(given.get("pagerows") or _MOST_ROWS), 1), _MOST_ROWS)
        page = max(int(given.get("pageindex") or 1), 1)
    except (TypeError, ValueError):
        return {"success": False, "message": "pageindex或pagerows格式错误", "rowcount": 0, "data": []}
    source = "inventory i JOIN material m ON m.number = i.material JOIN warehouse w ON w.number = i.stock"
    where = " AND ".join(clauses)
    total = world.database.rows(f"SELECT count(*) FROM {source} WHERE {where}", tuple(parameters))[0][0]
    rows = world.database.rows(
        f"SELECT i.*, m.id AS material_id, m.unit, w.id AS stock_id FROM {source} WHERE {where} "
        "ORDER BY i.fid LIMIT ? OFFSET ?",
        (*parameters, size, (page - 1) * size),
    )
    with_variants = is_true(given.get("isshowauxprop"), default=False)
    return {
        "success": True,
        "message": "",
        "rowcount": total,
        "data": [_row(dict(row), with_variants=with_variants) for row in rows],
    }


def _row(row: Mapping[str, Any], *, with_variants: bool) -> dict[str, Any]:
    quantity, locked = row["quantity"], row["locked"]
    answered = {
        "FId": row["fid"],
        "FStockOrgId": _ORGANISATION_ID,
        "FStockId": row["stock_id"],
        "FStockNumber": row["stock"],
        "FMaterialId": row["material_id"],
        "FMaterialNumber": row["material"],
        "FLotNumber": row["lot"],
        "FStockStatusNumber": row["status"],
        "FOwnerTypeId": row["owner_type"],
        "FOwnerNumber": row["owner"],
        "FBaseUnitId": row["unit"],
        "FBaseQty": quantity / QUANTITY_SCALE,
        "FBASELOCKQTY": locked / QUANTITY_SCALE,
        "FBaseAvbQty": (quantity - locked) / QUANTITY_SCALE,
        "FSecQty": 0.0,
    }
    if with_variants:
        answered["FAuxProps"] = {"FF100001": row["colour"] or None, "FF100002": row["size"] or None}
    return answered
