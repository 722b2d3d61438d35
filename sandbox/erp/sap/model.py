"""The entity data model: which properties, keys and navigations the three services have.

The property names are those of SAP's published APIs; only a part of each entity is modelled. Every table of the
SQLite books is made from the same declarations, with one column per property, so model and books can't drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

STRING: Final = "Edm.String"
DECIMAL: Final = "Edm.Decimal"
DATE_TIME: Final = "Edm.DateTime"
DATE_TIME_OFFSET: Final = "Edm.DateTimeOffset"
TIME: Final = "Edm.Time"
BOOLEAN: Final = "Edm.Boolean"


@dataclass(frozen=True, slots=True)
class Property:
    """One property. Stored as TEXT (Edm.String) or INTEGER (all others).

    Integers are thousandths for Edm.Decimal, milliseconds since 1970 for Edm.DateTime and Edm.DateTimeOffset,
    seconds since midnight for Edm.Time, 0 or 1 for Edm.Boolean. `numeric` marks SAP's digits-only strings (NUMC).
    """

    name: str
    type: str = STRING
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    key: bool = False
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Navigation:
    """A way from one entity to others: rows of `target` whose columns equal the own ones, pair by pair in `on`."""

    name: str
    target: str
    on: tuple[tuple[str, str], ...]
    many: bool = True


@dataclass(frozen=True)
class EntitySet:
    """An entity set and the table (or view) that holds its rows."""

    name: str
    table: str
    properties: tuple[Property, ...]
    navigations: tuple[Navigation, ...] = ()
    creatable: bool = False

    @cached_property
    def by_name(self) -> dict[str, Property]:
        """Return the properties by name, in their declared order."""
        return {prop.name: prop for prop in self.properties}

    @cached_property
    def keys(self) -> tuple[Property, ...]:
        """Return the key properties in their declared order."""
        return tuple(prop for prop in self.properties if prop.key)

    @cached_property
    def navigation_by_name(self) -> dict[str, Navigation]:
        """Return the navigations by name."""
        return {navigation.name: navigation for navigation in self.navigations}

    @property
    def type_name(self) -> str:
        """Return the entity type's name, without its namespace."""
        return f"{self.name}Type"


@dataclass(frozen=True, slots=True)
class FunctionImport:
    """A callable operation (HTTP POST) whose parameters travel in the query string; it returns one entity."""

    name: str
    returns: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Service:
    """One OData service. `default_page` is the page length where a request has no $top (None: the app's own)."""

    name: str
    sets: tuple[EntitySet, ...]
    functions: tuple[FunctionImport, ...] = ()
    default_page: int | None = None

    @cached_property
    def set_by_name(self) -> dict[str, EntitySet]:
        """Return the entity sets by name."""
        return {entity_set.name: entity_set for entity_set in self.sets}

    @cached_property
    def function_by_name(self) -> dict[str, FunctionImport]:
        """Return the function imports by name."""
        return {function.name: function for function in self.functions}


def _text(name: str, length: int, *, key: bool = False) -> Property:
    return Property(name, STRING, length=length, key=key)


def _digits(name: str, length: int, *, key: bool = False) -> Property:
    return Property(name, STRING, length=length, key=key, numeric=True)


def _quantity(name: str, precision: int = 13, scale: int = 3) -> Property:
    return Property(name, DECIMAL, precision=precision, scale=scale)


MATERIAL_STOCK: Final = EntitySet(
    name="A_MaterialStock",
    table="material_stock",
    properties=(_text("Material", 40, key=True), _text("MaterialBaseUnit", 3)),
    navigations=(Navigation("to_MatlStkInAcctMod", "A_MatlStkInAcctMod", (("Material", "Material"),)),),
)

STOCK: Final = EntitySet(
    name="A_MatlStkInAcctMod",
    table="stock",
    properties=(
        _text("Material", 40, key=True),
        _text("Plant", 4, key=True),
        _text("StorageLocation", 4, key=True),
        _text("Batch", 10, key=True),
        _text("Supplier", 10, key=True),
        _text("Customer", 10, key=True),
        _digits("WBSElementInternalID", 8, key=True),
        _text("SDDocument", 10, key=True),
        _digits("SDDocumentItem", 6, key=True),
        _text("InventorySpecialStockType", 1, key=True),
        _text("InventoryStockType", 2, key=True),
        _text("MaterialBaseUnit", 3),
        _quantity("MatlWrhsStkQtyInMatlBaseUnit", 31, 14),
    ),
    navigations=(Navigation("to_MaterialStock", "A_MaterialStock", (("Material", "Material"),), many=False),),
)

_DOCUMENT_KEY: Final = (
    ("MaterialDocumentYear", "MaterialDocumentYear"),
    ("MaterialDocument", "MaterialDocument"),
)

HEADER: Final = EntitySet(
    name="A_MaterialDocumentHeader",
    table="document_header",
    properties=(
        _digits("MaterialDocumentYear", 4, key=True),
        _text("MaterialDocument", 10, key=True),
        _text("InventoryTransactionType", 2),
        Property("DocumentDate", DATE_TIME),
        Property("PostingDate", DATE_TIME),
        Property("CreationDate", DATE_TIME),
        Property("CreationTime", TIME),
        _text("CreatedByUser", 12),
        _text("MaterialDocumentHeaderText", 25),
        _text("ReferenceDocument", 16),
        _text("GoodsMovementCode", 2),
    ),
    navigations=(Navigation("to_MaterialDocumentItem", "A_MaterialDocumentItem", _DOCUMENT_KEY),),
    creatable=True,
)

