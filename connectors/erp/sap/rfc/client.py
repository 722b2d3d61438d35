"""The RFC client: calls of function modules, with everything that holds for each of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog

from connectors.calls import RequestBudget, RetryPolicy, retrying
from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.rfc.errors import explain
from connectors.erp.sap.rfc.library import open_connection, whole_seconds
from connectors.erp.sap.rfc.pool import BusyError, ConversationPool, DeadlineError
from hub.errors import OneshelfError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connectors.erp.sap.rfc.library import RfcConnection
    from connectors.erp.sap.rfc.settings import RfcSettings

_GRACE = 2.0
"""Seconds that the library's own time-out, which ends the call at SAP too, has before ours."""


class RfcClient:
    """Reads of one SAP system. Threads may share it.

    Args:
        settings: the connection.
        connect: for tests; else `library.open_connection` with the settings.
        retry: for tests.
    """

    def __init__(
        self,
        settings: RfcSettings,
        *,
        connect: Callable[[], RfcConnection] | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._settings = settings
        self._budget = RequestBudget(settings.requests_per_minute)
        self._retry = retry or RetryPolicy()
        self._log = structlog.get_logger().bind(system=SYSTEM)
        self.pool = ConversationPool(
            connect or self._open,
            size=settings.conversations,
            logon_timeout=settings.logon_timeout,
            ping_after=settings.ping_after,
            idle_timeout=settings.idle_timeout,
        )

    def call(self, function: str, parameters: Mapping[str, Any], about: str = "") -> dict[str, Any]:
        """Call a function module that only reads, repeated while the failure may pass.

        Args:
            about: what it is asked about, for errors and log lines; a table's name.

        Raises:
            RemoteError: after the last attempt.
            ConfigError: the module that provides `pyrfc`, or what it stands on, is not installed.
        """
        options = {"timeout": whole_seconds(self._settings.call_timeout)}
        operation = f"{function} {about}".rstrip()
        return self._do(operation, lambda connection: connection.call(function, options=options, **parameters))

    def attributes(self) -> dict[str, Any]:
        """Return what SAP says of the connection: system id, client, user, release."""
        return self._do("RFC_PING", lambda connection: connection.get_connection_attributes())

    def _do(self, operation: str, work: Callable[[RfcConnection], dict[str, Any]]) -> dict[str, Any]:
        return retrying(self._retry, operation, self._log)(lambda: self._attempt(operation, work))

    def _attempt(self, operation: str, work: Callable[[RfcConnection], dict[str, Any]]) -> dict[str, Any]:
        waited = self._budget.take()
        started = time.monotonic()
        stage, status = "log-on", "failed"
        try:
            with self.pool.lease() as conversation:
                stage = "call"
                answer = conversation.run(work, self._settings.call_timeout + _GRACE)
            status = "ok"
        except DeadlineError:
            message = f"the {stage} did not come back in time and was given up"
            raise Unavailable(message, system=SYSTEM, operation=operation) from None
        except BusyError:
            message = f"all {self._settings.conversations} conversations are in use, or hang"
            raise Unavailable(message, system=SYSTEM, operation=operation) from None
        except OneshelfError:
            raise
        except Exception as error:  # noqa: BLE001 - each provider has its own classes; all are told apart here
            # from None: a library may have put what it was called with into its own message
            raise explain(error, operation, self._secrets()) from None
        finally:
            self._log.info(
                "remote_call",
                operation=operation,
                status=status,
                duration_ms=round((time.monotonic() - started) * 1000),
                waited_ms=round(waited * 1000),
            )
        return answer

    def _open(self) -> RfcConnection:
        settings = self._settings
        return open_connection(settings.pyrfc_module, settings.logon_parameters(), settings.call_timeout)

    def _secrets(self) -> list[str]:
        password = self._settings.password
        return [password.get_secret_value()] if password and password.get_secret_value() else []
