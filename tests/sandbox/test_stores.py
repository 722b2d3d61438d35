"""Many shops at once: each carries its share, what is there can be sold, and opening them again changes nothing."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from sandbox.catalogue import articles
from sandbox.erp.kingdee import stores as kingdee_stores
from sandbox.erp.kingdee.movement import movements_from
from sandbox.erp.kingdee.world import World as KingdeeWorld
from sandbox.erp.sap import stores as sap_stores
from sandbox.erp.sap.store import Store
from sandbox.erp.sap.world import World as SapWorld

if TYPE_CHECKING:
    from pathlib import Path

ARTICLES, STORES, EVERY = 60, 4, 3


def test_sap(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "sap.db")) as store:
        world = SapWorld(store, articles=ARTICLES, seed=1)
        before = world.totals()["locations"]
        sap_stores.open_stores(store, STORES, every=EVERY)
        codes = [sap_stores.store_code(number) for number in range(1, STORES + 1)]
        rows = [row for row in world.stock() if f"{row['plant']}/{row['storage_location']}" in codes]
        assert Counter(row["plant"] for row in rows) == dict.fromkeys(["S001", "S002", "S003", "S004"], 20)
        assert {row["material"] for row in rows} == {article.sap_material for article in articles(ARTICLES, 1)}
        after = world.totals()["locations"]
        assert {code: after[code] for code in before} == before
        sap_stores.open_stores(store, STORES, every=EVERY)
        assert world.totals()["locations"] == after
        sold = next(row for row in rows if row["batch"])
        order = {"kind": "sale", "quantity": "1", "material": sold["material"], "plant": sold["plant"]}
        assert world.move({**order, "storage_location": sold["storage_location"]}).number


def test_kingdee(tmp_path: Path) -> None:
    world = KingdeeWorld(tmp_path / "kingdee.db", articles=ARTICLES, seed=1)
    with closing(world.database) as database:
        before = world.totals()["locations"]
        kingdee_stores.open_stores(database, STORES, every=EVERY)
        codes = [kingdee_stores.store_code(number) for number in range(1, STORES + 1)]
        rows = [row for row in world.stock_rows() if row["stock"] in codes]
        assert Counter(row["stock"] for row in rows) == dict.fromkeys(codes, 20)
        sold = {(row["material"], row["colour"], row["size"]) for row in rows}
        assert sold == {(a.kingdee_material, a.colour or "", a.size or "") for a in articles(ARTICLES, 1)}
        assert all(bool(row["lot"]) == bool(row["expires"]) for row in rows)
        after = world.totals()["locations"]
        assert {code: after[code] for code in before} == before
        kingdee_stores.open_stores(database, STORES, every=EVERY)
        assert world.totals()["locations"] == after
        lot = next(row for row in rows if row["lot"])
        names = {name: lot[name] for name in ("material", "colour", "size", "stock")}
        assert world.move(*movements_from({"kind": "sale", "quantity": "1", **names}))
