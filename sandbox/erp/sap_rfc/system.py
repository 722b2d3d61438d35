"""The ABAP system: its books, its users, its sessions and the `pyrfc` module that leads to it."""

from __future__ import annotations

import itertools
import threading
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from sandbox.catalogue import DEMO_SEED
from sandbox.erp.sap.auth import DEMO_PASSWORD, DEMO_USER, SAP_CLIENT
from sandbox.erp.sap.store import Store
from sandbox.erp.sap.world import World
from sandbox.erp.sap_rfc import errors, structures
from sandbox.erp.sap_rfc.availability import availability_function
from sandbox.erp.sap_rfc.basis import basis_functions
from sandbox.erp.sap_rfc.books import open_books
from sandbox.erp.sap_rfc.connection import Connection
from sandbox.erp.sap_rfc.dictionary import LANGUAGE_KEYS
from sandbox.erp.sap_rfc.errors import (
    LogonError,
    closed_by_peer,
    communication_failure,
    cpic_failure,
    invalid_parameter,
    logon_refused,
)
from sandbox.erp.sap_rfc.faults import FAULTS
from sandbox.erp.sap_rfc.goods import goods_functions
from sandbox.erp.sap_rfc.interface import Structure
from sandbox.erp.sap_rfc.luw import luw_functions
from sandbox.erp.sap_rfc.orders import order_functions
from sandbox.erp.sap_rfc.read_table import TableReader
from sandbox.erp.sap_rfc.session import Session
from sandbox.erp.sap_rfc.tables import TABLES
from sandbox.faults import Switchboard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from sandbox.erp.sap_rfc.interface import Function

_CONVERSATIONS: Final = 200
_WRONG_PASSWORDS: Final = 5
_SILENCE: Final = 61.5
_ITAB_ROWS: Final = 1_000_000
_REFUSED: Final = "I/O error: Connection refused (os error 111)"
_EXCEPTIONS: Final = (
    errors.RFCError,
    errors.RFCLibError,
    errors.ABAPApplicationError,
    errors.ABAPRuntimeError,
    errors.LogonError,
    errors.CommunicationError,
    errors.ExternalRuntimeError,
    errors.ExternalApplicationError,
    errors.ExternalAuthorizationError,
    errors.RFCTypeError,
)


