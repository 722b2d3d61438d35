"""The four body shapes that clients really send, and the forms that answers and errors come in.

1. the Python SDK: {"formid", "data": {...}} and {"data": {...}}, application/json;
2. the Java SDK: {"parameters": ["<formid>", "<json text>"]}, content type literally `applicatin/json`;
3. others: form-urlencoded data=<json text>, or JSON with "data": "<json text>";
4. logins: {"parameters": [acctId, user, ...]} or the same by name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.faults import Switchboard

LOST: Final = "会话信息已丢失，请重新登录"
AUTH_FAILED: Final = 1
BAD_REQUEST: Final = 4  # the form does not exist, or its filter can't be read
EMPTY_KEYS: Final = 8
NO_SUCH_FIELD: Final = 9
REFUSED: Final = 11
_LOGIN_NAMES: Final = {
    "validateuser": ("acctid", "username", "password", "lcid"),
    "loginbyappsecret": ("acctid", "username", "appid", "appsecret", "lcid"),
    "loginbysign": ("acctid", "username", "appid", "timestamp", "sign", "lcid"),
}
_FRACTION: Final = re.compile(r"(?<=[:,\[])-?\d+\.\d+(?=[,\]}])")
_OPERATION_PARAMETERS: Final = 3


class ServerFailure(Exception):  # noqa: N818 - it is the vendor's unhandled exception
    """Raised where the real server would let an exception escape: plain text `response_error: ...`, HTTP 200."""


class ApiError(Exception):
    """Raised when a call is refused in the vendor's error form."""

    def __init__(self, message: str, msg_code: int, field_name: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.msg_code = msg_code
        self.field_name = field_name


@dataclass(frozen=True, slots=True)
class Call:
    """One call, whatever shape its body had. `method` is lower-case."""

    method: str
    form_id: str = ""
    operation: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    begins_task: bool = False


def parse_call(method: str, content_type: str, body: bytes) -> Call:
    """Return the call that a body holds.

    Raises:
        ServerFailure: the body is none of the four shapes.
    """
    payload = _payload(content_type, body)
    method = method.lower()
    parameters = payload.get("parameters")
    if isinstance(parameters, str):
        parameters = _decode(parameters)
    if method in _LOGIN_NAMES:
        return Call(method, arguments=_login_arguments(method, payload, parameters))
    if isinstance(parameters, list):
        return _positional(method, parameters, payload)
    return Call(
        method,
        form_id=str(payload.get("formid") or ""),
        operation=str(payload.get("opnumber") or ""),
        data=_object(payload.get("data", payload.get("queryinfo", payload))),
        begins_task="beginmethod" in payload,
    )


def _payload(content_type: str, body: bytes) -> dict[str, Any]:
    text = body.decode("utf-8", errors="replace")
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        return {name.lower(): value for name, value in parse_qsl(text, keep_blank_values=True)}
    decoded = _decode(text) if text.strip() else {}
    if isinstance(decoded, list):
        return {"parameters": decoded}
    if not isinstance(decoded, dict):
        raise ServerFailure("请求参数格式错误")
    return {str(name).lower(): value for name, value in decoded.items()}


def _positional(method: str, parameters: Sequence[Any], payload: Mapping[str, Any]) -> Call:
    return Call(
        method,
        form_id=str(parameters[0]) if len(parameters) > 1 else str(payload.get("formid") or ""),
        operation=str(parameters[1]) if len(parameters) >= _OPERATION_PARAMETERS else "",
        data=_object(parameters[-1]) if parameters else {},
        begins_task="beginmethod" in payload,
    )


def _login_arguments(method: str, payload: Mapping[str, Any], parameters: object) -> tuple[str, ...]:
    if isinstance(parameters, list):
        return tuple("" if value is None else str(value) for value in parameters)
    return tuple(str(payload.get(name) or "") for name in _LOGIN_NAMES[method])


def _decode(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise ServerFailure("Unexpected character encountered while parsing value.") from error


def _object(value: object) -> dict[str, Any]:
    decoded = _decode(value) if isinstance(value, str) else value
    if not isinstance(decoded, dict):
        raise ServerFailure("值不能为 null。参数名: data")
    return decoded


def status(
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    entities: Sequence[Mapping[str, Any]] = (),
    msg_code: int = 0,
    success: bool | None = None,
) -> dict[str, Any]:
    """Return a ResponseStatus; without `success` it is what the errors say."""
    good = not errors if success is None else success
    built: dict[str, Any] = {} if good else {"ErrorCode": 500}
    return built | {
        "IsSuccess": good,
        "Errors": list(errors),
        "SuccessEntitys": list(entities),
        "SuccessMessages": [],
        "MsgCode": msg_code,
    }


def error_entry(message: str, field_name: str | None = None, index: int = 0) -> dict[str, Any]:
    """Return one entry of ResponseStatus.Errors."""
    return {"FieldName": field_name, "Message": message, "DIndex": index}


def refusal(method: str, error: ApiError) -> Any:  # noqa: ANN401 - JSON
    """Return the error form of a method: an error as the only data row for ExecuteBillQuery, else a bare object."""
    errors = [error_entry(error.message, error.field_name)]
    body = {"Result": {"ResponseStatus": status(errors=errors, msg_code=error.msg_code)}}
    return [[body]] if method == "executebillquery" else body


def render(payload: Any, faults: Switchboard) -> str:  # noqa: ANN401 - JSON
    """Return an answer's text, with the faults of its spelling applied."""
    found = list(_statuses(payload))
    if found and faults.strike("is-success-string") is not None:
        for part in found:
            part["IsSuccess"] = "true" if part["IsSuccess"] else "false"
    if found and faults.strike("msgcode-string") is not None:
        for part in found:
            part["MsgCode"] = str(part["MsgCode"])
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    if faults.strike("exponent") is not None:
        text = _FRACTION.sub(lambda number: f"{Decimal(number[0]):E}", text)
    if faults.strike("json-in-string") is not None:
        return json.dumps(text, ensure_ascii=False)
    return text


def _statuses(payload: object) -> list[dict[str, Any]]:
    if isinstance(payload, list):
        # a result of thousands of rows holds no status; an error is always in the first cell
        return _statuses(payload[0]) if payload else []
    if not isinstance(payload, dict):
        return []
    here = payload.get("ResponseStatus")
    nested = _statuses(payload.get("Result"))
    return [here, *nested] if isinstance(here, dict) else nested


def is_true(value: object, *, default: bool) -> bool:
    """Return a flag that clients send as a boolean or as text."""
    if value is None or value == "":
        return default
    return str(value).strip().lower() in {"true", "1"}
