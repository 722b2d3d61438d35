"""Structured logging with secrets and personal data masked, the same for every process."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

MASK = "***"
_SECRET_NAMES = re.compile(
    r"passw(or)?d|pass$|pwd|secret|token|authori[sz]ation|signature|cookie|api[_-]?key|appsec|credential",
    re.IGNORECASE,
)
_PERSONAL_NAMES = re.compile(r"mobile|phone|email|id_?card|address|receiver|recipient|real_?name", re.IGNORECASE)
# a mainland mobile number standing alone, with or without country code and gaps, and the user part of a URL
_PERSONAL_VALUES = re.compile(r"(?<!\d)(?:(?:\+|00)?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)", re.ASCII)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+(?=@)")


def redact(value: Any, name: str = "") -> Any:  # noqa: ANN401 - walks any JSON-like value
    """Return `value` with secrets and personal data masked, judged by the names of fields and the shape of values."""
    if _SECRET_NAMES.search(name) or _PERSONAL_NAMES.search(name):
        return MASK if value not in (None, "") else value
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple, AbstractSet)):
        return [redact(item) for item in value]
    if isinstance(value, str):
        return _PERSONAL_VALUES.sub(MASK, _URL_CREDENTIALS.sub(MASK, value))
    return value


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
    return {key: redact(value, key) for key, value in event.items()}


def configure_logging(*, level: str = "INFO", as_json: bool = True) -> None:
    """Set up structlog for this process: JSON lines (or readable lines) on standard error, redacted."""
    # It writes whole addresses into its log, and those of webhooks are secrets.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False) if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
