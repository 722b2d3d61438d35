"""The demo retailer's articles: seeded, reproducible, with valid GTIN-13 and a different number in each ERP.

The sandboxes share this catalogue because a real chain sells the same articles from both of its ERPs; what each ERP
knows of an article (numbers, units, variants) is told apart here, and how it says so is each sandbox's own affair.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

DEMO_SEED = 20261111
DEMO_ARTICLES = 2000

# (category, unit, goods, price range in yuan); EA is sold by the piece, KG by weight
_LINES = (
    (
        "服装",
        "EA",
        ("圆领短袖T恤", "修身牛仔裤", "连帽卫衣", "轻薄羽绒服", "针织开衫", "法式连衣裙", "速干运动裤", "纯棉衬衫"),
        (69, 699),
    ),
    ("鞋靴", "EA", ("透气跑步鞋", "经典小白鞋", "真皮乐福鞋", "防滑登山鞋"), (129, 899)),
    (
        "食品",
        "EA",
        ("每日坚果", "手工牛轧糖", "冻干咖啡", "武夷岩茶礼盒", "香辣牛肉干", "芝麻糊", "柠檬苏打水"),
        (9, 199),
    ),
    ("家居", "EA", ("北欧陶瓷马克杯", "记忆棉枕", "天丝四件套", "保温杯", "竹纤维毛巾", "香薰蜡烛"), (19, 499)),
    ("美妆", "EA", ("氨基酸洁面乳", "玻尿酸面膜", "丝绒口红", "防晒霜", "山茶花护手霜"), (29, 399)),
    ("母婴", "EA", ("婴儿纸尿裤", "儿童益智积木", "宽口径奶瓶", "新生儿连体衣"), (39, 299)),
    ("生鲜", "KG", ("阳光玫瑰葡萄", "高山娃娃菜", "精选牛腩"), (8, 128)),
)
_BRANDS = ("青禾", "云朵集", "山野间", "拾光", "北岸", "南巷", "木槿", "初雪", "蓝鲸", "百味坊")
_MODIFIERS = ("经典款", "升级款", "限定款", "家庭装", "便携装", "新款", "加厚款", "礼盒装", "春季款", "联名款")
COLOURS = {"C01": "黑色", "C02": "白色", "C03": "藏青", "C04": "燕麦色", "C05": "雾霾蓝"}
CLOTHES_SIZES = {"S01": "S", "S02": "M", "S03": "L", "S04": "XL"}
SHOE_SIZES = {"S11": "38", "S12": "40", "S13": "42", "S14": "44"}
SIZES = {**CLOTHES_SIZES, **SHOE_SIZES}


@dataclass(frozen=True, slots=True)
class Article:
    """One sellable variant. `colour`/`size` are Kingdee's auxiliary property codes, None where there are none."""

    number: int
    gtin: str
    name: str
    style_name: str
    category: str
    brand: str
    unit: str
    list_price: Decimal
    sap_material: str
    kingdee_material: str
    colour: str | None
    size: str | None
    carton_gtin: str | None
    carton_pieces: int | None


def check_digit(digits: str) -> str:
    """Return the GS1 check digit for a GTIN without one (weights 3, 1, 3 … from the right)."""
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def _gtin13(article: int, prefix: str) -> str:
    body = f"{prefix}{article:05d}"
    return body + check_digit(body)


@lru_cache(maxsize=4)
def articles(count: int = DEMO_ARTICLES, seed: int = DEMO_SEED) -> tuple[Article, ...]:
    """Return the first `count` articles of the catalogue; the same arguments always give the same articles."""
    variants = itertools.chain.from_iterable(_style(style, seed) for style in itertools.count(1))
    numbered = enumerate(itertools.islice(variants, count), start=1)
    return tuple(_number(number, variant) for number, variant in numbered)


def _number(number: int, variant: Article) -> Article:
    return replace(
        variant,
        number=number,
        gtin=_gtin13(number, "6901234"),
        carton_gtin=_gtin13(number, "6907654") if variant.carton_pieces else None,
        sap_material=f"{100000 + number}",
    )


def _style(style: int, seed: int) -> list[Article]:
    """Return one style's variants, without the numbers that count through the catalogue."""
    rng = random.Random(f"{seed}/{style}")
    line, (category, unit, goods, (low, high)) = rng.choice(list(enumerate(_LINES, start=1)))
    brand = rng.choice(_BRANDS)
    style_name = f"{brand}{rng.choice(goods)} {rng.choice(_MODIFIERS)} {style:04d}"
    plain = Article(
        number=0,
        gtin="",
        name=style_name,
        style_name=style_name,
        category=category,
        brand=brand,
        unit=unit,
        list_price=Decimal(rng.randint(low, high)) - Decimal("0.10"),
        sap_material="",
        kingdee_material=f"{line:02d}.{style:05d}",
        colour=None,
        size=None,
        carton_gtin=None,
        carton_pieces=None,
    )
    if category not in {"服装", "鞋靴"}:
        return [replace(plain, carton_pieces=rng.choice((None, 6, 12, 24)) if unit == "EA" else None)]
    colours = rng.sample(sorted(COLOURS), rng.randint(1, 3))
    sizes = sorted(CLOTHES_SIZES if category == "服装" else SHOE_SIZES)
    return [
        replace(plain, name=f"{style_name} {COLOURS[colour]} {SIZES[size]}", colour=colour, size=size)
        for colour in colours
        for size in sizes
    ]
