"""What Kingdee's answers mean, pure: JSON out of them, or the error that they carry in one of many forms.

HTTP 200 is not success here. An error may stand where data is expected (`[[{"Result": …}]]` for a query by position),
as a bare object, as plain text behind `response_error:`, or as a page of HTML; flags and codes may be texts. It is
classified by MsgCode; the text decides only where no code says what happened (locks, a busy server).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from connectors.decoding import parse_json
from hub.errors import AuthFailed, Locked, ProtocolViolation, RateLimited, Rejected, RemoteError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OK = 200
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = 500
_LONGEST_MESSAGE = 300
_DEEPEST_STRING = 3

_WRONG_DATA_CENTRE = "thirty passport"
_TEXT_ERROR = "response_error:"
_SESSION_CODE = "1"
_SESSION_ERROR_CODES = frozenset({"-10001"})
_SESSION_TEXT = re.compile(r"会话信息已丢失|ctx == null|未登录|请重新登录")
_LOCK_TEXT = re.compile(r"网控|网络控制|已被其他用户修改|正在被.{0,40}(修改|操作|编辑)")
_BUSY_TEXT = re.compile(r"过于频繁|系统繁忙|服务器繁忙|请稍后再试|请稍后重试|too many requests", re.IGNORECASE)
_PERMISSION_TEXT = re.compile(r"权限|没有授权|未授权")
_BAD_COLUMN_TEXT = re.compile(r"列名.{0,80}无效|invalid column name", re.IGNORECASE)

_ADVICE = {
    "4": "the form id or the filter is wrong for this tenant",
    "8": "no field was asked for: the mapping file has no source fields",
    "9": "a field of the mapping file does not exist on this tenant: correct the file, the self-check names it",
}
_SIGN_IN_ADVICE = "check acct_id, user, app_id, app_secret, lcid and the application's authorisation"

LOGIN_MEANINGS: Mapping[int, str] = {
    0: "user or secret is wrong",
    -1: "the log-in failed",
    -2: "the password policy asks for a new password",
    -3: "the password policy asks for a new password",
    -4: "the log-in gave a warning that someone must confirm",
    -6: "the user is not bound to the application",
    -7: "the account must be activated",
}
_SIGNED_IN = frozenset({1, -5})
"""-5 opens a session too: it asks an interactive user to deal with a form afterwards."""


class SessionLost(AuthFailed):
    """Raised when the server does not know who asks: no session, or a signature it refuses (MsgCode 1)."""


def read_answer(operation: str, status: int, content: bytes, *, system: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON of an answer that reports no error.

    Raises:
        RemoteError: of the class that says what the caller should do.
    """
    return _Answer(operation, status, system).read(content)


def login_session(answer: Any, *, operation: str, system: str) -> str:  # noqa: ANN401 - any JSON
    """Return the session id of a log-in's answer; blank when it stands in a cookie alone.

    Raises:
        AuthFailed: the log-in was refused; the message says what its number means.
        ProtocolViolation: not an answer to a log-in.
    """
    if not isinstance(answer, dict) or "LoginResultType" not in answer:
        raise ProtocolViolation("not an answer to a log-in", system=system, operation=operation)
    result = _whole_number(answer["LoginResultType"])
    if result not in _SIGNED_IN:
        meaning = LOGIN_MEANINGS.get(result, "the log-in failed") if result is not None else "the log-in failed"
        said = _shorten(str(answer.get("Message") or ""))
        message = f"LoginResultType {answer['LoginResultType']}: {meaning}; {_SIGN_IN_ADVICE}" + (
            f" (the server says: {said})" if said else ""
        )
        raise AuthFailed(message, system=system, operation=operation, remote_code=str(answer["LoginResultType"]))
    return str(answer.get("KDSVCSessionId") or "")


