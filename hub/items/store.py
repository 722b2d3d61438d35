"""Reading a source's articles into the hub: the matcher's state from the database, and back in one transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from hub.errors import ConfigError, DependencyMissing, Truncated
from hub.items.identity import Item, ItemMatcher, SourceRules
from hub.sync.due import add_due
from hub.sync.feed import database_time, note_items_read
from hub.sync.quarantine import keys_in_quarantine, quarantine, resolve_not_seen
from hub.sync.staging import ROW, UNKNOWN_ITEM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from pathlib import Path

    import psycopg

    from hub.contracts import ErpConnector, ItemRecord, Rejection, StockKey
    from hub.db.session import Database
    from hub.settings import Settings

KIND = "item"
_CROSS_REFERENCE_COLUMNS = ["source", "external_id", "sku"]
# Syncs of articles take turns: each matches against all items there are.
_TURN = "SELECT pg_advisory_xact_lock(hashtext('oneshelf.items'))"


@dataclass(frozen=True, slots=True)
class ItemReport:
    """What one read of a source's articles did."""

    source: str
    read: int
    created: int
    changed: int
    linked: int
    rejected: int


def sync_items(database: Database, connector: ErpConnector, settings: Settings) -> ItemReport:
    """Read all articles of a source and link or create their items.

    Raises:
        RemoteError: the ERP could not be read in full; nothing was changed.
        DependencyMissing: a source that gives SKUs before this one has not been read yet.
        ConfigError: the cross-reference file is wrong.
    """
    rules = source_rules(settings, connector.source)
    cross_reference = load_cross_reference(settings.items.cross_reference) if settings.items.cross_reference else {}
    with database.driver() as connection:
        _wait_for_masters(connection, settings, connector.source)
        began_at = database_time(connection)
        records, rejections = _read_all(connector)
        with connection.transaction():
            connection.execute(_TURN)
            matcher = load_matcher(connection, cross_reference)
            known = len(matcher.items)
            for record in records:
                rejections.extend(matcher.match(record, rules))
            changed = _store(connection, matcher)
            quarantine(connection, connector.source, KIND, rejections)
            resolve_not_seen(connection, connector.source, KIND, began_at)
            add_due(connection, connector.source, _waiting_for(connection, connector.source, matcher))
            note_items_read(connection, connector.source, began_at)
    created = len(matcher.items) - known
    report = ItemReport(
        connector.source, len(records), created, changed - created, len(matcher.new_references), len(rejections)
    )
    structlog.get_logger().info("items_synced", **{key: getattr(report, key) for key in report.__slots__})
    return report


def _wait_for_masters(connection: psycopg.Connection, settings: Settings, source: str) -> None:
    """Refuse to name new items before the sources that name them first: else the SKU would depend on who was faster."""
    order = [name for name in settings.items.sku_from if name in settings.enabled_sources()]
    before = order[: order.index(source)] if source in order else order
    unread = connection.execute(
        "SELECT source FROM feed WHERE source = ANY(%s) AND items_read_at IS NULL ORDER BY source", (before,)
    ).fetchall()
    if unread:
        names = ", ".join(str(name) for (name,) in unread)
        raise DependencyMissing(f"the articles of {names} must be read first", system=source, operation="get_items")


def source_rules(settings: Settings, source: str) -> SourceRules:
    """Return how articles of `source` are recognised."""
    configured = settings.sources[source]
    order = settings.items.sku_from
    return SourceRules(
        source=source,
        identity=configured.item_identity,
        number_transform=configured.number_transform,
        creates=source in order,
        masters=order[:1] == [source],
    )


