"""The tables of an ECC system, as far as stock, materials, documents and orders go.

Names, lengths and order of the columns are SAP's. Each table has a part of its columns only, yet those
that are too wide for RFC_READ_TABLE in SAP (MARA, MARC, MSEG) are too wide here.
"""

from __future__ import annotations

from typing import Final

from sandbox.erp.sap_rfc.tables import documents, material, stock

TABLES: Final = {
    table.name: table
    for table in (
        stock.MARD,
        stock.MCHB,
        stock.MCH1,
        stock.MCHA,
        stock.MKOL,
        stock.MSKA,
        stock.T000,
        stock.T001L,
        stock.T001W,
        material.MARA,
        material.MAKT,
        material.MARM,
        material.MEAN,
        material.MARC,
        documents.MKPF,
        documents.MSEG,
        documents.VBAK,
        documents.VBAP,
        documents.RKPF,
        documents.RESB,
    )
}
