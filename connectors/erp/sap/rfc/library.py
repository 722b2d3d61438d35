"""The module that provides `pyrfc`: loaded when it is first used, and here alone.

SAP's own PyRFC needs SAP's NW RFC SDK and is archived. Others offer the same interface: pyrfcx (with the SDK) and
erpl-pyrfc (without). What all of them have in common is small, and it is all that this connector uses:
`Connection(config=…, **parameters)`, `call`, `ping`, `close`, `get_connection_attributes`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from hub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INSTALL_ADVICE = "install .[sap-rfc] and SAP's NW RFC SDK, or another module that provides pyrfc (docs/sap.md)"


class RfcConnection(Protocol):
    """The common part of `pyrfc.Connection`."""

    def call(self, func_name: str, options: Mapping[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - as ABAP has them
        """Call a function module and return what it exports, changes and holds in tables."""

    def ping(self) -> None:
        """Go to the server and back."""

    def close(self) -> None:
        """End the conversation."""

    def get_connection_attributes(self) -> dict[str, Any]:
        """Say who is connected with whom."""


def open_connection(module_name: str, parameters: Mapping[str, str], timeout: float) -> RfcConnection:
    """Log on; blocks for as long as the library likes (61 s were seen, whatever `timeout` said).

    Args:
        timeout: seconds for each call.

    Raises:
        ConfigError: there is no such module, or it lacks something that it stands on.
        Exception: whatever the library raises; `connectors.erp.sap.rfc.errors` tells it apart.
    """
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"SAP over RFC needs the module {module_name}: {error}; {INSTALL_ADVICE}") from error
    connect = cast("Callable[..., RfcConnection]", module.Connection)
    return connect(config={"rstrip": True, "timeout": whole_seconds(timeout)}, **parameters)


def whole_seconds(timeout: float) -> int:
    """Return a time-out as the libraries take it: whole seconds, at least one."""
    return max(1, round(timeout))
