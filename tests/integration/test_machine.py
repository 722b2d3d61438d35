"""Anything that may happen to the stock of a small town, in any order, by the code that production runs.

Hypothesis chooses what happens: carts and orders, sales over the counter, documents that the ERP's people post, take
back, post again and delete, reads by two processes that stand still between request and answer and are applied late,
processes that die, a clock that leaps forth and back, counts, pools and safety stock. After every step, for every
level: what is offered, reserved and withheld is no more than what is truly there; every new promise is of something
that is there; what was promised until a moment is kept until then; counters are the sums of their rows, and the ledger
ends where the level stands. Once all has come to its end, the hub offers exactly what there is.

A short run in `make test`; `make model-check` has a longer one.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from random import Random
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.integration.founding import found_town, open_processes
from tests.integration.town import Town
from tests.integration.two_processes import StreamingErp, TwoProcesses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hub.settings import StockSettings

HISTORIES = int(os.environ.get("ONESHELF_MACHINE_HISTORIES", "8"))
STEPS = 200
# Making a failure's history short takes minutes: only where one has come to look for failures.
_PHASES = (Phase.generate, Phase.shrink) if "ONESHELF_MACHINE_HISTORIES" in os.environ else (Phase.generate,)
_SETTINGS = settings(
    max_examples=HISTORIES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    phases=_PHASES,
    suppress_health_check=list(HealthCheck),
)


def happens(*groups: str) -> Callable[[Any], None]:
    """Return a rule: something of one of some groups happens, while anything of them may."""

    def happen(self: AnythingMayHappen, seed: int) -> None:
        self.steps += 1
        pick = Random(f"{seed} {self.steps}").choice  # Hypothesis prefers what stands first, and to do the same again
        name = pick(pick(self.may_happen(groups)))
        note(name)
        self.broken = True  # until it has gone well
        getattr(self.town, name)(pick)
        self.town.check()
        self.broken = False

    happen.__name__ = "_".join(groups)
    return precondition(lambda self: self.may_happen(groups))(rule(seed=st.integers(0, 2**32 - 1))(happen))


class AnythingMayHappen(RuleBasedStateMachine):
    """Drives a town."""

    def __init__(self, url: str, rules: StockSettings) -> None:
        super().__init__()
        self.resources = ExitStack()
        self.broken = False
        self.steps = 0
        erp = StreamingErp()
        self.town = Town.open(self.resources.enter_context(open_processes(url, erp, rules, TwoProcesses)), erp)

    anything = happens("buyers", "carts", "orders", "documents", "goods", "reads", "reads", "people")
    trade = happens("buyers", "carts", "carts", "orders")
    papers = happens("buyers", "orders", "documents", "reads", "reads")
    goods = happens("buyers", "goods", "reads")
    reads = happens("documents", "reads")

    def may_happen(self, groups: Sequence[str]) -> list[list[str]]:
        """Return what may happen of each group."""
        may = self.town.may_happen()
        return [may[group] for group in groups if group in may]

    def teardown(self) -> None:
        with self.resources:
            if not self.broken:
                self.town.drain()


def test_nothing_is_oversold_whatever_happens_and_all_is_exact_in_the_end(database_url: str) -> None:
    rules = found_town(database_url)
    run_state_machine_as_test(lambda: AnythingMayHappen(database_url, rules), settings=_SETTINGS)