ITEM: Final = EntitySet(
    name="A_MaterialDocumentItem",
    table="document_item",
    properties=(
        _digits("MaterialDocumentYear", 4, key=True),
        _text("MaterialDocument", 10, key=True),
        _digits("MaterialDocumentItem", 4, key=True),
        _text("Material", 40),
        _text("Plant", 4),
        _text("StorageLocation", 4),
        _text("Batch", 10),
        _text("GoodsMovementType", 3),
        _text("InventoryStockType", 2),
        _text("InventorySpecialStockType", 1),
        _text("Supplier", 10),
        _text("Customer", 10),
        _text("SalesOrder", 10),
        _digits("SalesOrderItem", 6),
        _text("PurchaseOrder", 10),
        _digits("PurchaseOrderItem", 5),
        _text("GoodsMovementRefDocType", 1),
        _digits("GoodsMovementReasonCode", 4),
        _text("CostCenter", 10),
        _text("MaterialBaseUnit", 3),
        _quantity("QuantityInBaseUnit"),
        _text("EntryUnit", 3),
        _quantity("QuantityInEntryUnit"),
        _text("IssgOrRcvgMaterial", 40),
        _text("IssgOrRcvgBatch", 10),
        _text("IssuingOrReceivingPlant", 4),
        _text("IssuingOrReceivingStorageLoc", 4),
        _text("IssuingOrReceivingStockType", 2),
        _text("MaterialDocumentItemText", 50),
        _digits("Reservation", 10),
        _digits("ReservationItem", 4),
        _text("IsAutomaticallyCreated", 1),
        _digits("MaterialDocumentLine", 6),
        _digits("MaterialDocumentParentLine", 6),
        Property("GoodsMovementIsCancelled", BOOLEAN),
        _digits("ReversedMaterialDocumentYear", 4),
        _text("ReversedMaterialDocument", 10),
        _digits("ReversedMaterialDocumentItem", 4),
        _text("DebitCreditCode", 1),
    ),
    navigations=(Navigation("to_MaterialDocumentHeader", "A_MaterialDocumentHeader", _DOCUMENT_KEY, many=False),),
)

PRODUCT: Final = EntitySet(
    name="A_Product",
    table="product",
    properties=(
        _text("Product", 40, key=True),
        _text("ProductType", 4),
        Property("CreationDate", DATE_TIME),
        Property("LastChangeDate", DATE_TIME),
        Property("LastChangeDateTime", DATE_TIME_OFFSET),
        Property("IsMarkedForDeletion", BOOLEAN),
        _text("ProductOldID", 40),
        _text("ProductGroup", 9),
        _text("BaseUnit", 3),
        _text("Brand", 4),
        _text("ProductStandardID", 18),
        _text("InternationalArticleNumberCat", 2),
        _text("SizeOrDimensionText", 32),
        Property("IsBatchManagementRequired", BOOLEAN),
    ),
    navigations=(
        Navigation("to_Description", "A_ProductDescription", (("Product", "Product"),)),
        Navigation("to_ProductUnitsOfMeasure", "A_ProductUnitsOfMeasure", (("Product", "Product"),)),
    ),
)

DESCRIPTION: Final = EntitySet(
    name="A_ProductDescription",
    table="product_description",
    properties=(
        _text("Product", 40, key=True),
        _text("Language", 2, key=True),
        _text("ProductDescription", 40),
    ),
)

UNIT: Final = EntitySet(
    name="A_ProductUnitsOfMeasure",
    table="product_unit",
    properties=(
        _text("Product", 40, key=True),
        _text("AlternativeUnit", 3, key=True),
        _quantity("QuantityNumerator", 5, 0),
        _quantity("QuantityDenominator", 5, 0),
        _text("GlobalTradeItemNumber", 18),
        _text("GlobalTradeItemNumberCategory", 2),
        _text("BaseUnit", 3),
    ),
    navigations=(
        Navigation(
            "to_InternationalArticleNumber",
            "A_ProductUnitsOfMeasureEAN",
            (("Product", "Product"), ("AlternativeUnit", "AlternativeUnit")),
        ),
    ),
)

EAN: Final = EntitySet(
    name="A_ProductUnitsOfMeasureEAN",
    table="product_ean",
    properties=(
        _text("Product", 40, key=True),
        _text("AlternativeUnit", 3, key=True),
        _digits("ConsecutiveNumber", 5, key=True),
        _text("ProductStandardID", 18),
        _text("InternationalArticleNumberCat", 2),
        Property("IsMainGlobalTradeItemNumber", BOOLEAN),
    ),
)

STOCK_SERVICE: Final = Service("API_MATERIAL_STOCK_SRV", (STOCK, MATERIAL_STOCK))

DOCUMENT_SERVICE: Final = Service(
    "API_MATERIAL_DOCUMENT_SRV",
    (HEADER, ITEM),
    functions=(
        FunctionImport(
            "Cancel",
            HEADER.name,
            (("MaterialDocumentYear", STRING), ("MaterialDocument", STRING), ("PostingDate", DATE_TIME)),
        ),
        FunctionImport(
            "CancelItem",
            ITEM.name,
            (
                ("MaterialDocumentYear", STRING),
                ("MaterialDocument", STRING),
                ("MaterialDocumentItem", STRING),
                ("PostingDate", DATE_TIME),
            ),
        ),
    ),
)

PRODUCT_SERVICE: Final = Service("API_PRODUCT_SRV", (PRODUCT, DESCRIPTION, UNIT, EAN), default_page=100)

SERVICES: Final = {service.name: service for service in (STOCK_SERVICE, DOCUMENT_SERVICE, PRODUCT_SERVICE)}
