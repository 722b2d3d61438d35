"""Running Oneshelf on one machine: all processes started in order, watched, and stopped together."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from oneshelf.processes import StartError
from oneshelf.stack import Stack, open_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from hub.settings import Settings
    from oneshelf.processes import Child

_WATCH_SECONDS = 2.0
_RUN_SECONDS = 600.0
INTERRUPTED = 130


class Steps:
    """Shows one step after the other with a progress bar."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=total)

    @contextmanager
    def shown(self) -> Iterator[Steps]:
        """Show the bar for the length of a block."""
        with self._progress:
            yield self

    def run(self, what: str, action: Callable[[], object]) -> None:
        """Do one step; leaves a line with what was done."""
        started = time.monotonic()
        self._progress.update(self._task, description=what)
        action()
        self._progress.advance(self._task)
        self._console.print(f"[green]✓[/] {what} [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block at any point, as KeyboardInterrupt."""
    # SIGINT too: a shell's background job starts with it ignored.
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def start_services(stack: Stack, steps: Steps, server: Child | None) -> None:
    """Wait for Prefect's server, then start worker and adapter and create the deployments.

    The server takes longest: whoever calls starts it before anything else, and nothing heavy beside it.
    """
    steps.run("Prefect server", lambda: stack.wait_prefect_server(server))
    # The flows' artifacts link to the adapter, so the worker starts after its address is known.
    adapter = stack.start_adapter()
    os.environ["PREFECT_API_URL"] = f"{stack.prefect_url}/api"
    steps.run("Prefect worker", stack.start_worker)
    steps.run("deployments and automations", stack.deploy)
    steps.run("storefront adapter", lambda: stack.wait_adapter(adapter))


def first_sync(steps: Steps, sources: list[str]) -> None:
    """Read every source in full through its deployment and set the live flow going; who must wait for another, does.

    Raises:
        StartError: a source could not be read.
    """
    from oneshelf.runs import LIVE, full_sync_of, start_run, wait_for_run  # noqa: PLC0415 - as above

    runs = {source: start_run(full_sync_of(source)) for source in sources}
    start_run(LIVE)
    for source, run in runs.items():
        steps.run(f"full read of {source}", partial(wait_for_run, run, seconds=_RUN_SECONDS))


def _ask_for_reads(console: Console, sources: list[str]) -> None:
    """Set the live flow and a full read of every source going, without waiting: an ERP may be down, the shop is not."""
    from oneshelf.runs import LIVE, full_sync_of, start_run  # noqa: PLC0415 - as above

    start_run(LIVE)
    for source in sources:
        start_run(full_sync_of(source))
    console.print(f"reading {', '.join(sources)}: see the runs in the Prefect UI", highlight=False)


def naming_order(settings: Settings) -> list[str]:
    """Return the enabled sources, those that name new items first."""
    sources = list(settings.enabled_sources())
    order = [name for name in settings.items.sku_from if name in sources]
    return order + [name for name in sources if name not in order]


def keep_up(stack: Stack, console: Console, idle: Callable[[], None] = lambda: None) -> None:
    """Watch the processes and restart those that die, until Ctrl-C or SIGTERM."""
    try:
        while True:
            time.sleep(_WATCH_SECONDS)
            for name in stack.restart_dead():
                console.print(f"[yellow]{name} had ended and was started again[/]", highlight=False)
            idle()
    except KeyboardInterrupt:
        console.print("stopping …", highlight=False)


def run_up(console: Console, settings: Settings) -> int:
    """Run everything against the configured ERPs until it is stopped; returns the exit code."""
    sources = naming_order(settings)
    steps = Steps(console, 4)
    try:
        with stoppable(), open_stack(settings) as (stack, _):
            with steps.shown():
                start_services(stack, steps, stack.start_prefect_server())
                _ask_for_reads(console, sources)
            console.print(f"staff page {stack.adapter_url}/staff · Prefect {stack.prefect_url}", highlight=False)
            keep_up(stack, console)
    except StartError as error:
        console.print(f"[red]{error}[/]", highlight=False)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
