"""The one error tree. Each class says what the caller should do; every instance survives pickling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class OneshelfError(Exception):
    """Base of every error this project raises on purpose.

    Subclasses pass all their arguments to `__init__` by keyword and keep them as attributes; `__reduce__` rebuilds them
    from exactly these, so that Prefect can carry them between processes.
    """

    def __init__(self, message: str, **details: Any) -> None:  # noqa: ANN401 - each subclass types its own
        super().__init__(message)
        self.message = message
        self._details = details

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from message and details."""
        return (_rebuild, (type(self), self.message, self._details))


def _rebuild(cls: type[OneshelfError], message: str, details: Mapping[str, Any]) -> OneshelfError:
    return cls(message, **details)


class ConfigError(OneshelfError):
    """Raised when a setting or a config file is wrong: fix the named place, then start again."""

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message, file=file, line=line)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        """Return `file:line: message`, as far as file and line are known."""
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return f"{place}: {self.message}" if place else self.message


class MappingError(ConfigError):
    """Raised when a mapping file is refused: fix the named line; nothing is read with a file that is wrong."""


class RemoteError(OneshelfError):
    """Base of everything that goes wrong in talking to another system."""

    def __init__(
        self,
        message: str,
        *,
        system: str,
        operation: str,
        http_status: int | None = None,
        remote_code: str | None = None,
        request_id: str | None = None,
        **details: Any,  # noqa: ANN401 - each subclass types its own
    ) -> None:
        super().__init__(
            message,
            system=system,
            operation=operation,
            http_status=http_status,
            remote_code=remote_code,
            request_id=request_id,
            **details,
        )
        self.system = system
        self.operation = operation
        self.http_status = http_status
        self.remote_code = remote_code
        self.request_id = request_id

    def __str__(self) -> str:
        """Return one line with system, operation, status and code."""
        facts = [f"HTTP {self.http_status}" if self.http_status else "", self.remote_code or ""]
        known = ", ".join(fact for fact in facts if fact)
        return f"{self.system} {self.operation}: {self.message}" + (f" ({known})" if known else "")


class Retryable(RemoteError):
    """Raised when the same call may succeed later: wait, then repeat it."""


class RateLimited(Retryable):
    """Raised when the system asks for a pause of `retry_after` seconds (None: it did not say how long)."""

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:  # noqa: ANN401
        super().__init__(message, retry_after=retry_after, **details)
        self.retry_after = retry_after


class Unavailable(Retryable):
    """Raised when the system can't be reached, is down, or answers with something that is not its protocol."""


class DependencyMissing(Retryable):
    """Raised when something else must be read first: it will be, so repeat later."""


class Locked(Retryable):
    """Raised when another user holds the record: repeat later."""


class Rejected(RemoteError):
    """Raised when the system understood and refused: repeating the same call is of no use."""


class AuthFailed(RemoteError):
    """Raised when credentials or permissions are refused: an operator must mend them."""


class OutcomeUnknown(RemoteError):
    """Raised when a write may or may not have happened: ask the system before any repeat."""


class ProtocolViolation(RemoteError):
    """Raised when an answer breaks the vendor's own protocol: nothing of it may be used."""


class Truncated(ProtocolViolation):
    """Raised when an answer is known to be cut short: nothing of it may be used."""


class RecordError(OneshelfError):
    """Raised when one record can't be used: it goes to quarantine and the others go on.

    Attributes:
        reason: short machine-readable code, for instance `missing_field`.
        field: the target field that failed, where one did.
    """

    def __init__(self, message: str, *, reason: str, field: str | None = None) -> None:
        super().__init__(message, reason=reason, field=field)
        self.reason = reason
        self.field = field


class DomainError(OneshelfError):
    """Raised when a request breaks a rule of the domain; `code` is stable and goes to the caller."""

    def __init__(self, message: str, *, code: str, status: int = 409, **extra: Any) -> None:  # noqa: ANN401
        super().__init__(message, code=code, status=status, **extra)
        self.code = code
        self.status = status
        self.extra = extra
