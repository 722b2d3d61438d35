"""What the histories have shown of stock that was there and not offered is told at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from _pytest.terminal import TerminalReporter

    from tests.model.histories import Missing

_MISSING = "missing"


@pytest.fixture
def note_missing(record_property: Callable[[str, object], None]) -> Callable[[Missing], None]:
    def note(missing: Missing) -> None:
        held_back, refused = missing.units / missing.looks, missing.refused / missing.looks
        record_property(
            _MISSING,
            f"{missing.looks:,} moments: {held_back:.3f} pieces held back without need on average;"
            f" at {refused:.2%} of them the last piece",
        )

    return note


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    told = [entry for report in terminalreporter.getreports("passed") for entry in report.user_properties]
    for text in (text for name, text in told if name == _MISSING):
        terminalreporter.section("stock that was there and not offered")
        terminalreporter.write_line(str(text))
