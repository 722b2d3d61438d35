"""What the processes of one machine are started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.settings import AdapterSettings, Settings
from oneshelf.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from oneshelf.processes import Child

FIGURES = "PROMETHEUS_MULTIPROC_DIR"


def test_only_the_adapters_share_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(_: object, child: Child) -> Child:
        return child

    monkeypatch.setattr("oneshelf.processes.Supervisor.add", keep)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "counter_1.db").touch()
    stack = Stack(Settings(state_dir=tmp_path, adapter=AdapterSettings(port=0, processes=3)))
    adapters = stack.start_adapter()
    assert [adapter.name for adapter in adapters] == [f"storefront-adapter-{number}" for number in (1, 2, 3)]
    assert {adapter.environment[FIGURES] for adapter in adapters} == {str(tmp_path / "figures")}
    assert list((tmp_path / "figures").iterdir()) == []
    other = stack.child("prefect-worker")
    assert FIGURES not in other.environment
    assert other.environment["ONESHELF_ADAPTER__PUBLIC_URL"] == stack.adapter_url
