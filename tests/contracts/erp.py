"""What the contract tests of ERPs share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub.contracts import Changes, StockKey
    from tests.erp_sandboxes import ErpSandbox


def stocked(erp: ErpSandbox, at_least: int = 4, most: int = 1000) -> list[StockKey]:
    """Return keys with some stock, in order."""
    found = [key for key, held in erp.books().items() if at_least <= held <= most]
    return sorted(found, key=lambda key: (key.item, key.location))


def stored(changes: Changes) -> Any:
    """Send a cursor through the database's JSON and back."""
    again = json.loads(json.dumps(changes.cursor))
    assert again == changes.cursor
    return again
