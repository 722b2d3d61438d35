"""The ASGI app: both vendors' addresses, an inbox for plain JSON, what arrived, and the fault switchboard."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.faults import Switchboard
from sandbox.notify.robots.faults import FAULTS
from sandbox.notify.robots.vendors import Post, Verdict, judge_dingtalk, judge_webhook, judge_wecom
from sandbox.notify.robots.world import Message, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from sandbox.notify.robots.world import Robot

    Judge = Callable[[World, Robot | None, Post], Verdict]

_PAGE: Final = "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"
_PUNISHED: Final = {"status": 1111, "wait": 5, "source": "x5", "punish": "deny", "uuid": "0"}
# By kind: too many, gone, busy. Plain JSON has HTTP statuses.
_CODES: Final = {
    "dingtalk": {"too-many": 130101, "gone": 300005, "busy": -1},
    "wecom": {"too-many": 45009, "gone": 93000, "busy": -1},
    "json": {"too-many": 429, "gone": 410, "busy": 500},
}


def create_app(world: World | None = None) -> Starlette:
    """Build the sandbox; it keeps what it was sent in memory.

    Args:
        world: what it keeps and the clock it goes by; a new one by default.
    """
    group = Group(world or World(), Switchboard(FAULTS))
    app = Starlette(
        routes=[
            Route("/robot/send", group.dingtalk, methods=["GET", "POST"]),
            Route("/cgi-bin/webhook/send", group.wecom, methods=["POST"]),
            Route("/inbox/{token}", group.inbox, methods=["POST"]),
            Route("/__world/messages", group.messages, methods=["GET"]),
            Route("/__world/reset", group.reset, methods=["POST"]),
            Route("/__world/info", group.info, methods=["GET"]),
            *group.faults.routes(),
        ]
    )
    app.state.world = group.world
    app.state.faults = group.faults
    return app


class Group:
    """A group with its robots."""

    def __init__(self, world: World, faults: Switchboard) -> None:
        self.world = world
        self.faults = faults

    async def dingtalk(self, request: Request) -> Response:
        """Take a post to a DingTalk robot."""
        if request.method == "GET":
            return JSONResponse({"errcode": 43002, "errmsg": "需要POST请求"})
        return await self._take(request, "dingtalk", request.query_params.get("access_token", ""), judge_dingtalk)

    async def wecom(self, request: Request) -> Response:
        """Take a post to a WeCom robot."""
        return await self._take(request, "wecom", request.query_params.get("key", ""), judge_wecom)

    async def inbox(self, request: Request) -> Response:
        """Take an event in plain JSON."""
        return await self._take(request, "json", request.path_params["token"], judge_webhook)

    async def _take(self, request: Request, kind: str, token: str, judge: Judge) -> Response:
        if (wait := self.faults.strike("latency", kind=kind)) is not None:
            await asyncio.sleep(float(wait.get("seconds", 1)))
        failed = self._failure(kind)
        if failed is not None:
            return failed
        post = Post(request.query_params, dict(request.headers), await request.body())
        verdict = self._forced(kind) or judge(self.world, self.world.find(kind, token), post)
        self.world.note(
            Message(
                kind=kind,
                token=token,
                taken=verdict.code == 0,
                answer=f"{verdict.code} {verdict.text}".strip(),
                title=verdict.title,
                text=verdict.said,
                message_id=post.headers.get("webhook-id", ""),
                body=_readable(post.body),
            )
        )
        if self.faults.strike("lost-answer", kind=kind) is not None:
            return HTMLResponse(_PAGE, 504)
        return _answer(kind, verdict)

    def _failure(self, kind: str) -> Response | None:
        """Return what stands between the sender and the vendor, if it does."""
        if self.faults.strike("down-503", kind=kind) is not None:
            return HTMLResponse(_PAGE, 503)
        if self.faults.strike("redirect", kind=kind) is not None:
            return RedirectResponse("https://login.example.com/", 302)
        if self.faults.strike("html-200", kind=kind) is not None:
            return HTMLResponse(_PAGE)
        if self.faults.strike("punished", kind=kind) is not None:
            return JSONResponse(_PUNISHED)
        if self.faults.strike("no-errcode", kind=kind) is not None:
            return JSONResponse({"errmsg": "ok"})
        return None

    def _forced(self, kind: str) -> Verdict | None:
        if (unknown := self.faults.strike("unknown-code", kind=kind)) is not None:
            return Verdict(int(unknown.get("code", 999999)), "unknown")
        for fault, code in _CODES[kind].items():
            if self.faults.strike(fault, kind=kind) is not None:
                return Verdict(code, fault)
        return None

    async def messages(self, _: Request) -> Response:
        """Return all that was posted, and what became of it."""
        return JSONResponse({"messages": self.world.describe()})

    async def reset(self, _: Request) -> Response:
        """Forget what was posted."""
        self.world.reset()
        return JSONResponse({"messages": []})

    async def info(self, _: Request) -> Response:
        """Return how much was posted."""
        return JSONResponse({"messages": len(self.world.messages)})


def _answer(kind: str, verdict: Verdict) -> Response:
    if kind != "json":
        return JSONResponse({"errcode": verdict.code, "errmsg": verdict.text})
    headers = {"Retry-After": "60"} if verdict.code == _CODES["json"]["too-many"] else {}
    return Response(verdict.text, verdict.code or 204, headers)


def _readable(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
