"""A small shop in the database, laid down with plain SQL."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import psycopg

LONG_NAME = "青禾有机冷榨初榨亚麻籽油家庭装礼盒五百毫升两瓶装附赠定量油壶及食谱手册一本"
PLACES = (
    ("DC-SH", "华东配送中心", "warehouse", "sap", True),
    ("DC-SH-RET", "华东退货仓", "warehouse", "sap", False),
    ("ST-SH01", "上海南京西路店", "store", "kingdee", True),
    ("ST-HZ01", "杭州湖滨店", "store", "kingdee", True),
    ("ST-NJ01", "南京新街口店", "store", "kingdee", True),
)


class Seed:
    """Writes rows in autocommit mode."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def feed(self, source: str, *, age: float | None = 0, full: bool = True, stale_after: int = 60) -> None:
        """Declare a source or set how long ago it was read (None: never)."""
        self.connection.execute(
            "INSERT INTO feed (source, read_at, full_read_at, stale_after_seconds)"
            " VALUES (%(source)s, clock_timestamp() - make_interval(secs => %(age)s),"
            "         CASE WHEN %(full)s THEN clock_timestamp() - make_interval(secs => %(age)s) END, %(after)s)"
            " ON CONFLICT (source) DO UPDATE SET read_at = excluded.read_at, full_read_at = excluded.full_read_at,"
            " stale_after_seconds = excluded.stale_after_seconds",
            {"source": source, "age": age, "full": full, "after": stale_after},
        )

    def look(self, *, age: float) -> None:
        """Say how long ago somebody looked for alerts."""
        self.connection.execute(
            "INSERT INTO source_position (source, stream, cursor, moved_at)"
            " VALUES ('alerts', 'watch-feeds', '{}', clock_timestamp() - make_interval(secs => %s))"
            " ON CONFLICT (source, stream) DO UPDATE SET moved_at = excluded.moved_at",
            (age,),
        )

    def alert(self, kind: str, subject: str, *, over: bool = False, untold: str | None = None) -> None:
        """Add an alert of an hour ago, with a message that did not get through for the reason `untold`."""
        facts = '{"read_at": "2026-11-11T02:03:04+00:00", "polled_at": null, "followed": false}'
        self.connection.execute(
            "WITH added AS (INSERT INTO alert (kind, subject, facts, began_at, raised_at, told_at, resolved_at)"
            " SELECT %s, %s, %s, at, at, at, CASE WHEN %s THEN at END"
            " FROM (SELECT now() - interval '1 hour' AS at) AS moment RETURNING id, facts)"
            " INSERT INTO alert_message (alert_id, channel, phase, facts, error, sent_at)"
            " SELECT id, 'ops', 'raised', facts, %s, CASE WHEN %s::text IS NULL THEN now() END FROM added",
            (kind, subject, facts, over, untold, untold),
        )

    def location(
        self, code: str, name: str, kind: str, source: str | None, *, online: bool, active: bool = True
    ) -> None:
        """Add a place."""
        self.connection.execute(
            "INSERT INTO location"
            " (code, name, kind, stock_source, sellable_online, pickup, time_zone, position, active)"
            " VALUES (%s, %s, %s, %s, %s, false, 'Asia/Shanghai', (SELECT count(*) FROM location), %s)",
            (code, name, kind, source, online, active),
        )
        self.connection.execute(
            "INSERT INTO stock_floor (location_id, read_began) SELECT id, 1 FROM location WHERE code = %s", (code,)
        )

    def item(self, sku: str, name: str = "测试商品", *, gtin: str | None = None, unit: str = "件") -> None:
        """Add an item."""
        self.connection.execute(
            "INSERT INTO item (sku, name, gtin, unit) VALUES (%s, %s, %s, %s)", (sku, name, gtin, unit)
        )

    def items(self, skus: Iterable[str], location: str) -> None:
        """Add many items that a place has one of."""
        for sku in skus:
            self.item(sku)
            self.level(sku, location, 1)

    def barcode(self, code: str, sku: str, factor: int = 1) -> None:
        """Add a package code."""
        self.connection.execute(
            "INSERT INTO barcode (code, item_id, factor) SELECT %s, id, %s FROM item WHERE sku = %s",
            (code, factor, sku),
        )

    def reference(self, source: str, number: str, sku: str) -> None:
        """Say what a source calls the item."""
        self.connection.execute(
            "INSERT INTO external_reference (system, kind, external_id, our_id)"
            " SELECT %s, 'item', %s, id FROM item WHERE sku = %s",
            (source, number, sku),
        )

    def level(
        self, sku: str, location: str, on_hand: Decimal | float | str, *, changed_at: datetime | None = None
    ) -> None:
        """Set a level."""
        self.connection.execute(
            "INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended, changed_at)"
            " SELECT item.id, location.id, %s, 1, 2, COALESCE(%s, clock_timestamp()) FROM item, location"
            " WHERE item.sku = %s AND location.code = %s"
            " ON CONFLICT (item_id, location_id) DO UPDATE SET on_hand = excluded.on_hand,"
            " changed_at = excluded.changed_at",
            (Decimal(str(on_hand)), changed_at, sku, location),
        )

    def unsellable(self, sku: str, location: str, status: str, quantity: Decimal | float, owner: str = "") -> None:
        """Put goods apart."""
        self.connection.execute(
            "INSERT INTO stock_unsellable (item_id, location_id, status, owner, quantity)"
            " SELECT item.id, location.id, %s, %s, %s FROM item, location WHERE item.sku = %s AND location.code = %s",
            (status, owner, Decimal(str(quantity)), sku, location),
        )

    def shop(self) -> None:
        """Lay down places, sources and a few telling items."""
        with self.connection.transaction():
            self._shop()

    def _shop(self) -> None:
        for source in ("sap", "kingdee"):
            self.feed(source)
        for code, name, kind, source, online in PLACES:
            self.location(code, name, kind, source, online=online)
        self.item("QH-OIL-500", LONG_NAME, gtin="6901234567892", unit="瓶")
        self.barcode("16901234567899", "QH-OIL-500", 12)
        self.reference("kingdee", "K-77001", "QH-OIL-500")
        self.level("QH-OIL-500", "DC-SH", 1200)
        self.level("QH-OIL-500", "DC-SH-RET", 7)
        self.level("QH-OIL-500", "ST-SH01", 12)
        self.level("QH-OIL-500", "ST-HZ01", -3)
        self.unsellable("QH-OIL-500", "ST-SH01", "quality", 2)
        self.unsellable("QH-OIL-500", "ST-SH01", "expiring", 1)
        self.unsellable("QH-OIL-500", "ST-SH01", "sellable", 4, owner="供应商甲")
        self.item("QH-RICE", "青禾五常大米 散装", unit="千克")
        self.level("QH-RICE", "ST-SH01", "3.250")
        self.item("QH/SLASH|1", "斜杠商品")
        self.level("QH/SLASH|1", "ST-SH01", 5)
        self.item("0012345", "青禾纯棉毛巾")
        self.item("QH-NOWHERE", "从未到货的商品")
