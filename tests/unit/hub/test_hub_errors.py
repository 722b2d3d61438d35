"""One tree of errors, and every one of them survives the way between processes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from hub import errors
from hub.errors import (
    AuthFailed,
    ConfigError,
    DependencyMissing,
    DomainError,
    Locked,
    MappingError,
    OneshelfError,
    OutcomeUnknown,
    ProtocolViolation,
    RateLimited,
    RecordError,
    Rejected,
    RemoteError,
    Retryable,
    Truncated,
    Unavailable,
)
from hub.mapping import MappingErrors

REMOTE: dict[str, Any] = {
    "system": "sap",
    "operation": "iter_stock",
    "http_status": 400,
    "remote_code": "M3/682",
    "request_id": "r-1",
}
PLACE: dict[str, Any] = {"file": "config/base.toml", "line": 7}
INSTANCES: list[OneshelfError] = [
    OneshelfError("plain"),
    ConfigError("wrong", **PLACE),
    ConfigError("wrong"),
    MappingError("wrong", **PLACE),
    MappingErrors("two files", errors=(MappingError("a", **PLACE), MappingError("b", file="x.yaml"))),
    RemoteError("仓库被锁定", **REMOTE),
    *(
        cls("no", **REMOTE)
        for cls in (Retryable, Unavailable, DependencyMissing, Locked, Rejected, AuthFailed, OutcomeUnknown)
    ),
    ProtocolViolation("no", **REMOTE),
    Truncated("short", system="kingdee", operation="get_items"),
    RateLimited("slow down", retry_after=1.5, **REMOTE),
    RateLimited("slow down", **REMOTE),
    RecordError("bad", reason="missing_field", field="quantity"),
    RecordError("bad", reason="missing_field"),
    DomainError("too few", code="insufficient_stock", status=422, lines=[{"sku": "A", "missing": "2"}]),
]


def _state(error: OneshelfError) -> dict[str, Any]:
    return {name: str(value) if name == "errors" else value for name, value in vars(error).items()}


@pytest.mark.parametrize("error", INSTANCES, ids=[f"{n}-{type(e).__name__}" for n, e in enumerate(INSTANCES)])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling_whole(error: OneshelfError, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert repr(again) == repr(error)
    assert {**_state(again), "_details": None} == {**_state(error), "_details": None}
    assert str(copy.copy(error)) == str(error)


def test_every_class_is_among_those_tried() -> None:
    tried = {type(error) for error in INSTANCES}
    declared = {
        thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, OneshelfError)
    }
    assert declared <= tried


@pytest.mark.parametrize(
    ("cls", "parent"),
    [
        (ConfigError, OneshelfError),
        (MappingError, ConfigError),
        (RemoteError, OneshelfError),
        (Retryable, RemoteError),
        (RateLimited, Retryable),
        (Unavailable, Retryable),
        (Locked, Retryable),
        (DependencyMissing, Retryable),
        (Rejected, RemoteError),
        (AuthFailed, RemoteError),
        (OutcomeUnknown, RemoteError),
        (ProtocolViolation, RemoteError),
        (Truncated, ProtocolViolation),
        (RecordError, OneshelfError),
        (DomainError, OneshelfError),
    ],
)
def test_the_tree_is_as_designed(cls: type[OneshelfError], parent: type[OneshelfError]) -> None:
    assert cls.__bases__ == (parent,)


@pytest.mark.parametrize("cls", [Rejected, AuthFailed, OutcomeUnknown, ProtocolViolation, Truncated])
def test_what_is_not_retryable_is_never_taken_for_it(cls: type[RemoteError]) -> None:
    assert not issubclass(cls, Retryable)


def test_an_error_tells_where_and_what() -> None:
    assert str(ConfigError("wrong", **PLACE)) == "config/base.toml:7: wrong"
    assert str(ConfigError("wrong", file="environment")) == "environment: wrong"
    assert str(ConfigError("wrong")) == "wrong"
    assert str(Rejected("no", **REMOTE)) == "sap iter_stock: no (HTTP 400, M3/682)"
    assert str(Truncated("short", system="sap", operation="read")) == "sap read: short"
