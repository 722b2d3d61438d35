"""Talk to a Kingdee K/3 Cloud server: the only place of this connector with network access.

Every call is `POST {server_url}{service}.common.kdsvc` with a JSON body in the shape of the vendor's Python client
(`{"data": {…}}`; log-ins take `{"parameters": […]}`).

Two ways to say who asks:

- `signature` (default): every request is signed, and no session is ever sent. A server that is shown a living session
  does not look at the credentials at all, so a wrong or withdrawn secret would stay unseen until the session ends.
  MsgCode 1 then means that the signature was refused, and repeating can't help.
- `login_by_sign`: one log-in, then its session id with every request. When the server has lost the session, there is
  one new log-in and one repetition. Cookies are taken over from good answers alone, since a refused request also gets a
  session id, a hollow one.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from dataclasses import dataclass, field, replace
from http.cookiejar import DefaultCookiePolicy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import requests

from connectors.calls import RequestBudget, RetryPolicy
from connectors.erp.kingdee.answers import SessionLost, login_session, named_rows, read_answer
from connectors.erp.kingdee.signature import Identity, login_parameters, request_headers
from connectors.http import HttpClient
from hub.errors import AuthFailed, ProtocolViolation, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connectors.erp.kingdee.settings import KingdeeSettings

_FORMS = "Kingdee.BOS.WebApi.ServicesStub.DynamicFormService"
_AUTH = "Kingdee.BOS.WebApi.ServicesStub.AuthService"
_SESSION = "kdservice-sessionid"
_MASK = "***"
_NONCE_LIMIT = 10**15


@dataclass(frozen=True, slots=True)
class Query:
    """One question for rows. `limit` counts rows, `start` is the number of rows to skip.

    `end` goes out as TopRowCount. It is the number of the last row, not a page's size: anything but 0 would leave page
    two empty.
    """

    form: str
    fields: tuple[str, ...]
    order: str
    where: str = ""
    limit: int = 1
    start: int = 0
    end: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the question as the server wants it."""
        return {
            "FormId": self.form,
            "FieldKeys": ",".join(self.fields),
            "FilterString": self.where,
            "OrderString": self.order,
            "TopRowCount": self.end,
            "StartRow": self.start,
            "Limit": self.limit,
            "SubSystemId": "",
        }


@dataclass(frozen=True, slots=True)
class _Session:
    """What a log-in gave: an id and the cookies that came with it."""

    session_id: str = field(repr=False)
    cookies: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def headers(self) -> dict[str, str]:
        cookies = {**self.cookies, _SESSION: self.session_id}
        return {_SESSION: self.session_id, "Cookie": "; ".join(f"{name}={text}" for name, text in cookies.items())}

    def after(self, response: requests.Response) -> _Session:
        """Return the session that goes on after a good answer, which may have changed its id without a word."""
        cookies = {**self.cookies, **_cookies_of(response)}
        return _Session(cookies.get(_SESSION) or self.session_id, MappingProxyType(cookies))


