"""The fault switchboard every sandbox carries: named faults that can be turned on for a number of requests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response


@dataclass
class ActiveFault:
    """A fault that is switched on.

    Attributes:
        remaining: how often it still strikes; None: until it is switched off.
        skip: how many chances it still lets pass before its first strike.
    """

    remaining: int | None
    params: Mapping[str, Any] = field(default_factory=dict)
    struck: int = 0
    skip: int = 0


class Switchboard:
    """Holds which of a sandbox's declared faults are on.

    Every place in a sandbox that can fail asks `strike(fault_id)`; the answer is the fault's parameters when it is on
    (which uses up one of its times) and None when it is off. A place may say what it is about, for instance
    `form="STK_Inventory"`; a fault that was switched on with a parameter of that name strikes there alone.
    """

    def __init__(self, declared: Mapping[str, str]) -> None:
        self.declared = dict(declared)
        self._active: dict[str, ActiveFault] = {}
        self._lock = threading.Lock()

    def turn_on(self, fault_id: str, *, times: int | None = None, skip: int = 0, **params: Any) -> None:  # noqa: ANN401 - free-form per fault
        """Switch a fault on for `times` strikes (None: until switched off), after `skip` chances were let pass.

        Raises:
            KeyError: no such fault is declared.
        """
        if fault_id not in self.declared:
            raise KeyError(fault_id)
        with self._lock:
            self._active[fault_id] = ActiveFault(times, params, skip=skip)

    def turn_off(self, fault_id: str | None = None) -> None:
        """Switch one fault off, or all of them."""
        with self._lock:
            if fault_id is None:
                self._active.clear()
            else:
                self._active.pop(fault_id, None)

    def strike(self, fault_id: str, **about: str) -> Mapping[str, Any] | None:
        """Return the fault's parameters if it strikes now and here, else None."""
        if fault_id not in self.declared:
            raise KeyError(fault_id)
        with self._lock:
            active = self._active.get(fault_id)
            if active is None or not _is_meant(active.params, about):
                return None
            if active.skip > 0:
                active.skip -= 1
                return None
            active.struck += 1
            if active.remaining is not None:
                active.remaining -= 1
                if active.remaining <= 0:
                    del self._active[fault_id]
            return active.params

    def describe(self) -> dict[str, Any]:
        """Return the declared faults and the active ones, as JSON-ready data."""
        with self._lock:
            active = {
                fault_id: {"remaining": fault.remaining, "struck": fault.struck, "params": dict(fault.params)}
                for fault_id, fault in self._active.items()
            }
        return {"declared": self.declared, "active": active}

    def routes(self) -> list[Route]:
        """Return the switchboard's HTTP routes: GET/DELETE /__faults, PUT/DELETE /__faults/{fault_id}."""
        return [
            Route("/__faults", self._handle_all, methods=["GET", "DELETE"]),
            Route("/__faults/{fault_id}", self._handle_one, methods=["PUT", "DELETE"]),
        ]

    async def _handle_all(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.turn_off()
        return JSONResponse(self.describe())

    async def _handle_one(self, request: Request) -> Response:
        fault_id = request.path_params["fault_id"]
        if fault_id not in self.declared:
            return JSONResponse({"unknown_fault": fault_id, "declared": self.declared}, status_code=404)
        if request.method == "DELETE":
            self.turn_off(fault_id)
        else:
            options = await request.json() if await request.body() else {}
            self.turn_on(fault_id, times=options.pop("times", None), skip=options.pop("skip", 0), **options)
        return JSONResponse(self.describe())


def _is_meant(params: Mapping[str, Any], about: Mapping[str, str]) -> bool:
    return all(str(params.get(name, here)).lower() == here.lower() for name, here in about.items())
