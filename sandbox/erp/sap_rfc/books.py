"""What an ECC system keeps beside the shared books: storage places that had stock once, orders and reservations.

The tables live in the same SQLite file. Storage places are kept by a trigger on the shared stock table, so that they
are right whichever process posts; another trigger empties everything here when either side resets the world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox.erp.sap.movements import next_value
from sandbox.erp.sap_rfc.dictionary import alpha_sql

if TYPE_CHECKING:
    import sqlite3

_TABLES: Final = {
    # A row with an empty batch for each MARD, one with a batch for each MCHB: SAP keeps them when stock is gone.
    "storage_data": """matnr TEXT NOT NULL, plant TEXT NOT NULL, location TEXT NOT NULL, batch TEXT NOT NULL,
        material TEXT NOT NULL, PRIMARY KEY (matnr, plant, location, batch)""",
    "sales_order": """vbeln TEXT PRIMARY KEY, created INTEGER NOT NULL, seconds INTEGER NOT NULL,
        username TEXT NOT NULL, type TEXT NOT NULL, organisation TEXT NOT NULL, channel TEXT NOT NULL,
        division TEXT NOT NULL, reference TEXT NOT NULL, customer TEXT NOT NULL""",
    "sales_order_item": """vbeln TEXT NOT NULL, posnr TEXT NOT NULL, material TEXT NOT NULL, plant TEXT NOT NULL,
        location TEXT NOT NULL, quantity INTEGER NOT NULL, unit TEXT NOT NULL, PRIMARY KEY (vbeln, posnr)""",
    "reservation": """rsnum TEXT PRIMARY KEY, required INTEGER NOT NULL, movement_type TEXT NOT NULL,
        username TEXT NOT NULL, recipient TEXT NOT NULL""",
    "reservation_item": """rsnum TEXT NOT NULL, rspos TEXT NOT NULL, material TEXT NOT NULL, plant TEXT NOT NULL,
        location TEXT NOT NULL, batch TEXT NOT NULL, quantity INTEGER NOT NULL, unit TEXT NOT NULL,
        required INTEGER NOT NULL, movement_type TEXT NOT NULL, PRIMARY KEY (rsnum, rspos)""",
}


def open_books(connection: sqlite3.Connection) -> None:
    """Create what is missing, inside the caller's transaction, and once take over the stock that is there already."""
    kept_already = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'keep_storage_data'").fetchone()
    for name, columns in _TABLES.items():
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}) WITHOUT ROWID")
    material = alpha_sql("NEW.Material")
    new_place = f"INSERT OR IGNORE INTO storage_data VALUES ({material}, NEW.Plant, NEW.StorageLocation"
    connection.execute(
        "CREATE TRIGGER IF NOT EXISTS keep_storage_data AFTER INSERT ON stock WHEN NEW.StorageLocation <> '' BEGIN"
        f" {new_place}, '', NEW.Material); {new_place}, NEW.Batch, NEW.Material); END",
    )
    emptied = " ".join(f"DELETE FROM {name};" for name in _TABLES)
    connection.execute(
        f"CREATE TRIGGER IF NOT EXISTS forget_ecc AFTER DELETE ON setting WHEN OLD.name = 'seed' BEGIN {emptied} END",
    )
    for index, table, expression in (
        ("product_matnr", "product", "Product"),
        ("description_matnr", "product_description", "Product"),
        ("unit_matnr", "product_unit", "Product"),
        ("ean_matnr", "product_ean", "Product"),
    ):
        connection.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {table} ({alpha_sql(expression)})")
    connection.execute('CREATE INDEX IF NOT EXISTS item_mblnr ON document_item ("MaterialDocument")')
    if kept_already:
        return
    for batch in ("''", "Batch"):
        connection.execute(
            f"INSERT OR IGNORE INTO storage_data SELECT {alpha_sql('Material')}, Plant, StorageLocation, {batch},"
            " Material FROM stock WHERE StorageLocation <> ''",
        )


def draw_document_number(connection: sqlite3.Connection, name: str) -> str:
    """Draw the next ten-digit number of a kind of document; what is not committed leaves a gap, as in SAP."""
    return f"{next_value(connection, name):010d}"
