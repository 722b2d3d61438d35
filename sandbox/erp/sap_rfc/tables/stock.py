"""Stock: MARD and MCHB with a retailer's own stock, the special stocks apart from them, batches, and the places.

Consignment stock stands in MKOL, stock for a sales order in MSKA. The books know no expiry dates (有效期);
they are made up here from the number of the batch.
"""

from __future__ import annotations

from typing import Final

from sandbox.erp.sap.auth import SAP_CLIENT
from sandbox.erp.sap_rfc.dictionary import CLIENT, Column, Table, char, date, digits, matnr, quantity

_QUANTITY: Final = '"MatlWrhsStkQtyInMatlBaseUnit"'
# 2027-01-01 and a day, in milliseconds: where made-up expiry dates start.
_FIRST_EXPIRY: Final = 1_798_761_600_000
_DAY: Final = 86_400_000
_EXPIRY: Final = (
    "CASE CAST(substr(d.batch, -3) AS INTEGER) % 4 WHEN 0 THEN NULL"
    f" ELSE {_FIRST_EXPIRY} + CAST(substr(d.batch, -3) AS INTEGER) % 12 * 30 * {_DAY} END"
)
_STOCK_TYPES: Final = {"unrestricted": "'01'", "quality": "'02'", "returns": "'03'", "transit": "'04', '06'"}
_BLOCKED: Final = "'07'"


def _stock(types: str, special: str = "") -> str:
    """Return SQL for the sum of some stock types, of the retailer's own stock unless a special stock is named."""
    condition = f's."InventoryStockType" IN ({types}) AND s."InventorySpecialStockType" = \'{special}\''
    return f"COALESCE(SUM(s.{_QUANTITY}) FILTER (WHERE {condition}), 0)"


def _stock_of(batched: str) -> str:
    """Return the source of MARD (`batched` '=') or MCHB ('<>'): places with their stock rows, if any are left."""
    same_batch = ' AND s."Batch" = d.batch' if batched == "<>" else ""
    return (
        'storage_data d LEFT JOIN stock s ON s."Material" = d.material AND s."Plant" = d.plant'
        f" AND s.\"StorageLocation\" = d.location{same_batch} WHERE d.batch {batched} ''"
        " GROUP BY d.matnr, d.plant, d.location, d.batch"
    )


def _place(*, batch: bool = False) -> tuple[Column, ...]:
    columns = (
        CLIENT,
        char("MATNR", 18, "Material", "d.matnr", key=True),
        char("WERKS", 4, "Plant", "d.plant", key=True),
        char("LGORT", 4, "Storage location", "d.location", key=True),
    )
    return (*columns, char("CHARG", 10, "Batch", "d.batch", key=True)) if batch else columns


MARD: Final = Table(
    "MARD",
    "Storage Location Data for Material",
    (
        *_place(),
        char("PSTAT", 15, "Maintenance status"),
        char("LVORM", 1, "Deletion flag"),
        digits("LFGJA", 4, "Fiscal year of current period"),
        digits("LFMON", 2, "Current period"),
        char("SPERR", 1, "Physical inventory blocking"),
        quantity("LABST", "Unrestricted", _stock(_STOCK_TYPES["unrestricted"])),
        quantity("UMLME", "Stock in transfer", _stock(_STOCK_TYPES["transit"])),
        quantity("INSME", "In quality inspection", _stock(_STOCK_TYPES["quality"])),
        quantity("EINME", "Restricted-use stock"),
        quantity("SPEME", "Blocked", _stock(_BLOCKED)),
        quantity("RETME", "Returns", _stock(_STOCK_TYPES["returns"])),
        quantity("VMLAB", "Unrestricted, previous period"),
        char("LGPBE", 10, "Storage bin"),
        quantity("KLABS", "Consignment, unrestricted", _stock(_STOCK_TYPES["unrestricted"], "K")),
        quantity("KINSM", "Consignment, quality", _stock(_STOCK_TYPES["quality"], "K")),
        quantity("KEINM", "Consignment, restricted-use"),
        quantity("KSPEM", "Consignment, blocked", _stock(_BLOCKED, "K")),
        date("DLINL", "Date of last count"),
        date("ERSDA", "Created on"),
    ),
    _stock_of("="),
)

MCHB: Final = Table(
    "MCHB",
    "Batch Stocks",
    (
        *_place(batch=True),
        char("LVORM", 1, "Deletion flag"),
        date("ERSDA", "Created on"),
        quantity("CLABS", "Unrestricted", _stock(_STOCK_TYPES["unrestricted"])),
        quantity("CUMLM", "Stock in transfer", _stock(_STOCK_TYPES["transit"])),
        quantity("CINSM", "In quality inspection", _stock(_STOCK_TYPES["quality"])),
        quantity("CEINM", "Restricted-use stock"),
        quantity("CSPEM", "Blocked", _stock(_BLOCKED)),
        quantity("CRETM", "Returns", _stock(_STOCK_TYPES["returns"])),
    ),
    _stock_of("<>"),
)

