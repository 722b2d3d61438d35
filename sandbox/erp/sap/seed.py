"""The opening state of the books: articles, plants and stock, reproducible from the seed."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sandbox.catalogue import articles
from sandbox.erp.sap import model
from sandbox.erp.sap.movements import BLOCKED, QUALITY, Header, Line, StockKey, midnight_ms, post
from sandbox.erp.sap.store import insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sandbox.catalogue import Article

PLANT: Final = "1010"
SALES_LOCATION: Final = "101A"
RETURNS_LOCATION: Final = "101B"
FOREIGN_PLANT: Final = "1099"
_FOREIGN_LOCATION: Final = "109A"
_LOCATIONS: Final = (
    (PLANT, SALES_LOCATION, "华东配送中心", "可售仓"),
    (PLANT, RETURNS_LOCATION, "华东配送中心", "退货仓"),
    (FOREIGN_PLANT, _FOREIGN_LOCATION, "海外工厂", "成品仓"),
)
GROUPS: Final = {
    "服装": ("L001", "Apparel"),
    "鞋靴": ("L002", "Footwear"),
    "食品": ("L003", "Food"),
    "家居": ("L004", "Home"),
    "美妆": ("L005", "Beauty"),
    "母婴": ("L006", "Baby"),
    "生鲜": ("L007", "Fresh food"),
}
_BATCH_MANAGED: Final = frozenset({"食品", "生鲜"})
_CARTON: Final = "CAR"
# The others are sold out and have no row.
_SHARE_IN_STOCK: Final = 0.92
_OPENING_ITEMS: Final = 250
_OPENING_DAYS: Final = 7
# Opening entries: 561 into unrestricted, 563 quality, 565 blocked stock; the even numbers take back.
_OPENING_TYPES: Final = {QUALITY: "563", BLOCKED: "565"}


def seed_books(connection: sqlite3.Connection, count: int, seed: int, moment: datetime) -> None:
    """Fill empty books with `count` articles and their stock; all stock comes from posted opening documents.

    `moment` is now in the server's zone; the opening documents are a week older.
    """
    connection.executemany("INSERT INTO storage_location VALUES (?, ?, ?, ?)", _LOCATIONS)
    lines: list[Line] = []
    for article in articles(count, seed):
        rng = random.Random(f"{seed}/sap/{article.number}")
        _insert_product(connection, article, rng, moment)
        lines.extend(_opening_lines(article, rng))
    opened = moment - timedelta(days=_OPENING_DAYS)
    for start in range(0, len(lines), _OPENING_ITEMS):
        header = Header(code="05", text="期初库存", user="MIGRATION")
        chunk = lines[start : start + _OPENING_ITEMS]
        post(connection, header, chunk, opened + timedelta(seconds=start // _OPENING_ITEMS), allow_negative=True)
    connection.executemany(
        "INSERT INTO setting VALUES (?, ?)",
        [("seed", str(seed)), ("articles", str(count))],
    )


def _insert_product(connection: sqlite3.Connection, article: Article, rng: random.Random, moment: datetime) -> None:
    group, english = GROUPS[article.category]
    material = article.sap_material
    changed = moment - timedelta(days=rng.randint(8, 400), seconds=rng.randrange(86_400))
    insert(
        connection,
        model.PRODUCT,
        {
            "Product": material,
            "ProductType": "HAWA",
            "CreationDate": midnight_ms(changed - timedelta(days=30)),
            "LastChangeDate": midnight_ms(changed),
            "LastChangeDateTime": int(changed.timestamp()) * 1000,
            "IsMarkedForDeletion": int(article.number % 400 == 0),
            "ProductOldID": article.kingdee_material,
            "ProductGroup": group,
            "BaseUnit": article.unit,
            "Brand": f"B{zlib.crc32(article.brand.encode()) % 1000:03d}",
            "ProductStandardID": article.gtin,
            "InternationalArticleNumberCat": "HE",
            "IsBatchManagementRequired": int(article.category in _BATCH_MANAGED),
        },
    )
    texts = {"ZH": article.name}
    # Not everything was translated: a reader must cope with a missing language.
    if article.number % 7:
        texts["EN"] = f"{english} {material}"
    for language, text in texts.items():
        insert(
            connection,
            model.DESCRIPTION,
            {
                "Product": material,
                "Language": language,
                "ProductDescription": text[:40],
            },
        )
    _insert_unit(connection, article, article.unit, 1, article.gtin)
    if article.carton_gtin is not None and article.carton_pieces is not None:
        _insert_unit(connection, article, _CARTON, article.carton_pieces, article.carton_gtin)


def _insert_unit(connection: sqlite3.Connection, article: Article, unit: str, pieces: int, gtin: str) -> None:
    insert(
        connection,
        model.UNIT,
        {
            "Product": article.sap_material,
            "AlternativeUnit": unit,
            "QuantityNumerator": pieces * 1000,
            "QuantityDenominator": 1000,
            "GlobalTradeItemNumber": gtin,
            "GlobalTradeItemNumberCategory": "HE",
            "BaseUnit": article.unit,
        },
    )
    insert(
        connection,
        model.EAN,
        {
            "Product": article.sap_material,
            "AlternativeUnit": unit,
            "ConsecutiveNumber": "00001",
            "ProductStandardID": gtin,
            "InternationalArticleNumberCat": "HE",
            "IsMainGlobalTradeItemNumber": 1,
        },
    )


def _opening_lines(article: Article, rng: random.Random) -> Iterator[Line]:
    """Yield one line per stock row that the article opens with."""

    def line(key: StockKey, low: int, high: int) -> Line:
        quantity = rng.randint(low, high) * 1000
        if article.unit == "KG":
            quantity += rng.choice((0, 120, 250, 375, 480, 905))
        return Line(key, quantity, _OPENING_TYPES.get(key.stock_type, "561"))

    sellable = StockKey(article.sap_material, PLANT, SALES_LOCATION)
    if article.category in _BATCH_MANAGED:
        for index in range(rng.randint(2, 4)):
            sellable = replace(sellable, batch=f"{article.number:07d}{index + 1:03d}")
            yield line(sellable, 3, 40)
    elif rng.random() < _SHARE_IN_STOCK:
        yield line(sellable, 1, 120)
    returned = replace(sellable, location=RETURNS_LOCATION)
    for key, share, most in (
        (returned, 0.12, 6),
        (replace(returned, stock_type=BLOCKED), 0.10, 4),
        (replace(sellable, stock_type=QUALITY), 0.06, 12),
    ):
        if rng.random() < share:
            yield line(key, 1, most)
    yield from _special_lines(article, sellable, line)
    if article.number % 50 == 0:
        yield line(replace(sellable, plant=FOREIGN_PLANT, location=_FOREIGN_LOCATION), 5, 60)
    if article.number % 333 == 0:
        # Backdated postings leave real systems with negative rows, where the plant allows them.
        yield Line(returned, -9000, "562")


def _special_lines(
    article: Article,
    sellable: StockKey,
    line: Callable[[StockKey, int, int], Line],
) -> Iterator[Line]:
    """Yield stock that stands in the plant and is not the retailer's to sell freely."""
    if article.number % 25 == 3:  # noqa: PLR2004 - a share
        supplier = f"17300{article.number % 5 + 1:03d}"
        yield line(replace(sellable, supplier=supplier, special="K"), 2, 30)
    if article.number % 60 == 5:  # noqa: PLR2004 - a share
        order = f"{4_000_000 + article.number:010d}"
        yield line(replace(sellable, sd_document=order, sd_item="000010", special="E"), 1, 3)
    if article.number % 60 == 6:  # noqa: PLR2004 - a share
        yield line(replace(sellable, wbs_element=f"{article.number:08d}", special="Q"), 1, 3)
