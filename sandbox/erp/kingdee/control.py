"""The world's own HTTP interface, which no ERP has: move stock, read the books, start again. JSON, no credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.erp.kingdee.movement import movements_from
from sandbox.erp.kingdee.stock import NegativeStockError, NumberTakenError, StockError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from sandbox.erp.kingdee.world import World

Handler = tuple[int, dict[str, Any]]
_MOST_MOVES: Final = 5000


class NoBillError(Exception):
    """Raised when a request names a bill that does not exist."""


class WorldControl:
    """Routes under /__world."""

    def __init__(self, world: World, on_reset: Callable[[], None]) -> None:
        self._world = world
        self._on_reset = on_reset

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            _route("movements", self._movement),
            _route("unaudit", self._unaudit),
            _route("audit", self._audit),
            _route("delete", self._delete),
            _route("moves", self._moves),
            _route("options", self._options),
            _route("reset", self._reset),
            _route("stock", lambda _: (200, {"rows": self._world.stock_rows()}), method="GET"),
            _route("totals", lambda _: (200, self._world.totals()), method="GET"),
            _route("info", lambda _: (200, self._world.describe()), method="GET"),
        ]

    def _movement(self, body: Mapping[str, Any]) -> Handler:
        posted = self._world.move(*movements_from(body))
        if posted is None:
            return 200, {"form": None, "bill_no": None, "id": None}
        return 201, {"form": posted.form, "bill_no": posted.bill_no, "id": posted.bill_id}

    def _unaudit(self, body: Mapping[str, Any]) -> Handler:
        return self._turn(body, expected="C")

    def _audit(self, body: Mapping[str, Any]) -> Handler:
        return self._turn(body, expected="ABD")

    def _turn(self, body: Mapping[str, Any], expected: str) -> Handler:
        """Audit a bill or take it back, once: a bill that stands otherwise is a conflict."""
        with self._world.database.transaction():
            bill = self._named(body)
            if bill["status"] not in expected:
                return 409, {"error": f"{bill['number']} is in state {bill['status']}"}
            if expected == "C":
                self._world.unaudit(bill["id"])
            else:
                self._world.audit(bill["id"], allow_negative=bool(body.get("allow_negative", False)))
            return 200, _identity(bill) | {"status": self._named(body)["status"]}

    def _delete(self, body: Mapping[str, Any]) -> Handler:
        """Un-audit and delete a bill in one step, so that no list shows it as one that was taken back."""
        with self._world.database.transaction():
            bill = self._named(body)
            self._world.delete(bill["id"])
        return 200, _identity(bill)

    def _named(self, body: Mapping[str, Any]) -> sqlite3.Row:
        form, number = str(body.get("form") or ""), str(body.get("bill_no") or "")
        bill = self._world.find_bill(form, number=number)
        if bill is None:
            raise NoBillError(f"no such bill: {form} {number}")
        return bill

    def _moves(self, body: Mapping[str, Any]) -> Handler:
        count = min(int(body.get("count", 1)), _MOST_MOVES)
        step = float(body.get("over_seconds", 0)) / max(count, 1)
        posted = [self._world.random_move(step) for _ in range(count)]
        bills = [{"form": bill.form, "bill_no": bill.bill_no, "id": bill.bill_id} for bill in posted if bill]
        return 201, {"bills": bills}

    def _options(self, body: Mapping[str, Any]) -> Handler:
        if "keep_zero_rows" in body:
            self._world.set_keep_zero_rows(bool(body["keep_zero_rows"]))
        return 200, {"keep_zero_rows": self._world.keep_zero_rows}

    def _reset(self, _body: Mapping[str, Any]) -> Handler:
        self._world.reset()
        self._on_reset()
        return 200, self._world.describe()


def _identity(bill: sqlite3.Row) -> dict[str, Any]:
    return {"form": bill["form"], "bill_no": bill["number"], "id": bill["id"]}


def _route(name: str, answer: Callable[[Mapping[str, Any]], Handler], *, method: str = "POST") -> Route:
    async def handle(request: Request) -> Response:
        try:
            body = await request.json() if await request.body() else {}
            if not isinstance(body, dict):
                return JSONResponse({"error": "a JSON object is expected"}, status_code=422)
            status, payload = await run_in_threadpool(answer, body)
        except NegativeStockError as error:
            return JSONResponse({"error": f"not enough stock: {error}"}, status_code=409)
        except NumberTakenError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        except NoBillError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        except (StockError, ValueError) as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        return JSONResponse(payload, status_code=status)

    return Route(f"/__world/{name}", handle, methods=[method])
