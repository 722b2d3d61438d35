"""Each ERP in turn: its stand-in, and a connector to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.erp_sandboxes import ERPS, run_sandbox, skip_waits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.contracts import ErpConnector
    from tests.erp_sandboxes import ErpSandbox


@pytest.fixture(scope="module", params=sorted(ERPS))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ErpSandbox]:
    with run_sandbox(request.param, tmp_path_factory.mktemp("erp")) as sandbox:
        yield sandbox


@pytest.fixture
def erp(served: ErpSandbox) -> ErpSandbox:
    served.reset()
    return served


@pytest.fixture
def connector(erp: ErpSandbox) -> ErpConnector:
    return erp.connect(**erp.small_pages)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return skip_waits(monkeypatch)
