"""The group robots' stand-in on a real socket, and the channels that post to it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub.settings import ChannelSettings
from sandbox.notify.robots.app import create_app
from sandbox.notify.robots.world import INBOX, SIGNED, WECOM, WITH_KEYWORD, World
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.faults import Switchboard
    from sandbox.notify.robots.world import Message


@dataclass
class Robots:
    """The stand-in's address, what it was sent, its faults, and a hand on its clock."""

    url: str
    world: World
    faults: Switchboard

    def channel(self, kind: str, **changes: Any) -> ChannelSettings:
        """Return the settings of a channel of this kind."""
        given: dict[str, dict[str, Any]] = {
            "dingtalk": {"url": f"{self.url}/robot/send?access_token={SIGNED.token}", "secret": SIGNED.secret},
            "wecom": {"url": f"{self.url}/cgi-bin/webhook/send?key={WECOM.token}"},
            "json": {"url": f"{self.url}/inbox/{INBOX.token}", "secret": INBOX.secret},
            "keyword": {
                "kind": "dingtalk",
                "url": f"{self.url}/robot/send?access_token={WITH_KEYWORD.token}",
                "keyword": WITH_KEYWORD.keyword,
            },
        }
        return ChannelSettings.model_validate({"kind": kind, "allow_http": True, **given[kind], **changes})

    def taken(self, kind: str | None = None) -> list[Message]:
        """Return what people read, oldest first."""
        return [message for message in self.world.messages if message.taken and kind in {None, message.kind}]

    def reset(self) -> None:
        """Forget messages and faults."""
        self.world.reset()
        self.faults.turn_off()


@contextmanager
def run_robots() -> Iterator[Robots]:
    """Serve the stand-in for the length of a `with` block."""
    app = create_app()
    with serve(app) as url:
        yield Robots(url, app.state.world, app.state.faults)
