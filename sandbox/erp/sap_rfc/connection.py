"""The client's side: `Connection` as the `pyrfc` modules have it, with the methods that all their providers share."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.sap_rfc.errors import (
    ABAPApplicationError,
    RFCError,
    RFCLibError,
    abap_exception,
    canceled,
    closed_by_peer,
    cpic_failure,
    invalid_handle,
    invalid_parameter,
    short_dump,
)
from sandbox.erp.sap_rfc.interface import Call, Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.erp.sap_rfc.session import Session
    from sandbox.erp.sap_rfc.system import AbapSystem

_KNOWN_PARAMETERS: Final = frozenset(
    {
        "ashost", "sysnr", "client", "user", "passwd", "lang",
        "port", "program_id",
        "mshost", "msserv", "group", "sysid", "mshost_override",
        "saprouter", "basxml",
        "snc_mode", "snc_qop", "snc_myname", "snc_partnername", "snc_lib",
        "wshost", "wsport", "ws_path", "tls_client_cert", "tls_client_key",
    },
)  # fmt: skip
_KNOWN_CONFIG: Final = frozenset({"rstrip", "dtime", "return_import_params", "timeout"})
_HANGS: Final = 60.0


class Connection:
    """One connection, which is one ABAP session; `system.pyrfc.Connection` is this class bound to its system.

    Only an ABAPApplicationError leaves the conversation open. After any other answer of the server the handle is dead:
    `alive` may still say True, and the next call raises RFC_INVALID_HANDLE. Not thread-safe: a second call at the same
    time gets RFC_INVALID_HANDLE and takes the handle with it. A connection that is not closed keeps its place among
    the system's conversations.
    """

    def __init__(self, system: AbapSystem, config: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        if not parameters:
            raise RFCError("Connection parameters missing")
        for name in parameters:
            if name not in _KNOWN_PARAMETERS:
                raise invalid_parameter(f"unknown connection parameter '{name}'")
        for name in config:
            if name not in _KNOWN_CONFIG:
                raise invalid_parameter(f"unknown configuration option '{name}'")
        self._system = system
        self._options = Options(**config)
        self._parameters = {name: str(value) for name, value in parameters.items()}
        self._busy = threading.Lock()
        self._session: Session | None = None
        self._open = False
        self._log_on()

    @property
    def alive(self) -> bool:
        """Whether the client believes that the connection is open."""
        return self._open

    @property
    def handle(self) -> int:
        """The number of the conversation, 0 when there is none."""
        return 0 if self._session is None else self._session.number

    def call(self, func_name: str, options: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - any ABAP type
        """Call a function module; `options` may set a `timeout` in seconds for this call.

        Raises:
            RFCError: the name is no text, or the connection is closed.
            ABAPApplicationError: a declared exception, or there is no such function module.
            RFCLibError: everything else; the conversation is gone, unless a parameter was refused.
        """
        if not isinstance(func_name, str):
            raise RFCError("Remote function module name must be unicode string, received:", func_name, type(func_name))
        if not self._open:
            text = f"Remote function module '{func_name}' invocation rejected because the connection is closed"
            raise RFCError(text)
        chosen = dict(options or {})
        timeout = chosen.pop("timeout", self._options.timeout)
        if chosen:
            raise invalid_parameter(f"unknown call option '{next(iter(chosen))}'")
        return self._exclusively(func_name, timeout, params)

    def ping(self) -> None:
        """Call RFC_PING.

        Raises:
            ExternalRuntimeError: the connection is closed or its handle is dead.
        """
        if not self._open:
            raise invalid_handle()
        self._exclusively("RFC_PING", self._options.timeout, {})

    def close(self) -> None:
        """Log off; what was not committed is lost."""
        self._hang_up()
        self._open = False

    def reopen(self) -> None:
        """Close if open, and log on again with the same parameters: a new handle, a new session."""
        self.close()
        self._log_on()

    def get_connection_attributes(self) -> dict[str, str]:
        """Return what is known of both ends, empty for a closed connection."""
        if self._session is None:
            return {}
        system = self._system
        return {
            "dest": "",
            "host": socket.gethostname(),
            "partnerHost": system.host,
            "sysNumber": system.sysnr,
            "sysId": system.sysid,
            "client": system.client,
            "user": self._session.user,
            "language": self._session.language,
            "trace": "",
            "isoLanguage": system.iso_language(self._session.language),
            "codepage": "4103",
            "partnerCodepage": "4103",
            "rfcRole": "C",
            "type": "E",
            "partnerType": "3",
            "rel": "753",
            "partnerRel": system.release,
            "kernelRel": "753",
            "cpicConvId": f"{self._session.number:08d}",
            "progName": "SAPLSYST",
            "partnerBytesPerChar": "2",
            "partnerIP": "127.0.0.1",
            "partnerIPv6": "::1",
        }

    def _log_on(self) -> None:
        self._session = self._system.log_on(self._parameters)
        self._open = True

    def _hang_up(self) -> None:
        if self._session is not None:
            self._system.end(self._session)
            self._session = None

    def _exclusively(self, name: str, timeout: float | None, params: Mapping[str, Any]) -> dict[str, Any]:
        if not self._busy.acquire(blocking=False):
            self._hang_up()
            raise invalid_handle()
        try:
            if self._session is None:
                raise invalid_handle()
            return self._invoke(self._session, name, timeout, params)
        finally:
            self._busy.release()

    def _invoke(
        self,
        session: Session,
        name: str,
        timeout: float | None,
        params: Mapping[str, Any],
    ) -> dict[str, Any]:
        function = self._system.functions.get(name)
        if function is None:
            raise abap_exception("FU_NOT_FOUND", "FL", "046", name)
        imports, tables = function.bind(params)
        call = Call(self._system, session, imports, tables)
        try:
            self._travel(call, name, timeout)
            self._fail(name)
            function.body(call)
        except ABAPApplicationError:
            raise
        except RFCLibError as error:
            self._hang_up()
            if error.key == "RFC_CANCELED":
                # The library opens another conversation at once; if that fails, the handle is dead like any other.
                with suppress(RFCLibError):
                    self._session = self._system.log_on(self._parameters)
            raise
        return function.result(call, self._options)

    def _travel(self, call: Call, name: str, timeout: float | None) -> None:
        """Wait as long as the network and the server take.

        Raises:
            CommunicationError: the call's time is up first (RFC_CANCELED).
        """
        system = self._system
        seconds = system.latency
        for fault_id, usual in (("latency", 1.0), ("cancel-new-handle", _HANGS)):
            fault = system.strike(fault_id, function=name)
            if fault is not None:
                seconds += float(fault.get("seconds", usual))
        if name == "RFC_PING_AND_WAIT":
            seconds += call.imports["SECONDS"]
        if timeout is not None and seconds > timeout:
            system.wait(timeout)
            raise canceled()
        if seconds:
            system.wait(seconds)

    def _fail(self, name: str) -> None:
        system = self._system
        if system.strike("closed-in-call", function=name) is not None:
            raise closed_by_peer("call")
        if system.strike("busy", function=name, at="call") is not None:
            raise cpic_failure("timeout while waiting for a free dialog work process", 242)
        if system.strike("no-rfc-authority", function=name) is not None:
            raise short_dump("RFC_NO_AUTHORITY", f"No RFC authorization for function module {name}.")