def load_cross_reference(path: Path) -> Mapping[tuple[str, str], str]:
    """Read the cross-reference file (CSV or Excel; columns source, external_id, sku).

    Raises:
        ConfigError: a column is missing, a cell is empty, or one article is given two SKUs.
    """
    import pandas as pd  # noqa: PLC0415 - takes most of a second, and few have such a file

    try:
        reader = pd.read_excel if path.suffix in {".xlsx", ".xls"} else pd.read_csv
        table = reader(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the cross-reference file can't be read: {error}", file=str(path)) from error
    missing = [column for column in _CROSS_REFERENCE_COLUMNS if column not in table.columns]
    if missing:
        raise ConfigError(f"columns missing: {', '.join(missing)}", file=str(path), line=1)
    found: dict[tuple[str, str], str] = {}
    for line, (source, external_id, sku) in enumerate(table[_CROSS_REFERENCE_COLUMNS].itertuples(index=False), start=2):
        cells = [str(cell).strip() for cell in (source, external_id, sku)]
        if not all(cells):
            raise ConfigError("source, external_id and sku must all be given", file=str(path), line=line)
        if found.setdefault((cells[0], cells[1]), cells[2]) != cells[2]:
            raise ConfigError(f"{cells[1]} of {cells[0]} is given a second SKU", file=str(path), line=line)
    return found


def _waiting_for(connection: psycopg.Connection, source: str, matcher: ItemMatcher) -> set[StockKey]:
    """Return the keys in quarantine that waited for an item which is known now."""
    known = {number for of_source, number, _ in matcher.new_references if of_source == source}
    waiting = keys_in_quarantine(connection, source, ROW, UNKNOWN_ITEM)
    return {key for key in waiting if key.item in known}


def _read_all(connector: ErpConnector) -> tuple[list[ItemRecord], list[Rejection]]:
    records: dict[str, ItemRecord] = {}
    rejections: list[Rejection] = []
    complete = False
    for page in connector.get_items():
        records.update({record.item: record for record in page.records})
        rejections.extend(page.rejected)
        complete = page.complete
    if not complete:
        raise Truncated("the list of articles ended early", system=connector.source, operation="get_items")
    return list(records.values()), rejections


def load_matcher(connection: psycopg.Connection, cross_reference: Mapping[tuple[str, str], str]) -> ItemMatcher:
    """Load all items, references and barcodes into a matcher."""
    items = {
        row[0]: Item(
            id=row[0],
            sku=row[1],
            gtin=row[2],
            name=row[3],
            unit=row[4],
            category=row[5],
            brand=row[6],
            attributes=row[7],
            active=row[8],
        )
        for row in connection.execute(
            "SELECT id, sku, gtin, name, unit, category, brand, attributes, active FROM item ORDER BY id"
        )
    }
    references = {
        (str(system), str(external_id)): items[our_id]
        for system, external_id, our_id in connection.execute(
            "SELECT system, external_id, our_id FROM external_reference WHERE kind = 'item'"
        )
    }
    barcodes: dict[str, tuple[Item, Decimal]] = {
        str(code): (items[item_id], factor)
        for code, item_id, factor in connection.execute("SELECT code, item_id, factor FROM barcode")
    }
    return ItemMatcher(list(items.values()), references, barcodes, cross_reference)


def _store(connection: psycopg.Connection, matcher: ItemMatcher) -> int:
    """Write what the matcher changed; returns how many items are new or different."""
    changed = [item for item in matcher.items if item.changed]
    with connection.cursor() as cursor:
        # A GTIN may move between two items in one read: free all first, or the unique index refuses a right outcome.
        cursor.executemany("UPDATE item SET gtin = NULL WHERE id = %s", [(item.id,) for item in changed if item.id])
        for item in changed:
            cursor.execute(_UPSERT, _parameters(item))
            row = cursor.fetchone()
            item.id = row[0] if row else item.id
        cursor.executemany(
            "INSERT INTO external_reference (system, kind, external_id, our_id) VALUES (%s, 'item', %s, %s)",
            [(source, external_id, item.id) for source, external_id, item in matcher.new_references],
        )
        cursor.executemany(
            "INSERT INTO barcode (code, item_id, factor) VALUES (%s, %s, %s)"
            " ON CONFLICT (code) DO UPDATE SET factor = excluded.factor",
            [
                (code, matcher.barcodes[code][0].id, matcher.barcodes[code][1])
                for code in sorted(matcher.changed_barcodes)
            ],
        )
    return len(changed)


_UPSERT = """
INSERT INTO item (sku, gtin, name, unit, category, brand, attributes, active)
VALUES (%(sku)s, %(gtin)s, %(name)s, %(unit)s, %(category)s, %(brand)s, %(attributes)s::jsonb, %(active)s)
ON CONFLICT (sku) DO UPDATE
SET gtin = excluded.gtin, name = excluded.name, category = excluded.category, brand = excluded.brand,
    attributes = excluded.attributes, active = excluded.active, updated_at = clock_timestamp()
RETURNING id
"""


def _parameters(item: Item) -> dict[str, object]:
    return {
        "sku": item.sku,
        "gtin": item.gtin,
        "name": item.name,
        "unit": item.unit,
        "category": item.category,
        "brand": item.brand,
        "attributes": json.dumps(dict(item.attributes), ensure_ascii=False),
        "active": item.active,
    }
