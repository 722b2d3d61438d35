"""The declared faults of this sandbox, one id for each way in which SAP's RFC side really fails or differs.

Some entries of the usual fault tables need no switch, because they always hold here: quantities carry a trailing minus
sign or blank, material numbers have leading zeros, a row of more than 512 characters is refused, rows come in no key
order, CHAR parameters that are too long are cut without a word, and a user is locked after five wrong passwords.

Every fault takes two further parameters where they make sense: `function` or `table` limits it to calls of that
function module or reads of that table, and `after` lets that many matching calls pass first.
"""

from __future__ import annotations

from typing import Final

FAULTS: Final = {
    # signing on
    "logon-failed": "Log-on fails: name or password is incorrect",
    "user-locked": "Log-on fails: the user is locked; key and class are those of a wrong password",
    "password-expired": "Log-on fails: the password has expired; key and class are those of a wrong password",
    "not-authorized": "RFC_READ_TABLE raises NOT_AUTHORIZED: no authorization for the table (S_TABU_DIS)",
    "no-rfc-authority": "A call ends with RFC_NO_AUTHORITY: no authorization for the function module (S_RFC)",
    # session and network
    "refused": "Nothing listens: connecting is refused at once",
    "closed": "The peer closes the connection during the routing handshake of a log-on",
    "silent": (
        "The peer accepts and stays silent whatever the timeout says; seconds (default 61.5); then: fails (default) or "
        "opens, when nobody may be waiting any more"
    ),
    "max-conversations": "max no of 200 conversations exceeded",
    "cancel-new-handle": (
        "The next call hangs; seconds (default 60). A timeout cancels it: RFC_CANCELED, a new handle, the LUW is lost"
    ),
    "closed-in-call": "The peer closes the connection in the middle of a call",
    "latency": "Every call waits before it is worked on; seconds (default 1)",
    # volume
    "buffer-exceeded": "A row may be narrower than usual before DATA_BUFFER_EXCEEDED is raised; width (default 40)",
    "page-alloc-failed": "Memory is short: dump TSV_TNEW_PAGE_ALLOC_FAILED above that many rows; rows (default 100)",
    "unstable-rowskips": "Without GET_SORTED each call sees another order, so that ROWSKIPS skips and repeats rows",
    "empty-answer": "RFC_READ_TABLE answers no rows and no error, as when an authorization filter hides them",
    "short-answer": "A share of the rows is missing, without any sign; share (default 0.5)",
    "documents-taken-back": (
        "Before rows are read, somebody posts movements or cancels one (冲销) in turns; documents (default 1)"
    ),
    "table-without-data": "RFC_READ_TABLE raises TABLE_WITHOUT_DATA",
    # payload
    "wrong-date": "Every date of the answer is another; value (default 00000000)",
    "truncated-char": "Texts outside the key are cut; length (default 6)",
    "return-shape": "RETURN is one structure with CODE where a table is usual, and a table where a structure is usual",
    "number-with-error": "A writing BAPI answers a document number together with an E line, and posts nothing",
    # writing
    "locked": "A writing BAPI answers an E line: the material is locked by another user",
    "a-message": "A writing BAPI ends with a message of type A; in_return=true puts it into RETURN instead",
    "lost-commit-answer": ("BAPI_TRANSACTION_COMMIT commits and its answer is lost; how: closed (default) or canceled"),
    "commit-fails": "BAPI_TRANSACTION_COMMIT answers an E line and everything is rolled back",
    "late-commit": "Documents carry an entry time before they became visible; seconds (default 30)",
    "future-entry-time": "Documents carry an entry time that is still to come; seconds (default 3600)",
    # rate
    "busy": "No dialog work process is free; at: call (default) or logon",
}
