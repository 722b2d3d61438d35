"""Writing: the deep insert of a material document, and the function imports that cancel one."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.sap import model
from sandbox.erp.sap.errors import ODataError, bad_request
from sandbox.erp.sap.filters import Condition
from sandbox.erp.sap.literals import parse_literal, stored_value, thousandths
from sandbox.erp.sap.model import DATE_TIME, DECIMAL, STRING, Property
from sandbox.erp.sap.movements import Header, Movement, PostingError, unit_factor

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from sandbox.erp.sap.model import EntitySet, FunctionImport
    from sandbox.erp.sap.world import Posted, World

_ITEMS: Final = "to_MaterialDocumentItem"
_TICKS: Final = re.compile(r"/Date\((-?\d+)\)/")
_REQUIRED: Final = ("Material", "Plant", "StorageLocation", "GoodsMovementType", "QuantityInEntryUnit")


def create_document(world: World, body: bytes, user: str) -> Posted:
    """Post the material document that a deep insert describes.

    Raises:
        ODataError: the body is malformed, or SAP's posting logic refuses it (status 400).
    """
    content = _read_json(body)
    items = content.pop(_ITEMS, None)
    if isinstance(items, dict):
        items = items.get("results")
    if not isinstance(items, list) or not items:
        raise bad_request("A material document needs at least one item", "物料凭证至少需要一个行项目")
    values = _checked(content, model.HEADER)
    header = Header(
        code=str(values.get("GoodsMovementCode", "")),
        reference=str(values.get("ReferenceDocument", "")),
        text=str(values.get("MaterialDocumentHeaderText", "")),
        user=user,
        posting_date=_date(values, "PostingDate"),
        document_date=_date(values, "DocumentDate"),
    )
    try:
        with world.store.transaction() as connection:
            movements = [_movement(connection, _checked(item, model.ITEM)) for item in items]
        return world.post_document(header, movements)
    except PostingError as refused:
        raise _refusal(refused) from refused


def call_function(world: World, function: FunctionImport, query: Mapping[str, str], user: str) -> Condition:
    """Cancel a document or one item; return the key of the entity that the function answers.

    Raises:
        ODataError: a parameter is missing or malformed, or the reversal is refused (status 400).
    """
    given: dict[str, Any] = {}
    for name, edm_type in function.parameters:
        if name in query:
            given[name] = stored_value(parse_literal(query[name]), Property(name, edm_type))
        elif name != "PostingDate":
            raise bad_request(f"Invalid Function Import Parameter '{name}'")
    try:
        posted = world.cancel(
            given["MaterialDocument"],
            given["MaterialDocumentYear"],
            item=given.get("MaterialDocumentItem"),
            posting_date=given.get("PostingDate"),
            user=user,
        )
    except PostingError as refused:
        raise _refusal(refused) from refused
    key = document_key(posted)
    if function.returns == model.ITEM.name:
        return Condition(f'{key.sql} AND "MaterialDocumentItem" = ?', (*key.parameters, "0001"))
    return key


def document_key(posted: Posted) -> Condition:
    """Return the condition that finds a posted document."""
    return Condition('"MaterialDocumentYear" = ? AND "MaterialDocument" = ?', (posted.year, posted.number))


def _refusal(refused: PostingError) -> ODataError:
    return ODataError(400, refused.code, refused.english, refused.chinese)


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        raise bad_request("Error while parsing the request body") from None
    if isinstance(content, dict) and set(content) == {"d"}:
        content = content["d"]
    if not isinstance(content, dict):
        raise bad_request("Error while parsing the request body")
    return content


def _checked(content: object, entity_set: EntitySet) -> dict[str, str | int | None]:
    """Return the given properties as the books store them, after checks of name, type and length."""
    if not isinstance(content, dict):
        raise bad_request("Error while parsing the request body")
    values: dict[str, str | int | None] = {}
    for name, value in content.items():
        prop = entity_set.by_name.get(name)
        if prop is None:
            if name in {"__metadata", *entity_set.navigation_by_name}:
                continue
            raise bad_request(f"Property '{name}' is invalid for type '{entity_set.type_name}'")
        values[name] = None if value is None else _checked_value(prop, value)
    return values


def _checked_value(prop: Property, value: object) -> str | int | None:
    # V2 carries decimals and dates as strings, too; only booleans are bare.
    if isinstance(value, bool) and prop.type == model.BOOLEAN:
        return int(value)
    if not isinstance(value, str):
        raise _invalid(prop)
    if prop.type == DECIMAL:
        return _quantity(prop, value)
    if prop.type == DATE_TIME:
        ticks = _TICKS.fullmatch(value)
        return int(ticks[1]) if ticks else stored_value(parse_literal(f"datetime'{value}'"), prop)
    if prop.type == STRING and prop.length is not None and len(value) > prop.length:
        raise _invalid(prop)
    return value


def _quantity(prop: Property, text: str) -> int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise _invalid(prop) from None
    scaled = thousandths(value) if value.is_finite() else None
    if scaled is None:
        raise _invalid(prop)
    return scaled


def _invalid(prop: Property) -> ODataError:
    return bad_request(f"Property '{prop.name}' has an invalid value", f"属性 '{prop.name}' 的值无效")


def _date(values: Mapping[str, str | int | None], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None


def _movement(connection: sqlite3.Connection, values: Mapping[str, str | int | None]) -> Movement:
    missing = [name for name in _REQUIRED if not values.get(name)]
    if missing:
        raise ODataError(400, "M7/018", f"Enter {missing[0]}", f"请输入 {missing[0]}")
    material, unit = str(values["Material"]), str(values.get("EntryUnit") or "")
    factor = unit_factor(connection, material, unit)
    return Movement(
        movement_type=str(values["GoodsMovementType"]),
        material=material,
        plant=str(values["Plant"]),
        location=str(values["StorageLocation"]),
        quantity=int(values["QuantityInEntryUnit"] or 0) * factor,
        batch=str(values.get("Batch") or ""),
        to_plant=str(values.get("IssuingOrReceivingPlant") or ""),
        to_location=str(values.get("IssuingOrReceivingStorageLoc") or ""),
        entry_unit=unit,
        entry_factor=factor,
        text=str(values.get("MaterialDocumentItemText") or ""),
    )
