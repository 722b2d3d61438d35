"""The business objects (业务对象): which fields can be queried, and what each kind of bill does to stock.

Field names are those of the vendor's public field lists; the server takes them in any case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sandbox.erp.kingdee.credentials import ORG_NUM

if TYPE_CHECKING:
    from collections.abc import Mapping

ORG_NAME: Final = "青禾零售有限公司"
# A custom head field of a tenant (F_…) or the free-text note: kept as saved, and open to queries.
_CUSTOM = re.compile(r"f_\w+|fnote", re.IGNORECASE)


class Kind(Enum):
    """How a column compares and how it looks on the wire."""

    TEXT = "text"
    QUANTITY = "quantity"
    DATE = "date"
    INTEGER = "integer"


@dataclass(frozen=True, slots=True)
class Column:
    """One queryable field: its name as documented, the SQL behind it and its kind."""

    name: str
    sql: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Form:
    """One business object as queries see it; `tiebreak` is an integer that differs in every row."""

    form_id: str
    title: str
    source: str
    tiebreak: str
    columns: Mapping[str, Column]
    custom: bool = False

    def column(self, name: str) -> Column | None:
        """Return the field of that name in whatever case, or None."""
        found = self.columns.get(name.lower())
        if found is None and self.custom and _CUSTOM.fullmatch(name):
            return Column(name, f"json_extract(b.model, '$.{name.lower()}')")
        return found


@dataclass(frozen=True, slots=True)
class BillForm:
    """What a kind of bill is called and does: it `takes` from a warehouse, `puts` into one, or moves no stock.

    `quantity` is the entry's field in the unit of entry, `base_quantity` the one in the base unit.
    """

    form_id: str
    title: str
    prefix: str
    entry_key: str
    quantity: str
    base_quantity: str
    takes: bool = False
    puts: bool = False
    source_field: str = ""
    target_field: str = ""
    required: tuple[str, ...] = ()
    required_in_entry: tuple[str, ...] = ()
    extra: tuple[str, ...] = field(default=())

    def drew(self, number: str) -> bool:
        """Return whether a bill's number is one that the form drew, and not one that somebody gave it."""
        return re.fullmatch(rf"{self.prefix}\d{{6,}}", number) is not None


_ORDER_HEAD = ("FBillTypeID", "FDate", "FSaleOrgId", "FCustId", "FSalerId", "FSaleOrderFinance.FSettleCurrId")
_ORDER_ENTRY = ("FUnitID", "FPriceUnitId", "FStockUnitID", "FSettleOrgIds", "FDeliveryDate")
_BILLS = (
    BillForm(
        *("SAL_OUTSTOCK", "销售出库单", "XSCKD", "FEntity", "FRealQty", "FBaseUnitQty"),
        takes=True,
        source_field="FStockID",
        required=("FDate", "FSaleOrgId", "FCustomerID", "FStockOrgId"),
    ),
    BillForm(
        *("STK_InStock", "采购入库单", "CGRK", "FInStockEntry", "FRealQty", "FBaseUnitQty"),
        puts=True,
        target_field="FStockID",
        required=("FDate", "FStockOrgId", "FSupplierId"),
    ),
    BillForm(
        *("STK_TransferDirect", "直接调拨单", "ZJDB", "FBillEntry", "FQty", "FBaseQty"),
        takes=True,
        puts=True,
        source_field="FSrcStockID",
        target_field="FDestStockID",
        required=("FDate", "FStockOrgId"),
        extra=("FTransferDirect", "FBizType"),
    ),
    BillForm(
        *("SAL_RETURNSTOCK", "销售退货单", "XSTHD", "FEntity", "FRealQty", "FBaseUnitQty"),
        puts=True,
        target_field="FStockID",
        required=("FDate", "FSaleOrgId", "FRetcustId", "FStockOrgId"),
    ),
    BillForm(
        *("STK_StockCountGain", "盘盈单", "PYD", "FBillEntry", "FGainQty", "FBaseGainQty"),
        puts=True,
        target_field="FStockID",
        required=("FDate", "FStockOrgId"),
    ),
    BillForm(
        *("STK_StockCountLoss", "盘亏单", "PKD", "FBillEntry", "FLossQty", "FBaseLossQty"),
        takes=True,
        source_field="FStockID",
        required=("FDate", "FStockOrgId"),
    ),
    BillForm(
        *("STK_StatusConvert", "库存状态转换单", "KCZT", "FEntity", "FQty", "FBaseQty"),
        takes=True,
        puts=True,
        source_field="FStockID",
        required=("FDate", "FStockOrgId"),
    ),
    BillForm(
        *("SAL_SaleOrder", "销售订单", "XSDD", "FSaleOrderEntry", "FQty", "FBaseUnitQty"),
        required=_ORDER_HEAD,
        required_in_entry=_ORDER_ENTRY,
    ),
)


