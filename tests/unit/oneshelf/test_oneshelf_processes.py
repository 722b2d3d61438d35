"""Child processes: watched, started again, and stopped with all that they started."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from oneshelf.processes import Child, StartError, Supervisor, answers, free_port
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Starts a grandchild, says its number, and waits; with `stubborn` both stay through SIGTERM.
PARENT = """
import signal, subprocess, sys, time
sleep = "import signal, sys, time; print('up', flush=True); time.sleep(60)"
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + sleep
grandchild = subprocess.Popen([sys.executable, "-S", "-c", sleep], stdout=subprocess.PIPE)
grandchild.stdout.readline()
print("grandchild", grandchild.pid, flush=True)
time.sleep(60 if "dies" not in sys.argv else 0)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Return what makes a child of a Python text; all of them are stopped in the end."""
    children: list[Child] = []

    def make(code: str, *arguments: str, **environment: str) -> Child:
        log_file = tmp_path / "logs" / f"{len(children)}.log"
        children.append(Child("helper", ("-S", "-c", code, *arguments), log_file, environment))
        return children[-1]

    yield make
    for child in children:
        child.stop()


def log_of(child: Child) -> str:
    return child.log_file.read_text(encoding="utf-8") if child.log_file.exists() else ""


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def grandchild_of(child: Child) -> int:
    wait_for(lambda: "grandchild" in log_of(child))
    return int(log_of(child).split()[-1])


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_child_runs_in_its_own_session_with_its_log_and_environment(start: Callable[..., Child]) -> None:
    child = start("import os, sys; print(os.environ['SHELF'], flush=True); sys.stdin.read(); input()", SHELF="货架")
    assert not child.alive
    child.start()
    assert child.process is not None
    wait_for(lambda: "EOFError" in log_of(child))  # nothing to read on standard input; errors go to the log too
    assert log_of(child).startswith("货架")
    wait_for(lambda: not child.alive)

    child = start("import time; print('x', flush=True); time.sleep(60)")
    child.start()
    child.wait_until(lambda: "x" in log_of(child), seconds=10)
    assert child.alive
    assert child.process is not None
    assert os.getsid(child.process.pid) == child.process.pid
    child.stop()
    assert not child.alive
    child.stop()  # stopping twice is stopping once


def test_a_child_that_ends_while_starting_names_its_log(start: Callable[..., Child]) -> None:
    child = start("raise SystemExit('no port')")
    child.start()
    with pytest.raises(StartError, match="helper ended while starting") as caught:
        child.wait_until(lambda: False, seconds=10)
    assert str(child.log_file) in str(caught.value)
    assert "no port" in log_of(child)


def test_a_child_that_is_never_ready_names_its_log(start: Callable[..., Child]) -> None:
    child = start("import time; time.sleep(60)")
    child.start()
    with pytest.raises(StartError, match="not ready after 0 s") as caught:
        child.wait_until(lambda: False, seconds=0.2)
    assert str(child.log_file) in str(caught.value)


def test_stopping_ends_grandchildren_too(start: Callable[..., Child]) -> None:
    child = start(PARENT)
    child.start()
    grandchild = grandchild_of(child)
    assert runs(grandchild)
    child.stop()
    assert not runs(grandchild)


def test_those_that_do_not_listen_are_killed(start: Callable[..., Child], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oneshelf.processes._STOP_SECONDS", 0.3)
    child = start(PARENT, "stubborn")
    child.start()
    grandchild = grandchild_of(child)
    child.stop()
    wait_for(lambda: not runs(grandchild))
    assert not child.alive


def test_a_child_that_died_leaves_no_grandchild_behind(start: Callable[..., Child]) -> None:
    child = start(PARENT, "dies")
    child.start()
    grandchild = grandchild_of(child)
    wait_for(lambda: not child.alive)
    assert runs(grandchild)
    child.stop()
    assert not runs(grandchild)


def test_the_supervisor_starts_the_dead_again_and_stops_the_last_first(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    supervisor = Supervisor(tmp_path / "children")
    steady = supervisor.add(start("import time; time.sleep(60)"))
    mortal = supervisor.add(start(PARENT, "dies"))
    steady.name, mortal.name = "steady", "mortal"
    orphan = grandchild_of(mortal)
    wait_for(lambda: not mortal.alive)
    kept = steady.process
    assert supervisor.restart_dead() == ["mortal"]
    assert (steady.process, steady.restarts, mortal.restarts) == (kept, 0, 1)
    assert not runs(orphan)  # what the dead one had left would get in the way of the new one
    wait_for(lambda: log_of(mortal).count("grandchild") == 2)
    stopped: list[str] = []
    for child in (steady, mortal):
        ending = child.stop
        child.stop = lambda child=child, ending=ending: (stopped.append(child.name), ending())  # type: ignore[method-assign, misc]
    supervisor.stop()
    assert stopped == ["mortal", "steady"]
    assert not steady.alive
    assert supervisor.children == []
    assert not (tmp_path / "children").exists()


def test_a_new_supervisor_stops_what_a_killed_one_left_running(start: Callable[..., Child], tmp_path: Path) -> None:
    stranger = start("import time; time.sleep(60)")
    stranger.start()
    killed = Supervisor(tmp_path / "children")
    child = killed.add(start(PARENT))
    grandchild = grandchild_of(child)
    assert child.process is not None
    assert stranger.process is not None
    with (tmp_path / "children").open("a", encoding="utf-8") as pids:
        pids.write(f"{stranger.process.pid} 1.0\n")  # a number that somebody else has by now

    Supervisor(tmp_path / "children").stop_orphans()
    Supervisor(tmp_path / "children").stop_orphans()

    assert not runs(grandchild)
    assert not child.alive
    assert stranger.alive


def test_the_preferred_port_is_taken_if_it_is_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = int(listener.getsockname()[1])
        other = free_port(taken)
        assert other != taken
    assert free_port(other) == other
    assert free_port(0) > 0


def test_answers_means_success_from_a_server_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    routes = [
        Route("/ok", lambda _: PlainTextResponse("x")),
        Route("/busy", lambda _: PlainTextResponse("x", status_code=503)),
    ]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serve(Starlette(routes=routes)) as url:
        assert answers(f"{url}/ok")
        assert not answers(f"{url}/busy")
        assert not answers(f"{url}/none")
    assert not answers(f"{url}/ok", timeout=0.5)
    assert not answers("no address")


def test_something_that_speaks_no_http_does_not_answer() -> None:
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"hello, world\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        assert not answers(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join(timeout=5)