def named_rows(answer: Any, fields: Sequence[str], *, operation: str, system: str) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return the rows of a query as dicts with exactly the asked fields, whether they came by name or by position.

    Names are found without regard to case. A row that lacks a field is no row: without this check a missing owner or
    status would pass for a blank one.

    Raises:
        ProtocolViolation: not a list of such rows.
    """
    if not isinstance(answer, list):
        raise ProtocolViolation("a query answers with a list", system=system, operation=operation)
    wanted = frozenset(fields)
    rows: list[dict[str, Any]] = []
    for row in answer:
        if isinstance(row, list) and len(row) == len(fields):
            rows.append(dict(zip(fields, row, strict=True)))
        elif isinstance(row, dict):
            exact = row.keys() == wanted
            rows.append(row if exact else _named_row(row, fields, wanted, operation=operation, system=system))
        else:
            raise ProtocolViolation("a row has another number of fields", system=system, operation=operation)
    return rows


def _named_row(
    row: Mapping[str, Any], fields: Sequence[str], wanted: frozenset[str], *, operation: str, system: str
) -> dict[str, Any]:
    if wanted <= row.keys():
        return {field: row[field] for field in fields}
    by_name = {str(name).upper(): value for name, value in row.items()}
    if missing := [field for field in fields if field.upper() not in by_name]:
        message = f"a row lacks the field {missing[0]}, which was asked for"
        raise ProtocolViolation(message, system=system, operation=operation)
    return {field: by_name[field.upper()] for field in fields}


class _Answer:
    """One answer on its way to JSON; holds what every error must carry."""

    def __init__(self, operation: str, status: int, system: str) -> None:
        self._operation = operation
        self._status = status
        self._system = system

    def read(self, content: bytes) -> Any:  # noqa: ANN401
        # An error is understood whatever its encoding: pages of proxies are often in GBK.
        body = content.decode("utf-8", errors="replace").lstrip("\ufeff").strip()
        if self._status != _OK:
            self._raise_for_status(body)
        value = self._parse(body)
        if (failure := _failure_of(value)) is not None:
            self._raise_for_failure(failure)
        if isinstance(value, list) and value and isinstance(value[0], list) and _any_dict(value[0]):
            self._raise(ProtocolViolation, "a data row holds an object that is no known error")
        if not _is_utf8(content):
            # One damaged character makes another article of a row, and its own article would seem to be gone.
            self._raise(Unavailable, "the answer is damaged: it is not UTF-8")
        return value

    def _parse(self, body: str) -> Any:  # noqa: ANN401
        value: Any = body
        # Some answers are a JSON text inside a JSON string, so what parses to a string is parsed again.
        for _ in range(_DEEPEST_STRING):
            if not isinstance(value, str):
                return value
            value = self._parse_once(value.strip())
        if isinstance(value, str):
            self._raise(ProtocolViolation, "the answer is only text")
        return value

    def _parse_once(self, body: str) -> Any:  # noqa: ANN401
        if body.startswith(_TEXT_ERROR):
            self._raise_for_text(body.removeprefix(_TEXT_ERROR).strip())
        if body.startswith("<"):
            self._raise(Unavailable, "answered with a page of HTML instead of JSON")
        try:
            return parse_json(body)
        except (ValueError, RecursionError):
            if _WRONG_DATA_CENTRE in body.lower():
                self._raise_for_status(body)
            self._raise_for_text(body, unknown="the answer is no JSON")

    def _raise_for_status(self, body: str) -> NoReturn:
        if _WRONG_DATA_CENTRE in body.lower():
            self._raise(AuthFailed, "the server does not know this data centre: check acct_id")
        if self._status in {401, 403}:
            self._raise(AuthFailed, f"refused; {_SIGN_IN_ADVICE}")
        if self._status >= _SERVER_ERRORS:
            self._raise(Unavailable, _shorten(body) if not body.startswith("<") else "the server failed")
        if self._status in _CLIENT_ERRORS:
            self._raise(Rejected, "nothing answers there: check server_url (…/k3cloud/)")
        self._raise(Unavailable, "answered neither with success nor with an error")

    def _raise_for_text(self, said: str, unknown: str = "the server failed inside") -> NoReturn:
        message = _shorten(said)
        if _SESSION_TEXT.search(said):
            self._raise_session(message)
        self._raise_known_text(message, said)
        if _BAD_COLUMN_TEXT.search(said):
            self._raise(Rejected, f"{message}; {_ADVICE['9']}")
        self._raise(Unavailable, f"{unknown}: {message}")

    def _raise_for_failure(self, status: Mapping[str, Any]) -> NoReturn:
        said = _messages(status)
        message = _shorten(said)
        code = str(status.get("MsgCode", "")).strip()
        error_code = str(status.get("ErrorCode", "")).strip()
        if code == _SESSION_CODE or error_code in _SESSION_ERROR_CODES or (not code and _SESSION_TEXT.search(said)):
            self._raise_session(message)
        # A lock and a busy server come with the general code 4 as well, so their texts are looked at before it.
        self._raise_known_text(message, said, code)
        if code in _ADVICE:
            self._raise(Rejected, f"{message}; {_ADVICE[code]}", code)
        if _PERMISSION_TEXT.search(said):
            self._raise(AuthFailed, f"{message}; give the user this permission", code)
        self._raise(Rejected, message, code)

    def _raise_known_text(self, message: str, said: str, code: str | None = None) -> None:
        if _LOCK_TEXT.search(said):
            self._raise(Locked, message, code)
        if _BUSY_TEXT.search(said):
            self._raise(RateLimited, message, code)

    def _raise_session(self, message: str) -> NoReturn:
        self._raise(SessionLost, f"not signed in: {message}; {_SIGN_IN_ADVICE}", _SESSION_CODE)

    def _raise(self, kind: type[RemoteError], message: str, code: str | None = None) -> NoReturn:
        raise kind(
            message,
            system=self._system,
            operation=self._operation,
            http_status=self._status,
            remote_code=code or None,
        )


def _failure_of(value: Any) -> Mapping[str, Any] | None:  # noqa: ANN401
    """Return the ResponseStatus of an answer that reports a failure, however deep in lists it stands."""
    while isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    result = value.get("Result", value)
    status = result.get("ResponseStatus") if isinstance(result, dict) else None
    if not isinstance(status, dict):
        return None
    succeeded = _is_true(status["IsSuccess"]) if "IsSuccess" in status else not status.get("Errors")
    return None if succeeded else status


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_true(flag: Any) -> bool:  # noqa: ANN401
    return flag is True or str(flag).strip().lower() in {"true", "1"}


def _messages(status: Mapping[str, Any]) -> str:
    errors = status.get("Errors")
    said = [str(error.get("Message") or "") for error in errors if isinstance(error, dict)] if errors else []
    return "; ".join(text for text in said if text) or "failed without a message"


def _any_dict(cells: Sequence[Any]) -> bool:
    return any(isinstance(cell, dict) for cell in cells)


def _whole_number(value: Any) -> int | None:  # noqa: ANN401
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
