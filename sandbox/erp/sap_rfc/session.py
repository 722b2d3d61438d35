"""An ABAP session: who is logged on, and the logical unit of work (LUW, 逻辑工作单元) that is open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    # Writes into the books, inside the transaction that a commit opens.
    Update = Callable[[sqlite3.Connection], None]


@dataclass
class Session:
    """One conversation's state on the server. `language` is the one-character key.

    `updates` is what a commit will write; it is lost with the session. `locks` are the objects this session holds.
    """

    number: int
    user: str
    language: str
    updates: list[Update] = field(default_factory=list)
    locks: set[tuple[str, str]] = field(default_factory=set)

    def text(self, english: str, chinese: str) -> str:
        """Return a message in the logon language."""
        return chinese if self.language == "1" else english

    def end_of_work(self) -> None:
        """Forget what was not committed, and release the locks."""
        self.updates.clear()
        self.locks.clear()
