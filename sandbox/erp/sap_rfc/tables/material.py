"""Materials: MARA, MAKT, MARM, MEAN and MARC.

The books know no safety stock; MARC-EISBE is made up here from the number of the material.
"""

from __future__ import annotations

from typing import Final

from sandbox.erp.sap.seed import PLANT
from sandbox.erp.sap_rfc.dictionary import (
    CLIENT,
    LANGUAGE_KEYS,
    Table,
    alpha_sql,
    char,
    date,
    decimal,
    digits,
    matnr,
    quantity,
    unit,
)

_SAFETY: Final = 'CASE WHEN CAST(p."Product" AS INTEGER) % 10 = 0 THEN 2000 ELSE 0 END'


def _flag(name: str) -> str:
    return f"CASE p.\"{name}\" WHEN 1 THEN 'X' ELSE '' END"


def _language() -> str:
    cases = " ".join(f"WHEN '{iso}' THEN '{key}'" for iso, key in LANGUAGE_KEYS.items())
    return f"CASE t.\"Language\" {cases} ELSE '' END"


MARA: Final = Table(
    "MARA",
    "General Material Data",
    (
        CLIENT,
        matnr('p."Product"'),
        date("ERSDA", "Created on", 'p."CreationDate"'),
        char("ERNAM", 12, "Created by", "'MIGRATION'"),
        date("LAEDA", "Last change", 'p."LastChangeDate"'),
        char("AENAM", 12, "Changed by", "'MIGRATION'"),
        char("VPSTA", 15, "Complete status", "'KVEBLD'"),
        char("PSTAT", 15, "Maintenance status", "'KVEBLD'"),
        char("LVORM", 1, "Deletion flag", _flag("IsMarkedForDeletion")),
        char("MTART", 4, "Material type", 'p."ProductType"'),
        char("MBRSH", 1, "Industry", "'1'"),
        char("MATKL", 9, "Material group", 'p."ProductGroup"'),
        char("BISMT", 18, "Old material number", 'p."ProductOldID"'),
        unit("MEINS", "Base unit", 'p."BaseUnit"'),
        unit("BSTME", "Order unit"),
        char("ZEINR", 22, "Document number"),
        char("ZEIAR", 3, "Document type"),
        char("ZEIVR", 2, "Document version"),
        char("ZEIFO", 4, "Page format"),
        char("AESZN", 6, "Document change number"),
        char("BLATT", 3, "Page number"),
        digits("BLANZ", 3, "Number of sheets"),
        char("FERTH", 18, "Production memo"),
        char("FORMT", 4, "Page format"),
        char("GROES", 32, "Size/dimensions", 'p."SizeOrDimensionText"'),
        char("WRKST", 48, "Basic material"),
        char("NORMT", 18, "Industry standard"),
        char("LABOR", 3, "Laboratory"),
        char("EKWSL", 4, "Purchasing value key"),
        quantity("BRGEW", "Gross weight"),
        quantity("NTGEW", "Net weight"),
        unit("GEWEI", "Weight unit", "'KG'"),
        quantity("VOLUM", "Volume"),
        unit("VOLEH", "Volume unit"),
        char("BEHVO", 2, "Container requirements"),
        char("RAUBE", 2, "Storage conditions"),
        char("TEMPB", 2, "Temperature conditions"),
        char("DISST", 3, "Low-level code"),
        char("TRAGR", 4, "Transportation group"),
        char("STOFF", 18, "Hazardous material"),
        char("SPART", 2, "Division", "'00'"),
        char("KUNNR", 10, "Competitor"),
        char("EANNR", 13, "EAN number (obsolete)"),
        quantity("WESCH", "Quantity of slips"),
        char("BWVOR", 1, "Procurement rule"),
        char("BWSCL", 1, "Source of supply"),
        char("SAISO", 4, "Season category"),
        char("ETIAR", 2, "Label type"),
        char("ETIFO", 2, "Label form"),
        char("ENTAR", 1, "Deactivated"),
        char("EAN11", 18, "EAN", 'p."ProductStandardID"'),
        char("NUMTP", 2, "EAN category", 'p."InternationalArticleNumberCat"'),
        quantity("LAENG", "Length"),
        quantity("BREIT", "Width"),
        quantity("HOEHE", "Height"),
        unit("MEABM", "Unit of dimension"),
        char("PRDHA", 18, "Product hierarchy"),
        char("XCHPF", 1, "Batch management", _flag("IsBatchManagementRequired")),
        char("MSTAE", 2, "Cross-plant status"),
        date("MSTDE", "Valid from"),
        char("ATTYP", 2, "Material category", "'00'"),
        decimal("MHDRZ", 4, "Minimum remaining shelf life"),
        decimal("MHDHB", 4, "Total shelf life"),
        char("BRAND_ID", 4, "Brand", 'p."Brand"'),
    ),
    "product p",
)

MAKT: Final = Table(
    "MAKT",
    "Material Descriptions",
    (
        CLIENT,
        matnr('t."Product"'),
        char("SPRAS", 1, "Language", _language(), key=True, ddic="LANG"),
        char("MAKTX", 40, "Description", 't."ProductDescription"'),
        char("MAKTG", 40, "Description in upper case", 'upper(t."ProductDescription")'),
    ),
    "product_description t",
)