def _columns(*columns: Column) -> dict[str, Column]:
    return {column.name.lower(): column for column in columns}


def _variant_columns(alias: str, prefix: str = "FAuxPropId") -> tuple[Column, ...]:
    # 颜色 and 尺码; the parent field alone can't be queried, as on real tenants
    colour, size = f"{prefix}.FF100001", f"{prefix}.FF100002"
    return (
        Column(f"{colour}.FNumber", f"NULLIF({alias}.colour, '')"),
        Column(f"{colour}.FName", f"(SELECT name FROM auxiliary WHERE number = {alias}.colour)"),
        Column(f"{size}.FNumber", f"NULLIF({alias}.size, '')"),
        Column(f"{size}.FName", f"(SELECT name FROM auxiliary WHERE number = {alias}.size)"),
    )


def _material_columns(number: str = "m.number") -> tuple[Column, ...]:
    return (
        Column("FMaterialId", "m.id", Kind.INTEGER),
        Column("FMaterialId.FNumber", number),
        Column("FMaterialId.FName", "m.name"),
        Column("FMaterialId.FSpecification", "m.specification"),
    )


def _inventory() -> Form:
    quantity = Kind.QUANTITY
    columns = _columns(
        Column("FID", "i.fid"),
        Column("FStockOrgId.FNumber", f"'{ORG_NUM}'"),
        Column("FStockOrgId.FName", f"'{ORG_NAME}'"),
        Column("FOwnerTypeId", "i.owner_type"),
        Column("FOwnerId.FNumber", "i.owner"),
        Column("FKeeperTypeId", "'BD_KeeperOrg'"),
        Column("FKeeperId.FNumber", "i.keeper"),
        Column("FStockId", "w.id", Kind.INTEGER),
        Column("FStockId.FNumber", "i.stock"),
        Column("FStockId.FName", "w.name"),
        Column("FStockLocId", "0", Kind.INTEGER),
        *_material_columns("i.material"),
        *_variant_columns("i"),
        Column("FLot.FNumber", "NULLIF(i.lot, '')"),
        Column("FProduceDate", "NULLIF(i.produced, '')", Kind.DATE),
        Column("FExpiryDate", "NULLIF(i.expires, '')", Kind.DATE),
        Column("FStockStatusId.FNumber", "i.status"),
        Column("FBaseUnitId.FNumber", "m.unit"),
        Column("FBaseUnitId.FName", "u.name"),
        Column("FStockUnitId.FNumber", "m.unit"),
        *(Column(name, "i.quantity", quantity) for name in ("FBaseQty", "FQty")),
        *(Column(name, "i.locked", quantity) for name in ("FBaseLockQty", "FLockQty")),
        *(Column(name, "(i.quantity - i.locked)", quantity) for name in ("FBaseAVBQty", "FAVBQty")),
        *(Column(name, "0", quantity) for name in ("FSecQty", "FSecLockQty", "FSecAVBQty")),
        Column("FUpdateTime", "i.updated", Kind.DATE),
    )
    source = (
        "inventory i JOIN material m ON m.number = i.material JOIN warehouse w ON w.number = i.stock "
        "JOIN unit u ON u.number = m.unit"
    )
    return Form("STK_Inventory", "即时库存", source, "i.seq", columns)


def _material() -> Form:
    columns = _columns(
        Column("FMATERIALID", "m.id", Kind.INTEGER),
        Column("FNumber", "m.number"),
        Column("FName", "m.name"),
        Column("FSpecification", "m.specification"),
        Column("FBARCODE", "m.barcode"),
        Column("FBaseUnitId.FNumber", "m.unit"),
        Column("FBaseUnitId.FName", "u.name"),
        Column("FMaterialGroup.FNumber", "m.group_number"),
        Column("FMaterialGroup.FName", "m.group_name"),
        Column("FForbidStatus", "m.forbidden"),
        Column("FDocumentStatus", "'C'"),
        Column("FCreateDate", "m.modified", Kind.DATE),
        Column("FModifyDate", "m.modified", Kind.DATE),
        Column("FUseOrgId.FNumber", f"'{ORG_NUM}'"),
        Column("FCreateOrgId.FNumber", f"'{ORG_NUM}'"),
    )
    return Form("BD_MATERIAL", "物料", "material m JOIN unit u ON u.number = m.unit", "m.id", columns)


