"""Every answer that is no success is a problem, the framework's own included."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.routing import Route

from storefront_adapter.problems import PROBLEM_TYPES
from tests.api.conftest import build_app
from tests.serving import serve

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from tests.api.conftest import Api
    from tests.api.seed import Seed


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body["type"] == f"/problems/{code}"
    assert (body["status"], body["code"]) == (status, code)
    assert body["title"]
    assert body["detail"]
    assert body["trace_id"] == answer.headers["x-trace-id"]
    return body


def test_framework_errors_are_problems(api: Api) -> None:
    assert_problem(api.get("/nope"), 404, "not-found")
    assert_problem(api.get("/v1/stock/"), 404, "sku-not-found")
    answer = api.client.delete("/v1/locations")
    assert_problem(answer, 405, "method-not-allowed")
    assert "GET" in answer.headers["allow"]
    assert_problem(api.client.put("/v1/stock/lookup"), 405, "method-not-allowed")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("updated_since=2026-01-01T00:00:00", "/query/updated_since"),
    ],
)
def test_wrong_parameters_are_pointed_to(api: Api, query: str, pointer: str) -> None:
    body = assert_problem(api.get(f"/v1/stock?{query}"), 422, "validation-failed")
    errors = body["errors"]
    assert isinstance(errors, list)
    assert [error["pointer"] for error in errors] == [pointer]


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b"{}", "/skus"),
        (b'{"skus": []}', "/skus"),
        (b'{"skus": ["A", 7]}', "/skus/1"),
        (b'{"skus": ["A"], "locations": []}', "/locations"),
        (b'{"skus": ["A"], "sku/s": 1}', "/sku~1s"),
        (b'{"skus": [' + b",".join([b'"A"'] * 201) + b"]}", "/skus"),
    ],
)
def test_wrong_bodies_are_pointed_to(api: Api, content: bytes, pointer: str) -> None:
    answer = api.client.post("/v1/stock/lookup", content=content, headers={"Content-Type": "application/json"})
    errors = assert_problem(answer, 422, "validation-failed")["errors"]
    assert isinstance(errors, list)
    assert [error["pointer"] for error in errors] == [pointer]


def test_other_media_types_are_refused(api: Api) -> None:
    answer = api.client.post("/v1/stock/lookup", content="skus=A", headers={"Content-Type": "text/plain"})
    assert_problem(answer, 415, "unsupported-media-type")


def test_large_bodies_are_refused_with_and_without_a_declared_length(api: Api) -> None:
    large = b"x" * 1_000_001
    assert_problem(api.client.post("/hooks/sap/main", content=large), 413, "payload-too-large")
    assert_problem(api.client.post("/hooks/sap/main", content=iter([large])), 413, "payload-too-large")


def test_a_crash_leaks_nothing(shop_url: str) -> None:
    app = build_app(shop_url, staff_open=True)

    async def crash(_: Request) -> Response:
        raise RuntimeError("the password is 12345")

    app.router.routes.insert(0, Route("/crash", crash))
    with serve(app) as base:
        body = assert_problem(httpx.get(f"{base}/crash"), 500, "internal-error")
    assert "12345" not in str(body)


def test_a_lost_database_is_unavailable_and_not_ready(api: Api, seed: Seed) -> None:
    seed.connection.execute("ALTER TABLE feed RENAME TO lost")
    assert_problem(api.get("/v1/stock/QH-RICE"), 500, "internal-error")
    seed.connection.execute("ALTER TABLE lost RENAME TO feed")
    api.app.state.services.database.close()
    database = seed.connection.info.dbname
    with type(seed.connection).connect(seed.connection.info.dsn, dbname="postgres", autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS false')
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (database,),
        )
        answer = api.get("/v1/stock/QH-RICE")
        ready = api.get("/readyz")
        alive = api.get("/livez")
        admin.execute(f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS true')
    assert_problem(answer, 503, "database-unavailable")
    assert answer.headers["retry-after"]
    assert assert_problem(ready, 503, "not-ready")["checks"] == {"database": "unreachable"}
    assert alive.status_code == httpx.codes.OK
    assert api.get("/v1/stock/QH-RICE").status_code == httpx.codes.OK


@pytest.mark.parametrize("slug", sorted(PROBLEM_TYPES))
def test_every_type_resolves_to_a_page_in_both_languages(api: Api, slug: str) -> None:
    pages = {language: api.get(f"/problems/{slug}", Accept_Language=language) for language in ("zh", "en")}
    assert {page.status_code for page in pages.values()} == {200}
    assert PROBLEM_TYPES[slug].title in unescape(pages["en"].text)
    assert pages["en"].text != pages["zh"].text


def test_titles_follow_the_language_and_codes_do_not(api: Api) -> None:
    chinese = api.get("/nope", Accept_Language="de, zh-CN;q=0.8, en;q=0.3").json()
    english = api.get("/nope", Accept_Language="en-GB").json()
    assert (chinese["title"], english["title"]) == ("该地址不存在", "There is nothing at this address")
    assert chinese["code"] == english["code"]


def test_trace_id_of_the_caller_is_kept(api: Api) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert api.get("/nope", traceparent=f"00-{trace}-00f067aa0ba902b7-01").json()["trace_id"] == trace
    assert len(api.get("/nope", traceparent="nonsense").json()["trace_id"]) == len(trace)


def test_unknown_problem_is_a_problem(api: Api) -> None:
    assert_problem(api.get("/problems/nope"), 404, "not-found")
