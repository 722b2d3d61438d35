"""Fill an empty sandbox: master data from the shared catalogue and a plausible opening stock."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sandbox.catalogue import COLOURS, SIZES
from sandbox.catalogue import articles as catalogue_articles
from sandbox.erp.kingdee.database import BEIJING, QUANTITY_SCALE
from sandbox.erp.kingdee.stock import NO_TIME, StockKey, insert, seeded_guid, seeded_moment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from sandbox.catalogue import Article
    from sandbox.erp.kingdee.database import Database

ONLINE: Final = "CK001"
WAREHOUSES: Final = {
    ONLINE: "电商仓",
    "CK101": "上海南京西路店",
    "CK102": "杭州湖滨店",
    "CK103": "南京新街口店",
    "CK104": "苏州观前街店",
    "CK105": "宁波天一店",
    "CK106": "合肥政务区店",
    "CK900": "样品仓",
}
UNITS: Final = {"Pcs": "件", "kg": "千克", "XIANG6": "箱(6件)", "XIANG12": "箱(12件)", "XIANG24": "箱(24件)"}
SUPPLIERS: Final = ("VEN00012", "VEN00031")
UNSELLABLE: Final = ("KCZT02_SYS", "KCZT03_SYS", "KCZT08_SYS")  # 待检, 冻结, 不良
# Days a good of the category keeps; only these are managed by lot.
SHELF_DAYS: Final = {"食品": 270, "生鲜": 9}
# Share of the articles a warehouse carries, and the most pieces of one.
_SHARES: Final = {ONLINE: (0.92, 400), "CK900": (0.02, 3)}
_STORE_SHARE: Final = (0.38, 15)
# How often a row is below zero, in the wrong state, another's (寄售), partly locked, or about to expire.
_NEGATIVE_SHARE: Final = 0.004
_UNSELLABLE_SHARE: Final = 0.04
_CONSIGNED_SHARE: Final = 0.05
_LOCKED_SHARE: Final = 0.05
_EXPIRING_SHARE: Final = 0.1


def seed_world(database: Database, articles: int, seed: int) -> None:
    """Fill `database` in one transaction; the same arguments give the same stock (dates count from today)."""
    chosen = catalogue_articles(articles, seed)
    rng = random.Random(f"kingdee/{seed}")
    with database.transaction() as connection:
        _seed_masters(connection, chosen, rng)
        for article in chosen:
            for warehouse in WAREHOUSES:
                share, most = _SHARES.get(warehouse, _STORE_SHARE)
                if rng.random() < share:
                    _seed_rows(connection, article, warehouse, most, rng)
        database.set_setting("articles", str(articles))
        database.set_setting("seed", str(seed))


def _seed_masters(connection: sqlite3.Connection, chosen: Sequence[Article], rng: random.Random) -> None:
    connection.executemany("INSERT INTO unit VALUES (?, ?)", UNITS.items())
    connection.executemany("INSERT INTO auxiliary VALUES (?, ?)", {**COLOURS, **SIZES}.items())
    connection.executemany(
        "INSERT INTO warehouse (id, number, name, modified) VALUES (?, ?, ?, ?)",
        [(100100 + n, code, name, seeded_moment(rng, 400)) for n, (code, name) in enumerate(WAREHOUSES.items())],
    )
    styles = {article.kingdee_material: article for article in chosen}
    materials = [
        (
            *(200000 + n, code, style.style_name, style.brand, base_unit(style), code[:2], style.category),
            *(None if style.colour else style.gtin, SHELF_DAYS.get(style.category), "A", seeded_moment(rng, 200)),
        )
        for n, (code, style) in enumerate(styles.items(), start=1)
    ]
    retired = (200000, "99.00001", "停用样品", "", "Pcs", "99", "停用", None, None, "B", seeded_moment(rng, 200))
    connection.executemany(
        "INSERT INTO material (id, number, name, specification, unit, group_number, group_name, barcode, shelf_days, "
        "forbidden, modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [retired, *materials],
    )
    connection.executemany(
        "INSERT INTO variant VALUES (?, ?, ?)", [(a.kingdee_material, a.colour or "", a.size or "") for a in chosen]
    )
    connection.executemany(
        "INSERT INTO barcode (number, material, colour, size, unit, modified) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (number, article.kingdee_material, article.colour or "", article.size or "", unit, seeded_moment(rng, 200))
            for article in chosen
            for number, unit in _barcodes(article)
        ],
    )


def base_unit(article: Article) -> str:
    """Return the ERP's code of an article's base unit."""
    return "kg" if article.unit == "KG" else "Pcs"


def _barcodes(article: Article) -> Iterator[tuple[str, str]]:
    yield article.gtin, base_unit(article)
    if article.carton_gtin:
        yield article.carton_gtin, f"XIANG{article.carton_pieces}"


def _seed_rows(connection: sqlite3.Connection, article: Article, warehouse: str, most: int, rng: random.Random) -> None:
    bare = StockKey(warehouse, article.kingdee_material, article.colour or "", article.size or "")
    keys = _lots(bare, SHELF_DAYS[article.category], rng) if article.category in SHELF_DAYS else [bare]
    for key in keys:
        quantity = _quantity(article, most, rng)
        if rng.random() < _NEGATIVE_SHARE:
            quantity = -_quantity(article, 3, rng)
        _insert(connection, key, quantity, rng, locked=warehouse == ONLINE and rng.random() < _LOCKED_SHARE)
    if rng.random() < _UNSELLABLE_SHARE:
        _insert(connection, replace(keys[0], status=rng.choice(UNSELLABLE)), _quantity(article, 4, rng), rng)
    if rng.random() < _CONSIGNED_SHARE:
        consigned = replace(keys[0], owner_type="BD_Supplier", owner=rng.choice(SUPPLIERS))
        _insert(connection, consigned, _quantity(article, 20, rng), rng)


def _insert(
    connection: sqlite3.Connection, key: StockKey, quantity: int, rng: random.Random, *, locked: bool = False
) -> None:
    reserved = min(QUANTITY_SCALE, max(quantity, 0)) if locked else 0
    insert(connection, key, quantity, fid=seeded_guid(rng), at=seeded_moment(rng, 30), locked=reserved)


def _quantity(article: Article, most: int, rng: random.Random) -> int:
    """Return 1 … `most` pieces, or kilograms with three decimals, in millionths."""
    if article.unit == "KG":
        return rng.randint(200, most * 1000) * QUANTITY_SCALE // 1000
    return rng.randint(1, most) * QUANTITY_SCALE


def _lots(bare: StockKey, shelf_days: int, rng: random.Random) -> list[StockKey]:
    today = datetime.now(UTC).astimezone(BEIJING).date()
    ages = rng.sample(range(shelf_days), rng.randint(1, 3))
    if rng.random() < _EXPIRING_SHARE:
        ages[0] = shelf_days - rng.choice((-1, 0, 1, 2))  # about to expire, or just over
    lots = []
    for age in sorted(set(ages)):
        produced = today - timedelta(days=age)
        expires = produced + timedelta(days=shelf_days)
        dates = {"produced": f"{produced.isoformat()}{NO_TIME}", "expires": f"{expires.isoformat()}{NO_TIME}"}
        lots.append(replace(bare, lot=f"{produced:%Y%m%d}", **dates))
    return lots