class KingdeeClient:
    """One connection to one tenant; may be shared by threads.

    Args:
        system: the name that errors and log lines carry.
        settings: where and as whom.
        http: another transport, for instance with a shared request budget.
        now: seconds since 1970; signatures carry it.
    """

    def __init__(
        self,
        system: str,
        settings: KingdeeSettings,
        *,
        http: HttpClient | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.system = system
        self._settings = settings
        self._now = now
        self._http = http or HttpClient(
            system,
            budget=RequestBudget(settings.requests_per_minute),
            timeout=(settings.connect_timeout, settings.read_timeout),
            retry=RetryPolicy(),
            verify=settings.tls_ca_file or settings.verify_tls,
            longest_answer=settings.answer_timeout,
        )
        # Sessions are kept here, not in a jar that takes any cookie; see the module's text.
        self._http.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        xor_key = settings.secret_xor_key
        self._identity = Identity(
            acct_id=settings.acct_id,
            user=settings.user,
            app_id=settings.app_id,
            app_secret=settings.app_secret.get_secret_value(),
            lcid=settings.lcid,
            org_number=settings.org_number,
            xor_key=xor_key.get_secret_value() if xor_key else None,
        )
        self._session: _Session | None = None
        self._lock = threading.Lock()

    @property
    def http(self) -> HttpClient:
        """Return what the requests go through."""
        return self._http

    def query(self, question: Query) -> list[dict[str, Any]]:
        """Return rows by field name, through the service that the settings name."""
        if self._settings.query_service == "ExecuteBillQuery":
            return self.execute_bill_query(question)
        return self.bill_query(question)

    def bill_query(self, question: Query) -> list[dict[str, Any]]:
        """Return the rows of a `BillQuery`, which answers with named fields."""
        return self._rows("BillQuery", question)

    def execute_bill_query(self, question: Query) -> list[dict[str, Any]]:
        """Return the rows of an `ExecuteBillQuery`, which answers by position, as named fields."""
        return self._rows("ExecuteBillQuery", question)

    def query_business_info(self, form: str) -> Any:  # noqa: ANN401 - its shape differs between versions
        """Return the description of a form, as the server gives it."""
        return self._post(f"QueryBusinessInfo {form}", f"{_FORMS}.QueryBusinessInfo", {"data": {"FormId": form}})

    def session_hides_secret(self, session_id: str, question: Query) -> bool:
        """Ask a question inside a living session, signed with a wrong secret; tell whether it is answered."""
        wrong = replace(self._identity, app_secret=_MASK)
        session = _Session(session_id)

        def headers(url: str) -> Mapping[str, str]:
            return {**request_headers(wrong, url, timestamp=int(self._now()), nonce=_new_nonce()), **session.headers()}

        body = {"data": question.to_json()}
        try:
            self._call(
                f"{self._settings.query_service} {question.form}",
                f"{_FORMS}.{self._settings.query_service}",
                body,
                headers,
            )
        except AuthFailed:
            return False
        return True

    def login(self) -> None:
        """Log in anew with `LoginBySign`; only for `login_by_sign`.

        Raises:
            AuthFailed: refused; the message says why.
        """
        with self._lock:
            self._session = self._fetch_session()

    def _rows(self, service: str, question: Query) -> list[dict[str, Any]]:
        operation = f"{service} {question.form}"
        answer = self._post(operation, f"{_FORMS}.{service}", {"data": question.to_json()})
        return named_rows(answer, question.fields, operation=operation, system=self.system)

    def _post(self, operation: str, service: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401
        if self._settings.auth == "signature":
            return self._call(operation, service, body, self._signed_headers)
        # One call at a time: any answer may change the session's id, and then the id before dies without a word.
        with self._lock:
            try:
                return self._call_in_session(operation, service, body)
            except SessionLost:
                self._session = None
                return self._call_in_session(operation, service, body)

    def _call_in_session(self, operation: str, service: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401
        session = self._session = self._session or self._fetch_session()

        def keep(response: requests.Response) -> None:
            self._session = session.after(response)

        return self._call(operation, service, body, lambda _: session.headers(), keep)

    def _call(
        self,
        operation: str,
        service: str,
        body: Mapping[str, Any],
        headers_for: Callable[[str], Mapping[str, str]],
        on_success: Callable[[requests.Response], None] = lambda _: None,
    ) -> Any:  # noqa: ANN401
        url = f"{self._settings.server_url}{service}.common.kdsvc"
        content = json.dumps(body).encode()

        def build() -> requests.Request:
            headers = {"Content-Type": "application/json", "Accept": "application/json", **headers_for(url)}
            return requests.Request("POST", url, data=content, headers=headers)

        def read(response: requests.Response) -> Any:  # noqa: ANN401
            try:
                answer = read_answer(operation, response.status_code, response.content, system=self.system)
            except RemoteError as error:
                raise self._without_secrets(error) from None
            on_success(response)
            return answer

        return self._http.call(operation, build, read)

    def _signed_headers(self, url: str) -> Mapping[str, str]:
        return request_headers(self._identity, url, timestamp=int(self._now()), nonce=_new_nonce())

    def _fetch_session(self) -> _Session:
        operation = "LoginBySign"
        cookies: dict[str, str] = {}

        def no_session(_: str) -> Mapping[str, str]:
            return {}

        answer = self._call(
            operation,
            f"{_AUTH}.LoginBySign",
            {"parameters": login_parameters(self._identity, timestamp=int(self._now()))},
            no_session,
            lambda response: cookies.update(_cookies_of(response)),
        )
        try:
            session_id = login_session(answer, operation=operation, system=self.system) or cookies.get(_SESSION, "")
        except RemoteError as error:
            raise self._without_secrets(error) from None
        if not session_id:
            raise ProtocolViolation("the log-in gave no session", system=self.system, operation=operation)
        return _Session(session_id, MappingProxyType(cookies))

    def _without_secrets(self, error: RemoteError) -> RemoteError:
        """Return the error with our secrets masked, in case the server's message repeats one."""
        message = error.message
        for secret in (self._identity.app_secret, self._identity.app_id, self._identity.xor_key):
            if secret:
                message = message.replace(secret, _MASK)
        if message == error.message:
            return error
        return type(error)(
            message,
            system=error.system,
            operation=error.operation,
            http_status=error.http_status,
            remote_code=error.remote_code,
        )


def _new_nonce() -> str:
    return str(secrets.randbelow(_NONCE_LIMIT))


def _cookies_of(response: requests.Response) -> dict[str, str]:
    """Return the cookies of one answer; requests reads each Set-Cookie by itself, commas in dates included."""
    return {cookie.name: cookie.value for cookie in response.cookies if cookie.value}
