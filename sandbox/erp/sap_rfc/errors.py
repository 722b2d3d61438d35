"""The exception tree of the `pyrfc` module, and the errors that a server or the library raises with it.

Names, codes, keys and texts are those that SAP's own PyRFC tests expect (test_errors.py, test_errors_abap.py,
test_connection.py, test_timeout.py), or that were seen in public issues and traces; where neither is known, the text is
plausible and the docstring says so.
"""

from __future__ import annotations

# The server's codes, in the order of the SDK's list of return codes.
COMMUNICATION_FAILURE = 1
LOGON_FAILURE = 2
ABAP_RUNTIME_FAILURE = 3
ABAP_MESSAGE = 4
ABAP_EXCEPTION = 5
CANCELED = 7
INVALID_HANDLE = 13
INVALID_PARAMETER = 20
CONVERSION_FAILURE = 22


class RFCError(Exception):
    """The root of all errors; on its own, the Python side refuses something."""


class RFCLibError(RFCError):
    """An error with the fields of the SDK's error record; empty fields are empty strings."""

    def __init__(
        self,
        message: str = "",
        code: int = 28,
        key: str = "RFC_UNKNOWN_ERROR",
        msg_class: str = "",
        msg_type: str = "",
        msg_number: str = "",
        msg_v1: str = "",
        msg_v2: str = "",
        msg_v3: str = "",
        msg_v4: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.key = key
        self.msg_class = msg_class
        self.msg_type = msg_type
        self.msg_number = msg_number
        self.msg_v1 = msg_v1
        self.msg_v2 = msg_v2
        self.msg_v3 = msg_v3
        self.msg_v4 = msg_v4

    def __str__(self) -> str:
        """Return the text as PyRFC prints it; other providers print the bare message."""
        variables = f"{self.msg_v1};{self.msg_v2};{self.msg_v3};{self.msg_v4}"
        return (
            f"{self.code} (rc={self.code}): key={self.key}, message={self.message} "
            f"[MSG: class={self.msg_class}, type={self.msg_type}, number={self.msg_number}, v1-4:={variables}]"
        )


class ABAPApplicationError(RFCLibError):
    """Raised when a function module raises one of its declared exceptions."""


class ABAPRuntimeError(RFCLibError):
    """Raised when ABAP ends with a short dump or with a message of type A, E or X."""


class LogonError(RFCLibError):
    """Raised when the server refuses the logon."""


class CommunicationError(RFCLibError):
    """Raised when the network or the gateway fails."""


class ExternalRuntimeError(RFCLibError):
    """Raised when the library on the client's side refuses a call."""


class ExternalApplicationError(RFCLibError):
    """Raised when an external server program fails."""


class ExternalAuthorizationError(RFCLibError):
    """Raised when an external server program refuses for want of an authorization."""


class RFCTypeError(RFCLibError):
    """Raised when a value is not of the type that the parameter has."""


def abap_exception(
    key: str,
    message_class: str = "",
    number: str = "000",
    *variables: str,
) -> ABAPApplicationError:
    """Build a declared exception, raised with a message of type E or with none at all."""
    if not message_class:
        return ABAPApplicationError(" Number:000", ABAP_EXCEPTION, key, msg_number="000")
    values = [*variables, "", "", "", ""][:4]
    text = f"ID:{message_class} Type:E Number:{number} {' '.join(variables)}"
    return ABAPApplicationError(text.rstrip(), ABAP_EXCEPTION, key, message_class, "E", number, *values)


def short_dump(key: str, text: str) -> ABAPRuntimeError:
    """Build a short dump: the key is the dump's name."""
    return ABAPRuntimeError(text, ABAP_RUNTIME_FAILURE, key)


def abap_message(text: str, message_class: str, kind: str, number: str) -> ABAPRuntimeError:
    """Build a message of type A, E or X that ended the function; X has a key of its own."""
    if kind == "X":
        text, key = "The current application has triggered a termination with a short dump.", "MESSAGE_TYPE_X"
    else:
        key = text
    return ABAPRuntimeError(text, ABAP_MESSAGE, key, message_class, kind, number)


def logon_refused(text: str) -> LogonError:
    """Build a refused logon; traces show no message class or number, only the text differs."""
    return LogonError(text, LOGON_FAILURE, "RFC_LOGON_FAILURE")


def communication_failure(text: str) -> CommunicationError:
    """Build a failure of the network or the gateway."""
    return CommunicationError(text, COMMUNICATION_FAILURE, "RFC_COMMUNICATION_FAILURE")


def cpic_failure(error: str, rc: int) -> CommunicationError:
    """Build a failure as the gateway's CPIC layer reports it, a block of many lines."""
    return communication_failure(
        "\nLOCATION    CPIC (TCP/IP) on local host with Unicode"
        f"\nERROR       {error}"
        "\nRELEASE     753\nCOMPONENT   CPIC (TCP/IP) with Unicode\nVERSION     3"
        f"\nRC          {rc}\nMODULE      r3cpic.c\nCOUNTER     1\n",
    )


def closed_by_peer(when: str) -> CommunicationError:
    """Build a connection closed by the peer, with the number that a provider of `pyrfc` was seen to give it."""
    return CommunicationError(f"connection closed by peer during {when}", INVALID_HANDLE, "RFC_CLOSED")


def canceled() -> CommunicationError:
    """Build a call that was cancelled because its time was up."""
    return CommunicationError("Connection was canceled.", CANCELED, "RFC_CANCELED")


def invalid_handle() -> ExternalRuntimeError:
    """Build a call on a handle that is no longer, or used by two threads."""
    text = "An invalid handle 'RFC_CONNECTION_HANDLE' was passed to the API call"
    return ExternalRuntimeError(text, INVALID_HANDLE, "RFC_INVALID_HANDLE")


def invalid_parameter(text: str) -> ExternalRuntimeError:
    """Build a refused parameter, for example `field 'undefined' not found`."""
    return ExternalRuntimeError(text, INVALID_PARAMETER, "RFC_INVALID_PARAMETER")


def conversion_failure(text: str) -> ExternalRuntimeError:
    """Build a value that can't be brought into the parameter's type."""
    return ExternalRuntimeError(text, CONVERSION_FAILURE, "RFC_CONVERSION_FAILURE")
