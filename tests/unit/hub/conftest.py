"""Settings of the shell that runs the tests must not decide their outcome."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# A machine that does much else at the same time says nothing about a rule.
settings.register_profile("patient", deadline=None, max_examples=50)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take away ONESHELF_ variables, and what a test did to logging."""
    for variable in [name for name in os.environ if name.upper().startswith("ONESHELF_")]:
        monkeypatch.delenv(variable)
    yield
    structlog.reset_defaults()
