"""A plugin of the inner runs: the code under test is the copy's, not the project's that is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

import hub


def pytest_configure(config: pytest.Config) -> None:
    if not Path(hub.__file__).is_relative_to(config.rootpath):
        raise pytest.UsageError(f"{hub.__file__} is not part of {config.rootpath}")
