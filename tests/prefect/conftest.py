"""A real Prefect server with every deployment of prefect.yaml, once for all tests here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hub.settings import PROJECT_ROOT, Settings
from oneshelf.processes import StartError
from oneshelf.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class PrefectServer:
    """A running server: its API, and the environment that points processes at it."""

    api: str
    environment: dict[str, str]

    def post(self, path: str, body: object) -> Any:
        # Its SQLite may be busy; Prefect's own client asks again then, too.
        [response] = until(lambda: _unless_busy(httpx.post(f"{self.api}/{path}", json=body, timeout=30)))
        response.raise_for_status()
        return response.json() if response.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        response = httpx.get(f"{self.api}/deployments/name/{name}", timeout=30)
        response.raise_for_status()
        return dict(response.json())

    def runs(self, deployment: str, *states: str) -> list[dict[str, Any]]:
        chosen = {"deployments": {"id": {"any_": [self.deployment(deployment)["id"]]}}}
        if states:
            chosen["flow_runs"] = {"state": {"type": {"any_": list(states)}}}
        return list(self.post("flow_runs/filter", chosen))

    def python(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run some code in a process of its own, as a worker would."""
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT_ROOT,
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def until(holds: Callable[[], Any], *, seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.3)
    return found


def _unless_busy(response: httpx.Response) -> list[httpx.Response]:
    return [] if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else [response]


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    given = os.environ.pop("PREFECT_API_URL", None)
    stack = Stack(Settings(state_dir=tmp_path_factory.mktemp("prefect")))
    try:
        stack.wait_prefect_server(stack.start_prefect_server())
        server = PrefectServer(f"{stack.prefect_url}/api", dict(stack.environment))
        made = server.python("from oneshelf.runs import ensure_pool; ensure_pool('oneshelf'); ensure_pool('oneshelf')")
        assert made.returncode == 0, made.stderr
        deployed = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=PROJECT_ROOT,
            env={**os.environ, **server.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        for _ in range(2):
            installed = server.python(
                "import sys; from oneshelf.cli import main; sys.argv[1:] = ['ops', 'install']; main()"
            )
            assert installed.returncode == 0, installed.stderr
        yield server
    except StartError as error:
        pytest.fail(str(error))
    finally:
        stack.stop()
        if given is not None:
            os.environ["PREFECT_API_URL"] = given
