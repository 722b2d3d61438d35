"""Channels that take an alert by one POST: robots of DingTalk (钉钉) and WeCom (企业微信) groups, and plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.notify.robots.channel import WebhookChannel
from connectors.notify.robots.dingtalk import DingTalkFormat
from connectors.notify.robots.plain import JsonFormat
from connectors.notify.robots.wecom import WeComFormat

if TYPE_CHECKING:
    from connectors.notify.robots.channel import Format
    from hub.settings import ChannelSettings

__all__ = ["FORMATS", "create"]

FORMATS: dict[str, type[Format]] = {"dingtalk": DingTalkFormat, "json": JsonFormat, "wecom": WeComFormat}


def create(name: str, settings: ChannelSettings) -> WebhookChannel:
    """Make the channel; nothing is sent yet.

    Args:
        name: the channel's name in the settings, which errors and log lines carry.

    Raises:
        ConfigError: the address or the secret is missing or not of the kind's form; neither is repeated in it.
    """
    return WebhookChannel(name, FORMATS[settings.kind](name, settings))
