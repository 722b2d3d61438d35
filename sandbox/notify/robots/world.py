"""The robots there are, what each of them was sent, and how much each may be sent."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PER_MINUTE: Final = 20
_MINUTE: Final = 60.0
_DINGTALK_LOCKED_OUT: Final = 600.0


@dataclass(frozen=True, slots=True)
class Robot:
    """A robot of the demo group: public on purpose, good for this sandbox and for nothing else.

    Attributes:
        token: what its address names it by.
        secret: what posts are signed with; None if it asks for no signature.
        keyword: what each message must contain; empty for none.
    """

    kind: str
    token: str
    secret: str | None = None
    keyword: str = ""


SIGNED: Final = Robot("dingtalk", "demo-signed", secret="SECdemo0123456789abcdef0123456789abcdef")
WITH_KEYWORD: Final = Robot("dingtalk", "demo-keyword", keyword="监控报警")
WECOM: Final = Robot("wecom", "693a91f6-demo-4bc4-97a0-0ec2sifa5aaa")
INBOX: Final = Robot("json", "demo-inbox", secret="whsec_ZGVtby1zZWNyZXQtb2YtdGhlLW9uZXNoZWxmLXNhbmRib3g=")
OPEN_INBOX: Final = Robot("json", "open-inbox")
ROBOTS: Final = (SIGNED, WITH_KEYWORD, WECOM, INBOX, OPEN_INBOX)


@dataclass(frozen=True, slots=True)
class Message:
    """One post: what was in it, and the answer. `taken` says whether the group saw it."""

    kind: str
    token: str
    taken: bool
    answer: str
    title: str = ""
    text: str = ""
    message_id: str = ""
    body: Any = None


@dataclass
class World:
    """Keeps messages in memory, for as long as the process lives."""

    clock: Callable[[], float] = time.time
    messages: list[Message] = field(default_factory=list)
    _sent: dict[str, deque[float]] = field(default_factory=dict)
    _locked_until: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, kind: str, token: str) -> Robot | None:
        """Return the robot that an address names."""
        return next((robot for robot in ROBOTS if (robot.kind, robot.token) == (kind, token)), None)

    def admit(self, robot: Robot) -> bool:
        """Tell whether one more message is within the limit; DingTalk then takes none for ten minutes."""
        with self._lock:
            now = self.clock()
            if now < self._locked_until.get(robot.token, 0.0):
                return False
            sent = self._sent.setdefault(robot.token, deque())
            while sent and now - sent[0] >= _MINUTE:
                sent.popleft()
            if len(sent) >= PER_MINUTE:
                if robot.kind == "dingtalk":
                    self._locked_until[robot.token] = now + _DINGTALK_LOCKED_OUT
                return False
            sent.append(now)
            return True

    def note(self, message: Message) -> None:
        """Keep a message and its answer."""
        with self._lock:
            self.messages.append(message)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.messages.clear()
            self._sent.clear()
            self._locked_until.clear()

    def describe(self) -> list[dict[str, Any]]:
        """Return all messages, oldest first, as JSON-ready data."""
        with self._lock:
            return [asdict(message) for message in self.messages]
