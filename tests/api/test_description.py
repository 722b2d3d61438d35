"""The description agrees with the app, and the probes with the hub."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema
from fastapi.openapi.models import OpenAPI

from storefront_adapter.api.hot import HOT_ROUTES

if TYPE_CHECKING:
    from tests.api.conftest import Api
    from tests.api.seed import Seed


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(references(value) for value in node))
    return set()


def test_description_is_valid(api: Api) -> None:
    document: Any = api.body("/openapi.json")
    assert document["openapi"].startswith("3.1")
    OpenAPI.model_validate(document)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)
    identifiers = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(identifiers) == len(set(identifiers))


def test_hot_routes_stand_in_the_description_as_in_the_table(api: Api) -> None:
    document: Any = api.body("/openapi.json")
    for hot in HOT_ROUTES:
        operation = document["paths"][hot.path][hot.method.lower()]
        assert operation["x-scope"] == hot.scope
        assert operation["security"]
        assert set(re.findall(r"{(\w+)}", hot.path)) == {
            parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"
        }
        answer = operation["responses"][str(hot.success)]["content"][hot.media_type]["schema"]["$ref"]
        assert answer.endswith(f"/{hot.answer.__name__}")


def test_answers_fit_their_schemas(api: Api) -> None:
    document: Any = api.body("/openapi.json")

    def check(name: str, body: object) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(body)

    check("Stock", api.body("/v1/stock/QH-OIL-500"))
    check("StockPage", api.body("/v1/stock?limit=2"))
    check("LocationList", api.body("/v1/locations"))
    check("Health", api.body("/readyz"))
    check("LookupAnswer", api.client.post("/v1/stock/lookup", json={"skus": ["QH-RICE", "NOPE"]}).json())
    check("Problem", api.get("/v1/stock/NOPE").json())


def test_every_operation_but_the_open_ones_needs_a_key(api: Api) -> None:
    document: Any = api.body("/openapi.json")
    del api.client.headers["Authorization"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "x-scope" in operation:
                answer = api.client.request(method, re.sub(r"{\w+}", "x", path))
                assert answer.status_code == 401, path
            else:
                assert path.split("/")[1] in {"hooks", "livez", "readyz", "metrics"}


def test_docs_page_lists_every_operation_without_foreign_assets(api: Api) -> None:
    page = api.get("/docs").text
    document: Any = api.body("/openapi.json")
    assert all(path in page for path in document["paths"])
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_ready_warns_of_stale_feeds_and_fails_on_a_wrong_schema(api: Api, seed: Seed) -> None:
    seed.feed("sap", age=999)
    body: Any = api.body("/readyz")
    assert body["warnings"] == ["feed sap is stale"]
    assert body["checks"]["migrations"] == "ok"
    seed.connection.execute("UPDATE alembic_version SET version_num = version_num || 'x'")
    answer = api.get("/readyz")
    seed.connection.execute("UPDATE alembic_version SET version_num = rtrim(version_num, 'x')")
    assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
    assert ", needs " in answer.json()["checks"]["migrations"]


def test_ready_and_figures_tell_whether_anybody_looks_for_alerts(api: Api, seed: Seed) -> None:
    body: Any = api.body("/readyz")
    assert body["checks"]["watch"] == {"status": "never", "looked_at": None}
    assert "oneshelf_watch_age_seconds +Inf" in api.get("/metrics").text
    seed.look(age=30)
    body = api.body("/readyz")
    assert body["checks"]["watch"]["status"] == "ok"
    assert body["warnings"] == []
    seed.look(age=601)
    body = api.body("/readyz")
    assert body["checks"]["watch"]["status"] == "late"
    assert "nobody looks" in body["warnings"][0]
    age = re.search(r"^oneshelf_watch_age_seconds (\S+)$", api.get("/metrics").text, re.MULTILINE)
    assert age is not None
    assert 601 <= float(age[1]) < 660


def test_figures_count_open_alerts_by_kind(api: Api, seed: Seed) -> None:
    seed.alert("feed_stale", "sap")
    seed.alert("feed_stale", "kingdee", untold="ops send_alert: busy")
    seed.alert("live_dead", "live", over=True)
    text = api.get("/metrics").text
    assert 'oneshelf_alerts_open{kind="feed_stale"} 2.0' in text
    assert 'oneshelf_alerts_open{kind="live_dead"} 0.0' in text
    assert "oneshelf_alert_messages_untold 1.0" in text


def test_figures_count_requests_by_route_template(api: Api, seed: Seed) -> None:
    seed.connection.execute("INSERT INTO inbox (source, event_id, kind, payload) VALUES ('s', '1', 'k', '{}')")
    seed.feed("new", age=None)
    for path in (
        "/v1/stock/QH-RICE",
        "/v1/stock/NOPE",
        "/some/where",
        "/v1/locations/ST-SH01",
        "/staff/static/icon.svg",
    ):
        api.get(path)
    text = api.get("/metrics").text
    for status, route in (
        (200, "/v1/stock/{sku}"),
        (404, "/v1/stock/{sku}"),
        (404, "unmatched"),
        (200, "/v1/locations/{code}"),
        (200, "/staff/static"),
    ):
        assert f'oneshelf_http_requests_total{{method="GET",route="{route}",status="{status}"}}' in text
    assert "QH-RICE" not in text
    assert 'oneshelf_inbox_events{state="pending"} 1.0' in text
    assert 'oneshelf_stock_feed_age_seconds{source="new"} +Inf' in text