def _warehouse() -> Form:
    columns = _columns(
        Column("FStockId", "w.id", Kind.INTEGER),
        Column("FNumber", "w.number"),
        Column("FName", "w.name"),
        Column("FDocumentStatus", "'C'"),
        Column("FForbidStatus", "'A'"),
        Column("FModifyDate", "w.modified", Kind.DATE),
        Column("FUseOrgId.FNumber", f"'{ORG_NUM}'"),
        Column("FCreateOrgId.FNumber", f"'{ORG_NUM}'"),
    )
    return Form("BD_STOCK", "仓库", "warehouse w", "w.id", columns)


def _barcode() -> Form:
    columns = _columns(
        Column("FID", "c.id", Kind.INTEGER),
        Column("FNumber", "c.number"),
        Column("FBarCode", "c.number"),
        *_material_columns(),
        *_variant_columns("c"),
        Column("FUnitId.FNumber", "c.unit"),
        Column("FUnitId.FName", "u.name"),
        Column("FDocumentStatus", "'C'"),
        Column("FForbidStatus", "'A'"),
        Column("FModifyDate", "c.modified", Kind.DATE),
    )
    source = "barcode c JOIN material m ON m.number = c.material JOIN unit u ON u.number = c.unit"
    return Form("BD_BarCodeMaster", "条码主档", source, "c.id", columns)


def _bill_query(bill: BillForm) -> Form:
    entry_ids = {"FEntity_FEntryID", f"{bill.entry_key}_FEntryID", "FEntryID"}
    stock_fields = {bill.source_field: "e.source", bill.target_field: "e.target"}
    if bill.form_id != "STK_TransferDirect":
        stock_fields["FStockID"] = "COALESCE(NULLIF(e.source, ''), e.target)"
    places = [(name, sql) for name, sql in stock_fields.items() if name]
    columns = _columns(
        Column("FID", "b.id", Kind.INTEGER),
        Column("FBillNo", "b.number"),
        Column("FDate", "b.date", Kind.DATE),
        Column("FDocumentStatus", "b.status"),
        Column("FCreateDate", "b.created", Kind.DATE),
        Column("FModifyDate", "b.modified", Kind.DATE),
        Column("FApproveDate", "b.approved", Kind.DATE),
        *(Column(f"{name}.FNumber", f"'{ORG_NUM}'") for name in ("FStockOrgId", "FSaleOrgId")),
        *(Column(name, f"json_extract(b.model, '$.{name.lower()}')") for name in bill.extra),
        *(Column(name, "e.id", Kind.INTEGER) for name in sorted(entry_ids)),
        *(Column(f"{bill.entry_key}_FSeq", "e.line", Kind.INTEGER), Column("FSeq", "e.line", Kind.INTEGER)),
        *_material_columns(),
        *_variant_columns("e"),
        Column(bill.quantity, "(e.quantity / e.factor)", Kind.QUANTITY),
        Column(bill.base_quantity, "e.quantity", Kind.QUANTITY),
        Column("FBaseUnitID.FNumber", "m.unit"),
        Column("FUnitID.FNumber", "e.unit"),
        Column("FLot.FNumber", "NULLIF(e.lot, '')"),
        Column("FStockStatusID.FNumber", "e.from_status"),
        *(Column(f"{name}.FNumber", f"NULLIF({sql}, '')") for name, sql in places),
        *(Column(f"{name}.FName", f"(SELECT name FROM warehouse WHERE number = {sql})") for name, sql in places),
    )
    source = (
        f"(SELECT * FROM bill WHERE form = '{bill.form_id}') b JOIN entry e ON e.bill = b.id "
        "JOIN material m ON m.number = e.material"
    )
    return Form(bill.form_id, bill.title, source, "e.id", columns, custom=True)


@lru_cache(maxsize=1)
def bill_forms() -> dict[str, BillForm]:
    """Return the kinds of bill, by lower-case form id."""
    return {bill.form_id.lower(): bill for bill in _BILLS}


@lru_cache(maxsize=1)
def query_forms() -> dict[str, Form]:
    """Return everything that can be queried, by lower-case form id."""
    forms = (_inventory(), _material(), _warehouse(), _barcode(), *(_bill_query(bill) for bill in _BILLS))
    return {form.form_id.lower(): form for form in forms}
