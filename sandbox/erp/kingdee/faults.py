"""Every fault of this sandbox by its id."""

from __future__ import annotations

from typing import Final

FAULTS: Final[dict[str, str]] = {
    # authentication
    "auth-lost": "The next call fails to authenticate: MsgCode 1, inside [[...]] for ExecuteBillQuery, else bare.",
    "thirty-passport": "HTTP 500 (param status) 'Fail to verify thirty passport', as for a wrong acctId.",
    "login-result": "A login answers with another LoginResultType (param type, default 0) and opens no session.",
    "password-login-refused": "ValidateUser and LoginByAppSecret are refused, as on newer public-cloud tenants.",
    "sid-hides-secret": "Any session id is taken for a valid one, so that no signature is checked.",
    # session and network
    "sid-rotation": "The answer sets a new session id and the one that was sent dies silently.",
    "hollow-sid": "A good answer sets a session id that no session stands behind.",
    "set-cookie-comma": "The answer carries two Set-Cookie headers with a comma in their expires.",
    "session-expires": "The session that was sent expires; its id is refused until a new login or a call without it.",
    "html-200": "HTTP 200 with the login page's HTML.",
    "html-502": "HTTP 502 (param status: another) with a proxy's HTML.",
    "rate-429": "HTTP 429 with Retry-After (param retry_after, default 1, seconds or a date).",
    "busy-text": "HTTP 200 with a plain text that the server is busy.",
    "response-error-text": "HTTP 200 with plain text 'response_error: ...' (param message).",
    "slow": "The call is carried out, the answer comes late (param seconds, default 5).",
    "drip": "The answer comes a byte at a time and never ends (param seconds between two bytes, default 0.02).",
    "latency": "Every request waits before it is looked at (param seconds, default 0.2).",
    "connection-cut": "The connection breaks amid the answer (param stage: after the work, default, or before).",
    # volume (each takes param form to strike one business object only)
    "limit-truncated": "Limit is silently cut to fewer rows (param rows, default 100).",
    "toprow-end-row": "The server has an end row of its own (param rows, default 500): later pages are empty.",
    "unstable-order": "OrderString is ignored, so pages repeat and miss rows.",
    "rows-move-between-pages": "Before a later page is read, by number or by key, a sale empties a row of stock.",
    "snapshot-truncated": "A result of many rows ends early (params share, default 0.6; above rows, default 100).",
    "empty-answer": "A query answers [], as data permissions make it do silently.",
    "shrunk-answer": "Only some rows of the whole result are visible (param share, default 0.1).",
    # payload
    "error-row": "A query answers an error as its data (params message, msg_code, default 4).",
    "is-success-string": 'IsSuccess is the text "true" or "false".',
    "msgcode-string": "MsgCode is a text.",
    "float-noise": "Quantities carry noise in the tenth decimal.",
    "json-in-string": "The whole answer is JSON inside a JSON string.",
    "duplicate-fid": "Some rows of the result come twice (param conflict: with another quantity the second time).",
    "negative-quantity": "Before an inventory query, a sale takes a row of it below zero in the books.",
    "bills-taken-back": "While anything is read, somebody posts, un-audits (反审核) or audits a bill again.",
    "exponent": "Numbers carry an exponent, as in 1.2E+01.",
    "bad-utf8": "One byte of a text in the answer is no UTF-8.",
    "wrong-type": "The JSON answer is called text/html in GBK.",
    "deep-json": "HTTP 200 with JSON that is nested 100,000 levels deep.",
    # writing (param form as above)
    "partial-batch": "A batch leaves out its last item and still says IsSuccess true.",
    "already-audited": "Somebody audits the bill first: Audit answers that it is audited already.",
    "required-field": "Save misses a required field (param field, default FSalerId).",
    "submit-fails": "Submit fails; the saved bill stays where it was.",
    "delete-entry": "Save deletes unlisted lines whatever IsDeleteEntry says.",
    "locked": "A write meets another user's lock (网控).",
    "number-repeated": "A bill is saved under a number that another one has: the check of numbers is off.",
    "late-commit": "Bills and stock rows carry times before they became visible (param seconds, default 30).",
}
