"""The Gateway: one HTTP request of OData from log-on to answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from sandbox.erp.sap import errors
from sandbox.erp.sap.auth import CONTEXT_COOKIE, SAP_CLIENT, SESSION_COOKIE
from sandbox.erp.sap.errors import ODataError, render_json, render_xml
from sandbox.erp.sap.metadata import render_metadata, render_service_document
from sandbox.erp.sap.model import SERVICES, EntitySet
from sandbox.erp.sap.odata import split_path
from sandbox.erp.sap.replies import ATOM_SERVICE, HTML, TEXT, XML, Reply, html_page, logon_failed, logon_page
from sandbox.erp.sap.serialise import entity_uri
from sandbox.erp.sap.writing import call_function, create_document, document_key
from sandbox.transport import NESTED_TOO_DEEPLY, DrippingResponse, damage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from sandbox.erp.sap.auth import Gatekeeper
    from sandbox.erp.sap.model import FunctionImport, Service
    from sandbox.erp.sap.odata import Segment
    from sandbox.erp.sap.resources import Reader
    from sandbox.erp.sap.world import World
    from sandbox.faults import Switchboard

ROOT: Final = "/sap/opu/odata/sap"
_READING: Final = frozenset({"GET", "HEAD"})
_LANGUAGES: Final = frozenset({"ZH", "EN"})


class Gateway:
    """Serves the OData services and the token endpoint."""

    def __init__(self, world: World, reader: Reader, gatekeeper: Gatekeeper, faults: Switchboard) -> None:
        self._world = world
        self._reader = reader
        self._gatekeeper = gatekeeper
        self._faults = faults

    async def token(self, request: Request) -> Response:
        """Answer a token request (OAuth 2.0 client credentials)."""
        body = (await request.body()).decode("utf-8", "replace")
        status, content = self._gatekeeper.issue_token(request.headers.get("authorization"), body)
        return JSONResponse(content, status_code=status, headers={"cache-control": "no-store"})

    async def odata(self, request: Request) -> Response:
        """Answer one request below the OData root."""
        await self._wait("latency")
        call = Call(request, await request.body())
        reply = self._front(request)
        if reply is None:
            reply = await run_in_threadpool(self._answer, call)
        return self._send(call, reply)

    async def _wait(self, fault_id: str) -> None:
        params = self._faults.strike(fault_id)
        if params is not None:
            await asyncio.sleep(float(params.get("seconds", 1)))

    def _front(self, request: Request) -> Reply | None:
        """Answer what happens before the Gateway is reached: no way through to it, or a failed log-on."""
        blocked = self._blocked()
        if blocked is not None:
            return blocked
        if self._faults.strike("auth-401") is not None:
            self._gatekeeper.revoke_tokens()
            return logon_failed()
        user = self._gatekeeper.user_of(request.headers.get("authorization"))
        if user is None or request.query_params.get("sap-client", SAP_CLIENT) != SAP_CLIENT:
            return logon_failed()
        request.state.user = user
        return None

    def _blocked(self) -> Reply | None:
        """Answer for the servers before the Gateway, if their faults strike."""
        failed = self._faults.strike("html-503")
        if failed is not None:
            status = int(failed.get("status", 503))
            return html_page(status, f"{status} Service Unavailable", "The dispatcher reached no application server")
        limited = self._faults.strike("rate-429")
        if limited is not None:
            return html_page(429, "429 Too Many Requests", "Quota exceeded", retry_after=_seconds(limited))
        busy = self._faults.strike("busy-503")
        if busy is not None:
            return html_page(503, "503 Service Unavailable", "All work processes busy", retry_after=_seconds(busy))
        if self._faults.strike("deep-json") is not None:
            return Reply(200, b'{"d":' + NESTED_TOO_DEEPLY)
        return logon_page() if self._faults.strike("html-200") is not None else None

    def _answer(self, call: Call) -> Reply:
        try:
            reply = self._authorized(call)
        except ODataError as error:
            if call.wants_json:
                body = render_json(error, call.language, call.service_name)
                reply = Reply(error.status, body, headers=error.headers)
            else:
                reply = Reply(error.status, render_xml(error, call.language), XML, error.headers)
        reply.headers.setdefault("dataserviceversion", "2.0")
        reply.headers.setdefault("cache-control", "no-store, no-cache")
        return reply

    def _authorized(self, call: Call) -> Reply:
        service = SERVICES.get(call.service_name)
        if service is None or self._faults.strike("service-inactive-403") is not None:
            raise ODataError(
                403,
                errors.SERVICE_INACTIVE,
                f"No service found for namespace '', name '{call.service_name}', version '0001'",
                f"未找到名称空间 ''、名称 '{call.service_name}'、版本 '0001' 的服务",
            )
        if self._faults.strike("role-403") is not None:
            raise ODataError(
                403,
                errors.NO_AUTHORIZATION,
                f"No authorization to access service '{service.name}'",
                f"没有访问服务 '{service.name}' 的权限",
            )
        headers: dict[str, str] = {}
        cookies: list[str] = []
        if call.method in _READING:
            self._fetch_token(call, headers, cookies)
            reply = self._read(service, call)
        elif self._token_is_valid(call):
            reply = self._write(service, call)
            self._warn(reply)
        else:
            return Reply(403, b"CSRF token validation failed", TEXT, {"x-csrf-token": "Required"})
        reply.headers.update(headers)
        reply.cookies.extend(cookies)
        return reply

    def _fetch_token(self, call: Call, headers: dict[str, str], cookies: list[str]) -> None:
        if call.headers.get("x-csrf-token", "").lower() != "fetch":
            return
        session = self._gatekeeper.session(call.cookies, call.user)
        lost = self._faults.strike("cookie-lost") is not None
        if session is None or lost:
            key, session = self._gatekeeper.open_session(call.user)
            if not lost:
                cookies.append(f"{SESSION_COOKIE}={key}; path=/; HttpOnly")
                cookies.append(f"{CONTEXT_COOKIE}=sap-client={SAP_CLIENT}; path=/")
        headers["x-csrf-token"] = session.csrf_token

    def _token_is_valid(self, call: Call) -> bool:
        if self._faults.strike("csrf-expired") is not None:
            self._gatekeeper.end_session(call.cookies)
        session = self._gatekeeper.session(call.cookies, call.user)
        return session is not None and call.headers.get("x-csrf-token") == session.csrf_token

    def _read(self, service: Service, call: Call) -> Reply:
        if not call.segments:
            if call.wants_json:
                return _json_reply({"d": {"EntitySets": [entity_set.name for entity_set in service.sets]}})
            return Reply(200, render_service_document(service, f"{call.base}/"), ATOM_SERVICE)
        if call.segments[0].name == "$metadata":
            return Reply(200, render_metadata(service), XML)
        payload = self._reader.read(service, call.path, call.segments, call.query, call.base)
        if isinstance(payload, str):
            return Reply(200, payload.encode(), TEXT)
        if not call.wants_json:
            raise ODataError(
                501,
                errors.NOT_IMPLEMENTED,
                "This stand-in answers entities in JSON only: ask with $format=json or Accept: application/json",
            )
        reply = _json_reply(payload)
        self._warn(reply)
        return reply

    def _write(self, service: Service, call: Call) -> Reply:
        name = call.segments[0].name if len(call.segments) == 1 and call.segments[0].key is None else ""
        entity_set, function = service.set_by_name.get(name), service.function_by_name.get(name)
        creating = entity_set is not None and entity_set.creatable
        if call.method != "POST" or "x-http-method" in call.headers or not (creating or function):
            raise ODataError(
                501,
                errors.NOT_IMPLEMENTED,
                f"Method '{call.method}' for '{call.path}' not implemented in data provider class",
                f"数据提供者类中未实现 '{call.path}' 的方法 '{call.method}'",
            )
        if self._faults.strike("lock-400") is not None:
            raise ODataError(
                400,
                errors.OBJECT_LOCKED,
                "The material is blocked by user WAREHOUSE01",
                "物料已被用户 WAREHOUSE01 锁定",
            )
        if function is not None:
            return self._call_function(service, function, call)
        return self._create(service, service.set_by_name[name], call)

    def _call_function(self, service: Service, function: FunctionImport, call: Call) -> Reply:
        key = call_function(self._world, function, call.query, call.user)
        entity = self._reader.entity(service, service.set_by_name[function.returns], key, call.base)
        return self._losable(_json_reply({"d": entity}))

    def _create(self, service: Service, entity_set: EntitySet, call: Call) -> Reply:
        posted = create_document(self._world, call.body, call.user)
        key = document_key(posted)
        entity = self._reader.entity(service, entity_set, key, call.base, "to_MaterialDocumentItem")
        row = {"MaterialDocumentYear": posted.year, "MaterialDocument": posted.number}
        reply = _json_reply({"d": entity}, 201)
        reply.headers["location"] = entity_uri(call.base, entity_set, row)
        return self._losable(reply)

    def _losable(self, reply: Reply) -> Reply:
        """Lose the answer of a write that is already posted, if that fault strikes."""
        lost = self._faults.strike("lost-201")
        if lost is None:
            return reply
        if "status" in lost:
            return html_page(
                int(lost["status"]), "504 Gateway Time-out", "The application server did not answer in time"
            )
        reply.lost = True
        return reply

    def _warn(self, reply: Reply) -> None:
        if self._faults.strike("sap-message") is None:
            return
        message = {
            "code": "M7/053",
            "message": "Posting only possible in the current and the previous period",
            "severity": "warning",
            "target": "",
            "details": [],
        }
        reply.headers["sap-message"] = json.dumps(message)

    def _send(self, call: Call, reply: Reply) -> Response:
        if reply.body and self._faults.strike("bad-utf8") is not None:
            reply.body = damage(reply.body)
        if reply.body and self._faults.strike("wrong-type") is not None:
            reply.media_type = HTML
        drip = self._faults.strike("drip") if reply.body else None
        if drip is not None:
            seconds = float(drip.get("seconds", 0.02))
            return DrippingResponse(reply.body, media_type=reply.media_type, seconds=seconds)
        stall = self._faults.strike("slow") if reply.body else None
        cut = reply.body != b"" and self._faults.strike("connection-cut") is not None
        if "gzip" in call.headers.get("accept-encoding", "") and reply.body:
            if self._faults.strike("cut-gzip") is not None:
                reply.cut_gzip()
            else:
                reply.compress()
        return reply.response(stall_seconds=float(stall.get("seconds", 1)) if stall is not None else 0, cut=cut)


class Call:
    """What the Gateway needs to know of one request."""

    def __init__(self, request: Request, body: bytes) -> None:
        self._request = request
        self.body = body
        self.method = request.method
        self.headers: Mapping[str, str] = request.headers
        self.cookies: Mapping[str, str] = request.cookies
        self.query: Mapping[str, str] = request.query_params
        self.service_name, _, self.path = str(request.path_params["path"]).partition("/")
        self.path = self.path.rstrip("/")
        self.base = f"{str(request.base_url).rstrip('/')}{ROOT}/{self.service_name}"

    @property
    def segments(self) -> list[Segment]:
        """Return the resource path below the service."""
        return split_path(self.path)

    @property
    def user(self) -> str:
        """Return who is logged on."""
        return str(self._request.state.user)

    @property
    def wants_json(self) -> bool:
        """Return whether the client asks for JSON; without a word a Gateway answers XML."""
        if "$format" in self.query:
            return self.query["$format"] == "json"
        return "application/json" in self.headers.get("accept", "")

    @property
    def language(self) -> str:
        """Return the logon language, which the messages are in."""
        asked = self.query.get("sap-language", "").upper()
        return asked if asked in _LANGUAGES else "ZH"


def _json_reply(payload: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status, json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


def _seconds(params: Mapping[str, Any]) -> str:
    return str(params.get("retry_after", 2))