MARM: Final = Table(
    "MARM",
    "Units of Measure for Material",
    (
        CLIENT,
        matnr('u."Product"'),
        unit("MEINH", "Alternative unit", 'u."AlternativeUnit"', key=True),
        decimal("UMREZ", 5, "Numerator", 'u."QuantityNumerator"'),
        decimal("UMREN", 5, "Denominator", 'u."QuantityDenominator"'),
        char("EANNR", 13, "EAN number (obsolete)"),
        char("EAN11", 18, "EAN", 'u."GlobalTradeItemNumber"'),
        char("NUMTP", 2, "EAN category", 'u."GlobalTradeItemNumberCategory"'),
        quantity("LAENG", "Length"),
        quantity("BREIT", "Width"),
        quantity("HOEHE", "Height"),
        quantity("BRGEW", "Gross weight"),
    ),
    "product_unit u",
)

MEAN: Final = Table(
    "MEAN",
    "International Article Numbers (EANs) for Material",
    (
        CLIENT,
        matnr('e."Product"'),
        unit("MEINH", "Unit", 'e."AlternativeUnit"', key=True),
        digits("LFNUM", 5, "Consecutive number", 'e."ConsecutiveNumber"', key=True),
        char("EAN11", 18, "EAN", 'e."ProductStandardID"'),
        char("EANTP", 2, "EAN category", 'e."InternationalArticleNumberCat"'),
        char("HPEAN", 1, "Main EAN", "CASE e.\"IsMainGlobalTradeItemNumber\" WHEN 1 THEN 'X' ELSE '' END"),
    ),
    "product_ean e",
)

MARC: Final = Table(
    "MARC",
    "Plant Data for Material",
    (
        CLIENT,
        matnr('p."Product"'),
        char("WERKS", 4, "Plant", "w.plant", key=True),
        char("PSTAT", 15, "Maintenance status", "'EBLD'"),
        char("LVORM", 1, "Deletion flag", "CASE p.\"IsMarkedForDeletion\" WHEN 1 THEN 'X' ELSE '' END"),
        char("BWTTY", 1, "Valuation category"),
        char("MMSTA", 2, "Plant-specific status"),
        date("MMSTD", "Valid from"),
        char("MAABC", 1, "ABC indicator"),
        char("KZKRI", 1, "Critical part"),
        char("EKGRP", 3, "Purchasing group", "'001'"),
        unit("AUSME", "Unit of issue"),
        char("DISPR", 4, "MRP profile"),
        char("DISMM", 2, "MRP type", "'PD'"),
        char("DISPO", 3, "MRP controller", "'001'"),
        decimal("PLIFZ", 3, "Planned delivery time", "7000"),
        decimal("WEBAZ", 3, "Goods receipt processing time", "1000"),
        char("PERKZ", 1, "Period indicator", "'M'"),
        char("DISLS", 2, "Lot size", "'EX'"),
        char("BESKZ", 1, "Procurement type", "'F'"),
        quantity("MINBE", "Reorder point"),
        quantity("EISBE", "Safety stock", _SAFETY),
        *(quantity(name) for name in ("BSTMI", "BSTMA", "BSTFE", "BSTRF", "MABST")),
        char("SBDKZ", 1, "Dependent requirements"),
        char("LAGPR", 1, "Storage costs"),
        char("ALTSL", 1, "Selection method"),
        char("KZAUS", 1, "Discontinuation"),
        date("AUSDT", "Effective-out date"),
        char("NFMAT", 18, "Follow-up material"),
        char("KZBED", 1, "Requirements grouping"),
        char("MISKZ", 1, "Mixed MRP"),
        char("FHORI", 3, "Scheduling margin key"),
        char("PFREI", 1, "Release"),
        char("FFREI", 1, "Release"),
        char("RGEKZ", 1, "Backflush"),
        char("FEVOR", 3, "Production supervisor"),
        *(quantity(name) for name in ("BEARZ", "RUEZT", "TRANZ", "BASMG")),
        decimal("DZEIT", 3, "In-house production time"),
        decimal("MAXLZ", 5, "Maximum storage period"),
        char("LZEIH", 3, "Unit", ddic="UNIT"),
        char("KZPRO", 1),
        char("GPMKZ", 1),
        quantity("UEETO"),
        char("UEETK", 1),
        char("MTVFP", 2, "Availability check", "'02'"),
        char("XCHAR", 1, "Batch management, internal"),
        *(quantity(name) for name in ("UMLMC", "TRAME", "LOSGR", "VBAMG")),
        char("XCHPF", 1, "Batch management", "CASE p.\"IsBatchManagementRequired\" WHEN 1 THEN 'X' ELSE '' END"),
        char("PRCTR", 10, "Profit center", "'RETAIL'"),
        char("STAWN", 17, "Commodity code"),
        char("HERKL", 3, "Country of origin", "'CN'"),
        char("LGPRO", 4, "Issue location"),
        char("LGFSB", 4, "Storage location for external procurement"),
        char("STDPD", 18, "Configurable material"),
        char("AUTRU", 1),
        char("ABCIN", 1, "Cycle count indicator"),
        char("CASNR", 15, "CAS number"),
        char("GPNUM", 9, "PRODCOM number"),
        char("STEUC", 16, "Control code"),
        char("FABKZ", 1, "Just in time"),
        char("MATGR", 20, "Group of materials"),
        char("UCMAT", 18, "Reference material"),
    ),
    (
        "product p JOIN (SELECT DISTINCT plant FROM storage_location) w"
        f" WHERE w.plant = '{PLANT}' OR EXISTS (SELECT 1 FROM storage_data d"
        " WHERE d.matnr = " + alpha_sql('p."Product"') + " AND d.plant = w.plant)"
    ),
)
