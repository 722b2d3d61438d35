"""The demo's proof: what the storefront says is what the ERPs say when they are asked apart from our connectors.

The ERPs are asked for their own books (`/__world/stock`), row by row. What may be sold of them, and which SKU each of
their numbers is, is worked out here from the catalogue alone, with none of the hub's code.
"""

from __future__ import annotations

import json
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sandbox.catalogue import Article, articles
from sandbox.erp.sap.seed import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Totals = dict[tuple[str, str], Decimal]
"""Sellable quantity by (location code, SKU); zeros are left out."""

OWN = "100"
"""The organisation whose goods are the retailer's own; others' are consigned."""
_SHANGHAI = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class DemoRules:
    """What the check must be told of the set-up: places by the ERPs' codes, and the days before expiry by category."""

    places: Mapping[str, str]
    expiring_days: Mapping[str, int]
    article_count: int


def fetch_json(url: str, *, body: object = None, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON answer of a local URL; POSTs when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, headers=sent)  # noqa: S310 - our own loopback URLs
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.load(response)


def sap_totals(url: str, rules: DemoRules) -> Totals:
    """Return what SAP's own books say may be sold: unrestricted stock (01) without special stock."""
    skus = {article.sap_material: article for article in articles(rules.article_count)}
    found: Totals = defaultdict(Decimal)
    for row in fetch_json(f"{url}/__world/stock")["rows"]:
        place = rules.places.get(f"{row['plant']}/{row['storage_location']}")
        article = skus.get(row["material"])
        if place and article and row["stock_type"] == "01" and not row["special_stock"]:
            found[place, article.sap_material] += Decimal(row["quantity"])
    return _without_zeros(found)


def kingdee_totals(url: str, rules: DemoRules) -> Totals:
    """Return what Kingdee's own books say may be sold: own goods in state 可用 whose lots do not expire too soon."""
    by_number = {_kingdee_number(article): article for article in articles(rules.article_count)}
    today = datetime.now(_SHANGHAI).date()
    found: Totals = defaultdict(Decimal)
    for row in fetch_json(f"{url}/__world/stock")["rows"]:
        place = rules.places.get(row["stock"])
        article = by_number.get((row["material"], row["colour"] or None, row["size"] or None))
        if (
            place
            and article
            and row["status"] == "KCZT01_SYS"
            and row["owner"] == OWN
            and _keeps(row, article, today, rules)
        ):
            found[place, article.sap_material] += Decimal(row["quantity"])
    return _without_zeros(found)


def storefront_totals(url: str, api_key: str) -> Totals:
    """Return what the storefront API says, walked page by page."""
    found: Totals = {}
    for level in _walk(f"{url}/v1/stock", api_key):
        found[level["location"], level["sku"]] = Decimal(level["on_hand"])
    return _without_zeros(found)


def _walk(url: str, api_key: str) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        page = fetch_json(f"{url}?limit=200{cursor}", headers={"Authorization": f"Bearer {api_key}"})
        yield from page["items"]
        if not page["next_cursor"]:
            return
        cursor = f"&cursor={page['next_cursor']}"


def _kingdee_number(article: Article) -> tuple[str, str | None, str | None]:
    return article.kingdee_material, article.colour, article.size


def _keeps(row: Mapping[str, Any], article: Article, today: date, rules: DemoRules) -> bool:
    if not row["expires"]:
        return True
    group, _ = GROUPS[article.category]
    days = rules.expiring_days.get(group, rules.expiring_days.get("default", 0))
    return date.fromisoformat(row["expires"][:10]) >= today + timedelta(days=days)


def _without_zeros(totals: Mapping[tuple[str, str], Decimal]) -> Totals:
    return {key: quantity for key, quantity in totals.items() if quantity}


def differences(expected: Totals, found: Totals) -> list[tuple[str, str, Decimal, Decimal]]:
    """Return (location, SKU, expected, found) wherever the two disagree."""
    return [
        (place, sku, expected.get((place, sku), Decimal(0)), found.get((place, sku), Decimal(0)))
        for place, sku in sorted(expected.keys() | found.keys())
        if expected.get((place, sku)) != found.get((place, sku))
    ]
