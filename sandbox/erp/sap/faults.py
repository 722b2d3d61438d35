"""The declared faults of this sandbox, one id for each way in which SAP's OData side really fails or differs.

Three entries of the usual fault tables need no switch, because they always hold here: stock rows have their key of
eleven parts, `$top` above 5000 is capped, and decimals, counts and dates come in the Gateway's own spelling unless a
switch below says otherwise.

The faults of volume take `set` to strike one entity set alone.
"""

from __future__ import annotations

from typing import Final

FAULTS: Final = {
    # signing on
    "auth-401": "Log-on fails with 401 and an HTML page; bearer tokens issued so far become invalid",
    "role-403": "403 with an OData error: the user's role does not allow the service",
    "service-inactive-403": "403 with code /IWFND/MED/170: the service is not active (not an authorization problem)",
    # session and network
    "csrf-expired": "A modifying request finds its session gone: 403, x-csrf-token: Required",
    "cookie-lost": "A token fetch answers the CSRF token without its session cookies",
    "html-503": "503 (status: another) with an HTML page of the web dispatcher",
    "html-200": "200 with an HTML log-on page instead of data",
    "cut-gzip": "The compressed body ends in the middle, the HTTP framing is whole",
    "connection-cut": "The connection breaks in the middle of the body",
    "latency": "Every request waits before it is worked on; seconds (default 1)",
    "slow": "The body stalls half-way; seconds (default 1)",
    "drip": "The body comes a byte at a time and never ends; seconds between two bytes (default 0.02)",
    # volume and paging
    "next-loop": "__next carries a garbage skip token, which answers the first page again",
    "top-capped": "$top is silently capped, without __next; cap (default 50)",
    "rows-move-between-pages": (
        "A real goods movement between two pages of stock, by offset or by key, shifts the rows; "
        "change: vanish (default; a row is skipped) or appear (a row comes twice)"
    ),
    "snapshot-truncated": "A page that has a successor comes without __next",
    "empty-answer": "200 with no rows",
    "shrunk-answer": "A share of the rows is missing; share (default 0.5)",
    "rows-withheld": "A share of the rows is counted in __count and left out of the answer; share (default 0.3)",
    "documents-taken-back": "While stock or documents are read, somebody posts a movement or cancels one (冲销)",
    "negative-quantity": "Before a page of stock is read, a sale takes a row of it below zero in the books",
    # payload
    "decimal-as-number": "Edm.Decimal as a JSON number",
    "decimal-trailing-zeros": "Edm.Decimal as a string with three decimals",
    "decimal-noise": "Edm.Decimal as a JSON number with the noise of binary fractions",
    "decimal-exponent": "Edm.Decimal as a string with an exponent, as in 1.2E+1",
    "count-as-number": "__count as a JSON number",
    "date-with-offset": "Edm.DateTime as /Date(ms+0480)/; minutes (default 480)",
    "null-for-empty": "null in place of every empty string, in key properties too",
    "numc-zero": "Empty digits-only properties (WBSElementInternalID, SDDocumentItem …) as '0'",
    "bad-utf8": "One byte of a text in the body is no UTF-8",
    "wrong-type": "The JSON body is called text/html",
    "deep-json": "200 with JSON that is nested 100,000 levels deep",
    # writing
    "lock-400": "400 with code 56/393: the object is locked by another user, nothing is posted",
    "lost-201": "The document is posted, its answer is lost; status 504 answers an HTML page instead of a cut",
    "sap-message": "A success carries a warning in the header sap-message",
    "late-commit": "Documents carry a creation time before they became visible; seconds (default 30)",
    "future-entry-time": "Documents carry a creation time that is still to come; seconds (default 3600)",
    # rate
    "rate-429": "429 with Retry-After; retry_after in seconds (default 2) or a date",
    "busy-503": "503 with Retry-After: no free work process; retry_after in seconds (default 2) or a date",
}
