"""The API's description (OpenAPI 3.1), its page for people, and the pages that explain problems."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from storefront_adapter.api.body import json_response
from storefront_adapter.api.hot import HOT_ROUTES, HotRoute
from storefront_adapter.api.schemas import BODIES, Problem
from storefront_adapter.problems import MEDIA_TYPE, PROBLEM_TYPES, ProblemError
from storefront_adapter.services import services_of

_REFERENCE = "#/components/schemas/{model}"
_KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer osk_…`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_DESCRIPTION = (
    "One view of stock for the online shop and every store. Quantities are decimal numbers as text; every answer tells"
    " how old it is. Every failure is a problem (RFC 9457) with a stable `code`."
)
# FastAPI's own names for what is a problem here
_REPLACED_SCHEMAS = ("HTTPValidationError", "ValidationError")


def description_router() -> APIRouter:
    """Return the routes, which are not part of the description themselves."""
    router = APIRouter(include_in_schema=False)
    router.get("/openapi.json")(openapi_document)
    router.get("/docs")(docs_page)
    router.get("/problems")(problem_index)
    router.get("/problems/{slug}")(problem_page)
    return router


async def openapi_document(request: Request) -> Response:
    """Return the description."""
    return json_response(request.app.openapi(), headers={"Cache-Control": "no-cache"})


async def docs_page(request: Request) -> Response:
    """List the operations, without any script or foreign asset."""
    document = request.app.openapi()
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return services_of(request).pages.plain(request, "docs.html", document=document, operations=operations)


async def problem_index(request: Request) -> Response:
    """List all kinds of problems."""
    return services_of(request).pages.plain(request, "problems.html", problems=PROBLEM_TYPES.values())


async def problem_page(request: Request, slug: str) -> Response:
    """Explain one kind of problem."""
    if slug not in PROBLEM_TYPES:
        raise ProblemError("not-found")
    return services_of(request).pages.plain(request, "problems.html", problems=[PROBLEM_TYPES[slug]])


def install_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` describe the hot routes too; the document is built at its first use."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]  # FastAPI's documented way to extend the description


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="Oneshelf storefront API",
        version=app.version,
        openapi_version="3.1.0",
        description=_DESCRIPTION,
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _REPLACED_SCHEMAS:
        schemas.pop(name, None)
    _add_schema(schemas, Problem)
    for hot in HOT_ROUTES:
        document["paths"].setdefault(hot.path, {})[hot.method.lower()] = _hot_operation(hot)
        for model in (hot.answer, hot.request):
            if model is not None:
                _add_schema(schemas, model)
    for body in BODIES:
        _add_schema(schemas, body)
    for methods in document["paths"].values():
        for operation in methods.values():
            _finish(operation)
    document["components"]["securitySchemes"] = _KEY_SCHEMES
    document["paths"] = dict(sorted(document["paths"].items()))
    return document


def _add_schema(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(ref_template=_REFERENCE, mode="serialization")
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema


def _hot_operation(hot: HotRoute) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": hot.handler.__name__,
        "summary": hot.summary,
        "description": hot.description,
        "x-scope": hot.scope,
        "parameters": [dict(parameter) for parameter in hot.parameters],
        "responses": {
            str(hot.success): {"description": "OK", "content": _content(hot.answer.__name__, hot.media_type)}
        },
    }
    if hot.request is not None:
        operation["requestBody"] = {"required": True, "content": _content(hot.request.__name__)}
    if any(parameter["name"] == "If-None-Match" for parameter in hot.parameters):
        operation["responses"]["304"] = {"description": "Nothing but the age has changed"}
        headers = ("ETag", "X-Stock-As-Of")
        operation["responses"]["200"]["headers"] = {name: {"schema": {"type": "string"}} for name in headers}
    for status in hot.statuses:
        operation["responses"][str(status)] = {}
    return operation


def _content(model: str, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REFERENCE.format(model=model)}}}


def _finish(operation: dict[str, Any]) -> None:
    """Give the operation its security and say that every failure is a problem."""
    if body := operation.pop("x-body", None):
        operation["requestBody"] = {"required": True, "content": _content(body)}
    scope = operation.get("x-scope")
    if scope:
        operation["security"] = [{name: []} for name in _KEY_SCHEMES]
        operation["responses"].update({"401": {}, "403": {}})
    content = {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}}
    for status, response in operation["responses"].items():
        if status.startswith(("4", "5")):
            operation["responses"][status] = {"description": response.get("description") or "Problem"}
            operation["responses"][status]["content"] = content
    operation["responses"]["default"] = {"description": "Problem", "content": content}
