"""View and QueryBusinessInfo: one object with its lines, and which fields a business object has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.kingdee.database import QUANTITY_SCALE, wire_time
from sandbox.erp.kingdee.forms import Kind, bill_forms, query_forms
from sandbox.erp.kingdee.model import lowered
from sandbox.erp.kingdee.wire import BAD_REQUEST, ApiError, status
from sandbox.erp.kingdee.world import load_model

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from sandbox.erp.kingdee.forms import BillForm
    from sandbox.erp.kingdee.world import World

_CHINESE: Final = 2052
_ENTRY_COLUMNS: Final = ("_FENTRYID", "_FSEQ")
_FLEX_MEMBER: Final = re.compile(r"FF\d+")
_ELEMENT_TYPES: Final = {Kind.TEXT: 1, Kind.QUANTITY: 2, Kind.DATE: 4, Kind.INTEGER: 9}


def view(world: World, form_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Answer View for a bill or a base-data object, by Number or Id.

    Raises:
        ApiError: MsgCode 4, no such business object or no such number.
    """
    given = lowered(data)
    number, wanted_id = str(given.get("number") or ""), str(given.get("id") or "")
    bill_id = int(wanted_id) if wanted_id.isdigit() else 0
    if form_id.lower() in bill_forms():
        bill = world.find_bill(form_id, number=number, bill_id=bill_id)
        if bill is None:
            raise _not_found(number or wanted_id)
        found = _bill(world, bill)
    else:
        found = _base_data(world, form_id, number)
    return {"Result": {"ResponseStatus": None, "Result": found}}


def _not_found(wanted: str) -> ApiError:
    return ApiError(f"传递的编码值不存在：{wanted}", BAD_REQUEST)


def _bill(world: World, bill: sqlite3.Row) -> dict[str, Any]:
    form = bill_forms()[bill["form"].lower()]
    entries = world.database.rows(
        "SELECT e.*, m.name AS material_name, m.id AS material_id FROM entry e "
        "JOIN material m ON m.number = e.material WHERE e.bill = ? ORDER BY e.line",
        (bill["id"],),
    )
    return {
        "Id": bill["id"],
        "BillNo": bill["number"],
        "DocumentStatus": bill["status"],
        "Date": wire_time(bill["date"]),
        "CreateDate": wire_time(bill["created"]),
        "ModifyDate": wire_time(bill["modified"]),
        "ApproveDate": wire_time(bill["approved"]),
        # custom head fields and the note come back as they were saved
        **{
            name.upper(): value for name, value in load_model(bill["model"]).items() if name.startswith(("f_", "fnote"))
        },
        form.entry_key: [_entry(entry, form) for entry in entries],
    }


def _entry(entry: sqlite3.Row, form: BillForm) -> dict[str, Any]:
    properties = {
        name: {"Number": entry[column]}
        for name, column in (("F100001", "colour"), ("F100002", "size"))
        if entry[column]
    }
    return {
        "Id": entry["id"],
        "Seq": entry["line"],
        "MaterialID": {
            "Id": entry["material_id"],
            "Number": entry["material"],
            "Name": [{"Key": _CHINESE, "Value": entry["material_name"]}],
        },
        "AuxPropID": properties or None,
        "UnitID": {"Number": entry["unit"]},
        form.quantity[1:]: entry["quantity"] / entry["factor"] / QUANTITY_SCALE,
        form.base_quantity[1:]: entry["quantity"] / QUANTITY_SCALE,
        "StockID": {"Number": entry["source"] or entry["target"]},
        "SrcStockID": {"Number": entry["source"] or None},
        "DestStockID": {"Number": entry["target"] or None},
        "Lot_Text": entry["lot"] or None,
        "StockStatusID": {"Number": entry["from_status"]},
    }


def _base_data(world: World, form_id: str, number: str) -> dict[str, Any]:
    form = query_forms().get(form_id.lower())
    numbering = form.column("FNumber") if form else None
    if form is None or numbering is None:
        raise ApiError(f"业务对象{form_id}不存在，请检查FormId。", BAD_REQUEST)
    fields = ", ".join(column.sql for column in form.columns.values())
    rows = world.database.rows(
        f"SELECT {fields} FROM {form.source} WHERE {numbering.sql} = ? COLLATE NOCASE", (number,)
    )
    if not rows:
        raise _not_found(number)
    named = dict(zip((column.name for column in form.columns.values()), tuple(rows[0]), strict=True))
    return {name.removeprefix("F"): value for name, value in named.items()}


def business_info(data: Mapping[str, Any]) -> dict[str, Any]:
    """Answer QueryBusinessInfo: the elements that FieldKeys may name, each by its key alone, in upper case.

    What FieldKeys puts behind a dot is a property of another object and is not described, but the members of a flex
    field (auxiliary properties, 辅助属性) are: `FAuxPropId.FF100001.FNumber` is one of `FAUXPROPID__FF100001`.

    Raises:
        ApiError: MsgCode 4, no such business object.
    """
    form_id = str(lowered(data).get("formid") or "")
    form = query_forms().get(form_id.lower())
    if form is None:
        raise ApiError(f"业务对象{form_id}不存在，请检查FormId。", BAD_REQUEST)
    types = {key: _ELEMENT_TYPES[column.kind] for column in form.columns.values() for key in _element_keys(column.name)}
    fields = [{"Key": key, "FieldName": key, "ElementType": kind} for key, kind in types.items()]
    bill = bill_forms().get(form_id.lower())
    keys = ["FBillHead", *([bill.entry_key] if bill else [])]
    described = {
        "Id": form.form_id,
        "Name": [{"Key": _CHINESE, "Value": form.title}],
        "PkFieldName": "FID",
        "Entrys": [
            {"Key": key, "EntryPkFieldName": "FEntryID", "Fields": fields if key == keys[-1] else []} for key in keys
        ],
    }
    return {"Result": {"ResponseStatus": status(), "NeedReturnData": described}}


def _element_keys(name: str) -> list[str]:
    """Return the keys of the elements behind a name of FieldKeys; none for an entry's id and number."""
    base, *members = name.upper().split(".")
    if base in {"FID", "FENTRYID"} or base.endswith(_ENTRY_COLUMNS):
        return []
    return [base, f"{base}__{members[0]}"] if members and _FLEX_MEMBER.fullmatch(members[0]) else [base]
