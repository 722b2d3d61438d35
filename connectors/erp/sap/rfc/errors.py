"""What the RFC library's errors mean, by their class and `key` alone.

Neither `code` nor `str()` can be relied on: one provider numbers a closed connection 13 where SAP's library has 6, and
another prints nothing but the message. Classes are told by name, since each provider defines its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.rfc.library import INSTALL_ADVICE
from hub.errors import AuthFailed, ConfigError, ProtocolViolation, Rejected, RemoteError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection

    from hub.errors import OneshelfError

ABAP_EXCEPTION: Final = "ABAPApplicationError"
"""An exception that the function module declares: the only failure after which a conversation is still good."""

_NOT_INSTALLED = frozenset({"SdkNotFoundError", "ImportError"})
_LONGEST_MESSAGE = 200

_NO_RIGHTS = {
    "NOT_AUTHORIZED": "the user may not display the table (S_TABU_NAM, or S_TABU_DIS of its group); see SU53",
    "RFC_NO_AUTHORITY": "the user may not call the function (S_RFC); see SU53",
    "RFC_AUTHORIZATION_FAILURE": "the user may not call the function (S_RFC); see SU53",
}
_NOT_HERE = {
    "TABLE_NOT_AVAILABLE": "this system has no such table",
    "TABLE_WITHOUT_DATA": "this is a structure, not a table",
    "FIELD_NOT_VALID": "this release's table lacks one of the fields; oneshelf doctor names it",
    "OPTION_NOT_VALID": "SAP does not understand the condition",
    "FU_NOT_FOUND": "this system has no such function",
}
_TOO_WIDE = "DATA_BUFFER_EXCEEDED"
_TOO_LARGE = frozenset(
    {
        "TSV_TNEW_PAGE_ALLOC_FAILED",
        "TSV_TNEW_BLOCKS_NO_ROLL_MEMORY",
        "TSV_TNEW_OCCURS_NO_ROLL_MEMORY",
        "STORAGE_PARAMETERS_WRONG_SET",
        "SYSTEM_NO_ROLL",
        "TIME_OUT",
    }
)
_BAD_ANSWER = frozenset(
    {"RFC_CONVERSION_FAILURE", "RFC_CODEPAGE_CONVERSION_FAILURE", "RFC_SERIALIZATION_FAILURE", "RFC_INVALID_PROTOCOL"}
)
_BAD_CALL = frozenset({"RFC_INVALID_PARAMETER", "RFC_NOT_FOUND", "RFC_NOT_SUPPORTED", "RFC_BUFFER_TOO_SMALL"})


class TooLarge(Rejected):
    """Raised when SAP ran out of memory or of time: fewer rows at once may do."""


def describe_key(error: BaseException) -> str | None:
    """Return the error's key, None if it has none."""
    key = getattr(error, "key", None)
    return key if isinstance(key, str) and key else None


def is_abap_exception(error: BaseException) -> bool:
    """Tell whether the function module raised one of its own exceptions, so that the conversation goes on."""
    return ABAP_EXCEPTION in _class_names(error)


def explain(error: BaseException, operation: str, secrets: Collection[str]) -> OneshelfError:
    """Return the hub's error for what the library raised.

    Args:
        secrets: texts that must not be quoted, should the library have put them into a message.
    """
    names, key = _class_names(error), describe_key(error)
    if not _NOT_INSTALLED.isdisjoint(names):
        return ConfigError(f"SAP over RFC does not work here ({type(error).__name__}); {INSTALL_ADVICE}")
    kind, advice = _classify(names, key)
    said = _quote(error, secrets)
    message = "; ".join(part for part in (advice, said) if part)
    return kind(message, system=SYSTEM, operation=operation, remote_code=key)


def _classify(names: Collection[str], key: str | None) -> tuple[type[RemoteError], str]:
    """Return the hub's class and what to do, from the class names and the key."""
    known = key or ""
    if "LogonError" in names:
        return AuthFailed, "the log-on was refused; check user, password, client, and whether the user is locked"
    if known in _NO_RIGHTS or "ExternalAuthorizationError" in names:
        return AuthFailed, _NO_RIGHTS.get(known, "the user lacks an authorization")
    if ABAP_EXCEPTION in names or "ABAPRuntimeError" in names:
        return _classify_abap(known)
    if known in _BAD_ANSWER:
        return ProtocolViolation, "the answer can't be read"
    if known in _BAD_CALL:
        return Rejected, "the library or the function does not take these parameters"
    return Unavailable, "SAP can't be reached, or the conversation broke off"


def _classify_abap(key: str) -> tuple[type[RemoteError], str]:
    if key in _NOT_HERE:
        return Rejected, _NOT_HERE[key]
    if key == _TOO_WIDE:
        return ProtocolViolation, "the fields of one row do not fit into 512 characters; take some out of the mapping"
    if key in _TOO_LARGE:
        return TooLarge, "SAP ran out of memory or of time (ST22); lower page_rows"
    return Rejected, "the function refused, or ended with a short dump (ST22)"


def _quote(error: BaseException, secrets: Collection[str]) -> str:
    message = getattr(error, "message", None)
    if not isinstance(message, str):
        return type(error).__name__
    for secret in secrets:
        message = message.replace(secret, "***")
    return " ".join(message.split())[:_LONGEST_MESSAGE]


def _class_names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}