class AbapSystem:
    """An ECC system in this process, over the SQLite file that the OData sandbox uses as well.

    Args:
        database: the SQLite file; an existing one is continued. Other processes may have it open.
        articles: how many articles of the catalogue the retailer has, when the books are new.
        seed: what the articles and their stock are drawn from.
        get_sorted: whether this release's RFC_READ_TABLE has the parameter GET_SORTED.
        max_conversations: how many conversations may be open at once.
        itab_rows: how many rows an internal table may have before memory is exhausted.
        latency: seconds that every log-on and every call takes, besides its work.
    """

    host = "ecchost"
    sysnr = "00"
    sysid = "ECC"
    client = SAP_CLIENT
    release = "731"

    def __init__(
        self,
        database: Path | str,
        *,
        articles: int = 2000,
        seed: int = DEMO_SEED,
        get_sorted: bool = False,
        max_conversations: int = _CONVERSATIONS,
        itab_rows: int = _ITAB_ROWS,
        latency: float = 0.0,
    ) -> None:
        self.faults = Switchboard(FAULTS)
        self.latency = latency
        self.store = Store(database)
        self.world = World(self.store, articles=articles, seed=seed, entry_lag=self.entry_lag)
        with self.store.transaction() as connection:
            open_books(connection)
        self.reader = TableReader(self, TABLES, itab_rows=itab_rows)
        self.functions: dict[str, Function] = {
            function.name: function
            for function in (
                *basis_functions(get_sorted=get_sorted),
                *luw_functions(),
                *goods_functions(),
                *order_functions(),
                availability_function(),
            )
        }
        self.structures = {value.name: value for value in vars(structures).values() if isinstance(value, Structure)}
        self._max_conversations = max_conversations
        self._sessions: dict[int, Session] = {}
        self._numbers = itertools.count(1)
        self._wrong_passwords = 0
        self._lock = threading.Lock()
        self._released = threading.Event()

    @cached_property
    def pyrfc(self) -> ModuleType:
        """The module that `import pyrfc` would give, with a `Connection` that leads to this system."""
        system = self

        class BoundConnection(Connection):
            def __init__(self, config: Mapping[str, Any] | None = None, **params: Any) -> None:  # noqa: ANN401
                super().__init__(system, config or {}, params)

        module = ModuleType("pyrfc", "A stand-in for the module of the SAP RFC library.")
        for exception in _EXCEPTIONS:
            setattr(module, exception.__name__, exception)
        module.Connection = BoundConnection  # type: ignore[attr-defined]
        return module

    @property
    def conversations(self) -> int:
        """How many conversations are open; a leak shows here."""
        return len(self._sessions)

    def close(self) -> None:
        """End all waiting and close the books."""
        self._released.set()
        self.store.close()

    def reset(self) -> None:
        """Throw the books away and open them anew from the seed; faults and conversations stay."""
        self.world.reset()

    def unlock_user(self) -> None:
        """Forget the wrong passwords that locked the user."""
        self._wrong_passwords = 0

    def now(self) -> datetime:
        """Return the application server's local time."""
        return self.world.now()

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than the system exists."""
        self._released.wait(seconds)

    def entry_lag(self) -> int:
        """Return by how many seconds an entry time is too early; below zero it is still to come."""
        late, ahead = self.faults.strike("late-commit"), self.faults.strike("future-entry-time")
        lag = 0 if late is None else int(late.get("seconds", 30))
        return lag if ahead is None else lag - int(ahead.get("seconds", 3600))

    def strike(
        self, fault_id: str, *, function: str = "", table: str = "", at: str = "call"
    ) -> Mapping[str, Any] | None:
        """Return a fault's parameters if it strikes this call, else None (see `faults`)."""
        active = self.faults.describe()["active"].get(fault_id)
        if active is None:
            return None
        wanted = active["params"]
        here = {"function": function, "table": table, "at": at}
        if any(str(wanted.get(name, value)) != value for name, value in here.items()):
            return None
        if "at" not in wanted and at != "call":
            return None
        struck = self.faults.strike(fault_id)
        return None if active["struck"] < int(wanted.get("after", 0)) else struck

    def iso_language(self, key: str) -> str:
        """Return the two-character code of a language key."""
        return next(iso for iso, known in LANGUAGE_KEYS.items() if known == key)

    def log_on(self, parameters: Mapping[str, str]) -> Session:
        """Open a conversation.

        Raises:
            ExternalRuntimeError: no server is named.
            CommunicationError: the server can't be reached, or has no conversation left.
            LogonError: client, user, password or language is refused.
        """
        if self.latency:
            self.wait(self.latency)
        self._reach(parameters)
        session = Session(next(self._numbers), *self._identify(parameters))
        with self._lock:
            if len(self._sessions) >= self._max_conversations:
                raise self._too_many()
            self._sessions[session.number] = session
        return session

    def end(self, session: Session) -> None:
        """End a conversation; what it did not commit is lost."""
        with self._lock:
            self._sessions.pop(session.number, None)
        session.end_of_work()

    def lock_holder(self, lock: tuple[str, str], asking: Session) -> str | None:
        """Return the user of another session that holds a lock, None if it is free."""
        with self._lock:
            holders = [held for held in self._sessions.values() if held is not asking and lock in held.locks]
        return holders[0].user if holders else None

    def _too_many(self) -> errors.CommunicationError:
        return cpic_failure(f"max no of {self._max_conversations} conversations exceeded", 466)

    def _reach(self, parameters: Mapping[str, str]) -> None:
        """Fail as the network would on the way to the server."""
        if not {"ashost", "mshost", "wshost"} & parameters.keys():
            raise invalid_parameter("Parameter ASHOST, GWHOST, MSHOST or PORT is missing.")
        wrong_port = parameters.get("sysnr", self.sysnr).zfill(2) != self.sysnr
        if wrong_port or self.faults.strike("refused") is not None:
            raise communication_failure(_REFUSED)
        if self.faults.strike("closed") is not None:
            raise closed_by_peer("routing handshake")
        silent = self.faults.strike("silent")
        if silent is not None:
            self.wait(float(silent.get("seconds", _SILENCE)))
        if silent is not None and silent.get("then") != "opens":
            raise communication_failure("I/O error: Resource temporarily unavailable (os error 11)")
        if self.faults.strike("max-conversations") is not None:
            raise self._too_many()
        if self.strike("busy", at="logon") is not None:
            raise cpic_failure("timeout while waiting for a free dialog work process", 242)

    def _identify(self, parameters: Mapping[str, str]) -> tuple[str, str]:
        """Return user and language key.

        Traces show no message class or number for a refused log-on; only the text tells the reasons apart.
        """
        for fault_id, refusal in (
            ("logon-failed", "Name or password is incorrect (repeat logon)"),
            ("user-locked", "User is locked. Please notify the person responsible"),
            ("password-expired", "Password has expired; log on with a dialog user and change it"),
        ):
            if self.faults.strike(fault_id) is not None:
                raise logon_refused(refusal)
        if parameters.get("client", "000").zfill(3) != self.client:
            raise logon_refused(f"Client {parameters.get('client', '000')} is not available in this system")
        user = parameters.get("user", "").upper()
        self._check_password(user, parameters.get("passwd", ""))
        language = parameters.get("lang", "EN").upper()
        key = LANGUAGE_KEYS.get(language, language)
        if key not in LANGUAGE_KEYS.values():
            raise logon_refused("Select one of the installed languages")
        return user, key

    def _check_password(self, user: str, password: str) -> None:
        if user != DEMO_USER:
            raise _wrong_password()
        if self._wrong_passwords >= _WRONG_PASSWORDS:
            raise logon_refused("Password logon no longer possible - too many failed attempts")
        if password != DEMO_PASSWORD:
            self._wrong_passwords += 1
            raise _wrong_password()
        self._wrong_passwords = 0


def _wrong_password() -> LogonError:
    return logon_refused("Name or password is incorrect (repeat logon)")
