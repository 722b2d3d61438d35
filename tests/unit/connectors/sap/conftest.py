"""Every HTTP call of these tests meets a mock; one that nobody expected fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import responses

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sap() -> Iterator[responses.RequestsMock]:
    """Answer in the place of SAP, in the order in which answers were added."""
    with responses.RequestsMock(
        registry=responses.registries.OrderedRegistry, assert_all_requests_are_fired=True
    ) as mocked:
        yield mocked
