"""Several processes of the adapter at one port are one adapter."""

from __future__ import annotations

import os
import re
import shutil
import signal
from functools import partial
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from hub.access import create_key, load_roles
from hub.settings import PROJECT_ROOT
from oneshelf.processes import Child, Supervisor, answers, free_port
from oneshelf.serving import arguments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hub.db.session import Database

START_SECONDS = 40
ASKED = re.compile(r'oneshelf_http_requests_total\{.*route="/v1/stock/\{sku\}".*status="404"\} (\S+)')


class Adapter:
    """Two supervised processes and their port."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.url = f"http://127.0.0.1:{free_port(0)}"
        self.supervisor = Supervisor(folder / "pids")
        shutil.copy(PROJECT_ROOT / "config" / "roles.yaml", folder)
        (folder / "figures").mkdir()
        environment = {
            "ONESHELF_DATABASE__URL": database_url,
            "ONESHELF_CONFIG_DIR": str(folder),
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "figures"),
        }
        command = arguments("oneshelf.asgi:create_app", "127.0.0.1", int(self.url.rpartition(":")[2]))
        for name in ("one", "two"):
            self.supervisor.add(Child(name, command, folder / f"{name}.log", environment))

    def wait(self) -> None:
        for child in self.supervisor.children:
            child.wait_until(partial(self.listens, child), seconds=START_SECONDS)
        assert answers(f"{self.url}/livez")

    def listens(self, child: Child) -> bool:
        return bool(child.process and psutil.Process(child.process.pid).net_connections("tcp"))

    def asked(self) -> float:
        found = ASKED.search(httpx.get(f"{self.url}/metrics").text)
        assert found
        return float(found[1])


@pytest.fixture
def adapter(tmp_path: Path, database_url: str) -> Iterator[Adapter]:
    adapter = Adapter(tmp_path, database_url)
    try:
        adapter.wait()
        yield adapter
    finally:
        adapter.supervisor.stop()


def test_two_processes_share_a_port_and_their_figures_and_one_may_die(adapter: Adapter, database: Database) -> None:
    with database.driver() as connection:
        key = create_key(connection, "test", "storefront", load_roles(PROJECT_ROOT / "config" / "roles.yaml"))
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}

    def ask(times: int) -> set[int]:
        return {httpx.get(f"{adapter.url}/v1/stock/none", headers=headers).status_code for _ in range(times)}

    before = [_cpu(child) for child in adapter.supervisor.children]
    assert ask(60) == {404}
    assert adapter.asked() == 60
    assert all(_cpu(child) > earlier for child, earlier in zip(adapter.supervisor.children, before, strict=True))

    victim = adapter.supervisor.children[0].process
    assert victim
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert ask(20) == {404}  # the other one has the port alone
    assert adapter.asked() == 80  # and still knows what the dead one did
    assert adapter.supervisor.restart_dead() == ["one"]
    adapter.wait()
    assert ask(20) == {404}
    assert adapter.asked() == 100


def _cpu(child: Child) -> float:
    assert child.process
    times = psutil.Process(child.process.pid).cpu_times()
    return float(times.user + times.system)
