"""The sandbox as an ASGI app: POST /k3cloud/{service}.common.kdsvc, /__world, /__faults."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.catalogue import DEMO_SEED
from sandbox.erp.kingdee.control import WorldControl
from sandbox.erp.kingdee.faults import FAULTS
from sandbox.erp.kingdee.service import Services
from sandbox.erp.kingdee.session import LOGINS, SID_NAME, Admission, Sessions
from sandbox.erp.kingdee.signature import Verdict
from sandbox.erp.kingdee.wire import AUTH_FAILED, LOST, ApiError, ServerFailure, parse_call, refusal, render
from sandbox.erp.kingdee.world import World
from sandbox.faults import Switchboard
from sandbox.transport import NESTED_TOO_DEEPLY, DrippingResponse, damage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

_PREFIX: Final = "k3cloud"
_SUFFIX: Final = ".common.kdsvc"
_LOGIN_PAGE: Final = "<!DOCTYPE html><html><head><title>金蝶云星空</title></head><body>请登录</body></html>"
_BAD_GATEWAY: Final = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_EXPIRES: Final = "Wed, 21-Oct-2037 07:28:00 GMT"


class Server:
    """The WebAPI's HTTP half: sessions, transport faults and cookies around the services."""

    def __init__(self, world: World, switchboard: Switchboard, max_rows: int) -> None:
        self._faults = switchboard
        self.sessions = Sessions()
        self._services = Services(world, self._faults, max_rows)

    async def handle(self, request: Request) -> Response:
        """Answer one WebAPI call."""
        service = request.path_params["service"]
        prefix = request.path_params["prefix"]
        if prefix.lower() != _PREFIX or not service.lower().endswith(_SUFFIX):
            return PlainTextResponse("404", status_code=404)
        body = await request.body()
        latency = self._faults.strike("latency")
        if latency is not None:
            await asyncio.sleep(float(latency.get("seconds", 0.2)))
        early = self._transport_fault()
        if early is not None:
            return early
        cut = self._faults.strike("connection-cut")
        if cut is not None and cut.get("stage") == "before":
            return CutResponse("[")
        method = service[: -len(_SUFFIX)].rsplit(".", 1)[-1]
        response = await run_in_threadpool(self._serve, request, method, body)
        slow = self._faults.strike("slow")
        if slow is not None:
            await asyncio.sleep(float(slow.get("seconds", 5)))
        return self._spoilt(response) if cut is None else CutResponse(bytes(response.body).decode())

    def _spoilt(self, response: Response) -> Response:
        """Return an answer as the faults of its way here leave it."""
        drip = self._faults.strike("drip")
        if drip is not None:
            body = bytes(response.body)
            return DrippingResponse(body, media_type="application/json", seconds=float(drip.get("seconds", 0.02)))
        if self._faults.strike("deep-json") is not None:
            return _json(NESTED_TOO_DEEPLY)
        if self._faults.strike("bad-utf8") is not None:
            response.body = damage(bytes(response.body))
        if self._faults.strike("wrong-type") is not None:
            response.headers["content-type"] = "text/html; charset=gbk"
        return response

    def _transport_fault(self) -> Response | None:
        failed = self._faults.strike("html-502")
        if failed is not None:
            return HTMLResponse(_BAD_GATEWAY, status_code=int(failed.get("status", 502)))
        if self._faults.strike("html-200") is not None:
            return HTMLResponse(_LOGIN_PAGE)
        limited = self._faults.strike("rate-429")
        if limited is not None:
            seconds = str(limited.get("retry_after", 1))
            return PlainTextResponse("请求过于频繁，请稍后再试", status_code=429, headers={"Retry-After": seconds})
        if self._faults.strike("busy-text") is not None:
            return PlainTextResponse("服务器繁忙，请稍后重试")
        escaped = self._faults.strike("response-error-text")
        if escaped is not None:
            return _failure(str(escaped.get("message", "未将对象引用设置到对象的实例。")))
        return None

    def _serve(self, request: Request, method: str, body: bytes) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            call = parse_call(method, headers.get("content-type", ""), body)
            if call.method in LOGINS:
                return self._login(call.method, call.arguments)
            admission = self.sessions.admit(request.url.path, headers, self._faults)
            if admission.verdict is Verdict.WRONG_TENANT:
                return PlainTextResponse("Fail to verify thirty passport", status_code=500)
            if admission.verdict is Verdict.BAD:
                payload = refusal(call.method, ApiError(LOST, AUTH_FAILED))
            else:
                payload = self._services.answer(call)
        except ServerFailure as error:
            return _failure(str(error))
        return self._with_cookies(_json(render(payload, self._faults)), admission)

    def _login(self, method: str, arguments: tuple[str, ...]) -> Response:
        answer = self.sessions.login(method, arguments, self._faults)
        sid = str(answer["KDSVCSessionId"] or "")
        return self._with_cookies(_json(render(answer, self._faults)), Admission(Verdict.GOOD, sid))

    def _with_cookies(self, response: Response, admission: Admission) -> Response:
        commas = self._faults.strike("set-cookie-comma") is not None
        expires = f"; expires={_EXPIRES}" if commas else ""
        if admission.set_sid:
            response.headers.append("Set-Cookie", f"{SID_NAME}={admission.set_sid}{expires}; path=/")
        if admission.set_sid or commas:
            response.headers.append("Set-Cookie", f"Theme=standard{expires}; path=/")
        if commas and not admission.set_sid:
            response.headers.append("Set-Cookie", f"ASP.NET_SessionId=sandbox{expires}; path=/; HttpOnly")
        return response


class CutResponse(Response):
    """Sends the head and half of the body, and then nothing: the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send a part and leave the answer unfinished."""
        half = bytes(self.body)[: max(1, len(self.body) // 2)]
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(self.body) + 1).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})


def _json(text: str | bytes) -> Response:
    return Response(text, media_type="application/json; charset=utf-8")


def _failure(message: str) -> Response:
    return PlainTextResponse(f"response_error: {message}")


def create_app(
    database: Path | str,
    *,
    articles: int = 2000,
    seed: int = DEMO_SEED,
    moves_per_minute: float = 0,
    max_rows: int = 2000,
    behind: timedelta = timedelta(),
) -> Starlette:
    """Return the sandbox; its state is in the SQLite file `database` and found again by the next app on that file.

    Args:
        database: where the state is kept; seeded when it is empty.
        articles: how many articles of the shared catalogue to seed.
        seed: what the catalogue and the opening stock are drawn from.
        moves_per_minute: how many random movements a background task posts on average; 0 for none.
        max_rows: the most rows of one query page; a larger Limit is cut silently.
        behind: how far the server's clock is behind at first.
    """
    switchboard = Switchboard(FAULTS)
    world = World(database, articles=articles, seed=seed, strike=switchboard.strike, behind=behind)
    server = Server(world, switchboard, max_rows)
    control = WorldControl(world, server.sessions.clear)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(_live(world, moves_per_minute)) if moves_per_minute > 0 else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await run_in_threadpool(world.database.close)

    routes = [
        *control.routes(),
        *switchboard.routes(),
        Route("/", lambda _request: JSONResponse(world.describe())),
        Route("/{prefix}/{service}", server.handle, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.world = world
    app.state.switchboard = switchboard
    return app


async def _live(world: World, moves_per_minute: float) -> None:
    """Post random movements for ever, at random intervals with the given mean."""
    rng = random.Random()
    while True:
        await asyncio.sleep(rng.expovariate(moves_per_minute / 60))
        await run_in_threadpool(world.random_move)
