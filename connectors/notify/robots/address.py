"""Where a channel posts to: checked once, since the address is a secret that no message may repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from hub.errors import ConfigError

if TYPE_CHECKING:
    from hub.settings import ChannelSettings


def check_address(name: str, settings: ChannelSettings, *, token: str | None = None) -> str:
    """Return the channel's address.

    Args:
        token: the parameter that must name the receiver, for vendors that have one.

    Raises:
        ConfigError: there is none, or it is not what this kind of channel can post to.
    """
    if not settings.url:
        raise refusal(name, "url", "is missing")
    try:
        parts = urlsplit(settings.url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise refusal(name, "url", "is no address") from None
    schemes = ("https", "http") if settings.allow_http else ("https",)
    if parts.scheme not in schemes or not parts.hostname or not port_fits or not settings.url.isprintable():
        raise refusal(name, "url", "must begin with https:// and a host (http:// only with allow_http)")
    if parts.username is not None or parts.password is not None or parts.fragment or " " in settings.url:
        raise refusal(name, "url", "must have neither a user nor a fragment nor gaps")
    if token is not None and not parse_qs(parts.query).get(token):
        raise refusal(name, "url", f"has no {token}=…; copy the whole address that the robot's page shows")
    return settings.url


def host_of(url: str) -> str:
    """Return the host of an address, the part of it that is no secret."""
    return urlsplit(url).hostname or ""


def refusal(name: str, field: str, problem: str) -> ConfigError:
    """Return the error about one field of a channel; its value stays out."""
    variable = f"ONESHELF_ALERTS__CHANNELS__{name}__{field}".upper()
    return ConfigError(f"alerts.channels.{name}.{field}: {problem} ({variable} in the environment)")