_BATCH_DATA: Final = (
    char("LVORM", 1, "Deletion flag"),
    date("ERSDA", "Created on"),
    char("ERNAM", 12, "Created by"),
    date("LAEDA", "Last change"),
    char("LICHA", 15, "Supplier batch"),
    date("VFDAT", "Expiry date", _EXPIRY),
    date("HSDAT", "Date of manufacture"),
)

MCH1: Final = Table(
    "MCH1",
    "Batches (if Batch Management Cross-Plant)",
    (
        CLIENT,
        char("MATNR", 18, "Material", "d.matnr", key=True),
        char("CHARG", 10, "Batch", "d.batch", key=True),
        *_BATCH_DATA,
    ),
    "storage_data d WHERE d.batch <> '' GROUP BY d.matnr, d.batch",
)

MCHA: Final = Table(
    "MCHA",
    "Batches",
    (
        CLIENT,
        char("MATNR", 18, "Material", "d.matnr", key=True),
        char("WERKS", 4, "Plant", "d.plant", key=True),
        char("CHARG", 10, "Batch", "d.batch", key=True),
        *_BATCH_DATA,
    ),
    "storage_data d WHERE d.batch <> '' GROUP BY d.matnr, d.plant, d.batch",
)


def _special(code: str, *owner: Column) -> tuple[Column, ...]:
    return (
        CLIENT,
        matnr('s."Material"'),
        char("WERKS", 4, "Plant", 's."Plant"', key=True),
        char("LGORT", 4, "Storage location", 's."StorageLocation"', key=True),
        char("CHARG", 10, "Batch", 's."Batch"', key=True),
        char("SOBKZ", 1, "Special stock", f"'{code}'", key=True),
        *owner,
    )


def _special_source(code: str, group: str) -> str:
    return (
        f"stock s WHERE s.\"InventorySpecialStockType\" = '{code}'"
        f' GROUP BY s."Material", s."Plant", s."StorageLocation", s."Batch", {group}'
    )


MKOL: Final = Table(
    "MKOL",
    "Special Stocks from Vendor",
    (
        *_special("K", char("LIFNR", 10, "Vendor", "substr('0000000000' || s.\"Supplier\", -10)", key=True)),
        quantity("SLABS", "Unrestricted", _stock(_STOCK_TYPES["unrestricted"], "K")),
        quantity("SINSM", "In quality inspection", _stock(_STOCK_TYPES["quality"], "K")),
        quantity("SSPEM", "Blocked", _stock(_BLOCKED, "K")),
    ),
    _special_source("K", 's."Supplier"'),
)

MSKA: Final = Table(
    "MSKA",
    "Sales Order Stock",
    (
        *_special(
            "E",
            char("VBELN", 10, "Sales document", 's."SDDocument"', key=True),
            digits("POSNR", 6, "Item", 's."SDDocumentItem"', key=True),
        ),
        quantity("KALAB", "Unrestricted", _stock(_STOCK_TYPES["unrestricted"], "E")),
        quantity("KAINS", "In quality inspection", _stock(_STOCK_TYPES["quality"], "E")),
        quantity("KASPE", "Blocked", _stock(_BLOCKED, "E")),
    ),
    _special_source("E", 's."SDDocument", s."SDDocumentItem"'),
)

T001W: Final = Table(
    "T001W",
    "Plants/Branches",
    (
        CLIENT,
        char("WERKS", 4, "Plant", "l.plant", key=True),
        char("NAME1", 30, "Name", "l.plant_name"),
        char("BWKEY", 4, "Valuation area", "l.plant"),
        char("FABKL", 2, "Factory calendar", "'CN'"),
        char("LAND1", 3, "Country", "'CN'"),
    ),
    "storage_location l GROUP BY l.plant",
)

T001L: Final = Table(
    "T001L",
    "Storage Locations",
    (
        CLIENT,
        char("WERKS", 4, "Plant", "l.plant", key=True),
        char("LGORT", 4, "Storage location", "l.location", key=True),
        char("LGOBE", 16, "Description", "l.name"),
    ),
    "storage_location l",
)

T000: Final = Table(
    "T000",
    "Clients",
    (
        CLIENT,
        char("MTEXT", 25, "Name", "'Retail'"),
        char("ORT01", 25, "City", "'Shanghai'"),
        char("MWAER", 5, "Currency", "'CNY'", ddic="CUKY"),
        char("LOGSYS", 10, "Logical system", f"'ECCCLNT{SAP_CLIENT}'"),
    ),
    "(SELECT 1)",
)
