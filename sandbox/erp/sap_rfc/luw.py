"""The logical unit of work: how BAPIs prepare what a commit writes, how they answer, commit and rollback.

A writing BAPI draws its number, tries everything against the books and takes it back; only BAPI_TRANSACTION_COMMIT on
the same connection writes. Until then the session holds locks, and other sessions are told who holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.sap.movements import PostingError
from sandbox.erp.sap_rfc.errors import abap_message, canceled, closed_by_peer
from sandbox.erp.sap_rfc.interface import Function, initial
from sandbox.erp.sap_rfc.structures import BAPIRET2, BAPIRETURN, FLAG

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from sandbox.erp.sap_rfc.interface import Call
    from sandbox.erp.sap_rfc.session import Session, Update

    Message = dict[str, Any]

_FAILED: Final = frozenset("EAX")
_OTHER_USER: Final = "SMITH"
_DISRUPTED: Final = ("The update was terminated", "更新已终止")


@dataclass(frozen=True)
class Draft:
    """What a writing BAPI has prepared: the numbers it answers, what a commit will write, and good news."""

    exports: dict[str, Any]
    update: Update
    messages: list[Message] = field(default_factory=list)


def luw_functions() -> list[Function]:
    """Return the function modules that end a unit of work; their RETURN is one BAPIRET2."""
    return [
        Function("BAPI_TRANSACTION_COMMIT", _commit, {"WAIT": FLAG}, {"RETURN": BAPIRET2}),
        Function("BAPI_TRANSACTION_ROLLBACK", _rollback, {}, {"RETURN": BAPIRET2}),
    ]


def message(
    session: Session,
    kind: str,
    code: str,
    english: str,
    chinese: str = "",
    *variables: str,
) -> Message:
    """Build a BAPIRET2 line; `code` is message class and number, as in M7/021."""
    message_class, _, number = code.partition("/")
    values = dict(zip(("MESSAGE_V1", "MESSAGE_V2", "MESSAGE_V3", "MESSAGE_V4"), variables, strict=False))
    line: Message = initial(BAPIRET2)
    return line | {
        "TYPE": kind,
        "ID": message_class,
        "NUMBER": number.zfill(3),
        "MESSAGE": session.text(english, chinese or english),
        **values,
    }


def give_return(call: Call, name: str, messages: Sequence[Message], *, table: bool = True) -> None:
    """Answer RETURN: a table of BAPIRET2, or the most important message as one structure where that is the interface.

    The fault `return-shape` swaps the two, as releases and BAPIs differ.
    """
    swapped = call.system.strike("return-shape", function=name) is not None
    if table and not swapped:
        call.tables["RETURN"] = list(messages)
    elif table:
        call.exports["RETURN"] = old_return(messages)
    else:
        call.exports["RETURN"] = list(messages) if swapped else _worst(messages, initial(BAPIRET2))


def old_return(messages: Sequence[Message]) -> Message:
    """Return the most important message as a BAPIRETURN, whose CODE is message class and number in one."""
    line: Message = initial(BAPIRETURN)
    worst = _worst(messages, {})
    if worst:
        line |= {name: value for name, value in worst.items() if name in line}
        line["CODE"] = f"{worst['ID']}{worst['NUMBER']}"[:5]
    return line


def _worst(messages: Sequence[Message], nothing: Message) -> Message:
    failed = [line for line in messages if line["TYPE"] in _FAILED]
    return (failed or list(messages) or [nothing])[0]


def prepare_update(
    call: Call,
    name: str,
    draw: Callable[[sqlite3.Connection], Draft],
    *,
    locks: set[tuple[str, str]],
    test_run: bool = False,
) -> None:
    """Run the writing part of a BAPI: faults, locks, a trial against the books; then keep the update for the commit.

    `draw` draws the document's number and returns the draft.
    """
    if _refused(call, name, locks):
        return
    try:
        with call.system.store.transaction() as connection:
            draft = draw(connection)
            connection.execute("SAVEPOINT trial")
            for update in (*call.session.updates, draft.update):
                update(connection)
            connection.execute("ROLLBACK TO trial")
            connection.execute("RELEASE trial")
    except PostingError as refused:
        give_return(call, name, [refusal(call.session, refused)])
        return
    messages = draft.messages
    if call.system.strike("number-with-error", function=name) is not None:
        messages = [*messages, message(call.session, "E", "00/671", *_DISRUPTED)]
    elif not test_run:
        call.session.updates.append(draft.update)
        call.session.locks |= locks
    if not test_run:
        call.exports |= draft.exports
    give_return(call, name, messages)


def refusal(session: Session, refused: PostingError) -> Message:
    """Return the E line for a refused posting."""
    return message(session, "E", refused.code, refused.english, refused.chinese)


def _refused(call: Call, name: str, locks: set[tuple[str, str]]) -> bool:
    """Answer what stops a BAPI before it has looked at anything, and say whether it did.

    Raises:
        ABAPRuntimeError: the function ended with a message of type A.
    """
    system = call.system
    aborted = system.strike("a-message", function=name)
    if aborted is not None:
        english, chinese = _DISRUPTED
        if not aborted.get("in_return"):
            raise abap_message(english, "00", "A", "671")
        give_return(call, name, [message(call.session, "A", "00/671", english, chinese)])
        return True
    blocked = next(iter(sorted(locks)), ("", ""))
    holder = _OTHER_USER if system.strike("locked", function=name) is not None else None
    for lock in sorted(locks):
        if holder is None:
            blocked, holder = lock, system.lock_holder(lock, call.session)
    if holder is None:
        return False
    english, chinese = f"{blocked[0]} is locked by user {holder}", f"{blocked[0]} 由用户 {holder} 锁定"
    give_return(call, name, [message(call.session, "E", "M3/682", english, chinese, blocked[0], holder)])
    return True


def _commit(call: Call) -> None:
    """Write everything or nothing.

    With WAIT the caller learns of a failure (S&101); without it the update is left to itself and nobody is told.
    """
    name, session = "BAPI_TRANSACTION_COMMIT", call.session
    failed = call.system.strike("commit-fails", function=name) is not None
    if not failed:
        failed = not _write(call)
    session.end_of_work()
    lost = call.system.strike("lost-commit-answer", function=name)
    if lost is not None:
        raise canceled() if lost.get("how") == "canceled" else closed_by_peer("call")
    told = failed and call.imports["WAIT"] != ""
    texts = ("Posting could not be carried out", "无法执行过账")
    give_return(call, name, [message(session, "E", "S&/101", *texts)] if told else [], table=False)


def _write(call: Call) -> bool:
    try:
        with call.system.store.transaction() as connection:
            for update in tuple(call.session.updates):
                update(connection)
    except PostingError:
        return False
    return True


def _rollback(call: Call) -> None:
    call.session.end_of_work()
    give_return(call, "BAPI_TRANSACTION_ROLLBACK", [], table=False)
