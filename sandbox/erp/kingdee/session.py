"""Sessions and who gets one: the live server's measured model, the expiring model as a fault, and the logins.

Measured on a live tenant: a valid session id means that the credentials are not looked at; else the signature decides.
A failed check answers HTTP 200, "session lost", MsgCode 1, and still sets a (hollow) session id. A session that ends is
replaced silently when the signature is good. Sessions live in memory: after a restart clients are strangers again.
"""

from __future__ import annotations

import hmac
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.kingdee.credentials import ACCT_ID, APP_ID, APP_SECRET, LCID, ORG_NUM, PASSWORD, USER
from sandbox.erp.kingdee.signature import Verdict, login_sign, verify_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.faults import Switchboard

SID_NAME: Final = "kdservice-sessionid"
_MOST_SESSIONS: Final = 5000
LOGINS: Final = frozenset({"loginbysign", "validateuser", "loginbyappsecret"})


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call may go on, and the session id that its answer sets ('' for none)."""

    verdict: Verdict
    set_sid: str = ""


class Sessions:
    """The server's table of session ids."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: OrderedDict[str, None] = OrderedDict()
        self._expired: OrderedDict[str, None] = OrderedDict()

    def open(self) -> str:
        """Return a new, valid session id."""
        sid = new_sid()
        with self._lock:
            self._live[sid] = None
            while len(self._live) > _MOST_SESSIONS:
                self._live.popitem(last=False)
        return sid

    def drop(self, sid: str, *, refuse: bool = False) -> None:
        """End a session; with `refuse` its id is not replaced silently afterwards but turned away."""
        with self._lock:
            self._live.pop(sid, None)
            if refuse:
                self._expired[sid] = None
                while len(self._expired) > _MOST_SESSIONS:
                    self._expired.popitem(last=False)

    def is_live(self, sid: str) -> bool:
        """Return whether the id stands for a session."""
        with self._lock:
            return sid in self._live

    def is_refused(self, sid: str) -> bool:
        """Return whether the id stands for a session that expired in the re-login model."""
        with self._lock:
            return sid in self._expired

    def clear(self) -> None:
        """Forget every session."""
        with self._lock:
            self._live.clear()
            self._expired.clear()

    def admit(self, path: str, headers: Mapping[str, str], faults: Switchboard) -> Admission:
        """Decide whether a call may go on; `headers` has lower-case names."""
        sid = sid_of(headers)
        if faults.strike("auth-lost") is not None:
            return Admission(Verdict.BAD, new_sid())
        if faults.strike("thirty-passport") is not None:
            return Admission(Verdict.WRONG_TENANT)
        live = self.is_live(sid)
        if live and faults.strike("session-expires") is not None:
            self.drop(sid, refuse=True)
        if self.is_refused(sid):
            return Admission(Verdict.BAD)
        if live or (sid and faults.strike("sid-hides-secret") is not None):
            return Admission(Verdict.GOOD, self._replacement(sid, faults))
        verdict = verify_request(path, headers)
        if verdict is Verdict.GOOD:
            return Admission(verdict, self._replacement(sid, faults) or self.open())
        return Admission(verdict, new_sid() if verdict is Verdict.BAD else "")

    def _replacement(self, sid: str, faults: Switchboard) -> str:
        if faults.strike("hollow-sid") is not None:
            return new_sid()
        if faults.strike("sid-rotation") is not None:
            self.drop(sid)
            return self.open()
        return ""

    def login(self, method: str, arguments: Sequence[str], faults: Switchboard) -> dict[str, Any]:
        """Answer one of the logins; `arguments` in the vendor's order, with the tenant first."""
        forced = faults.strike("login-result")
        if forced is not None:
            return login_answer(int(forced.get("type", 0)), "登录失败")
        if method != "loginbysign" and faults.strike("password-login-refused") is not None:
            return login_answer(-1, "当前数据中心不支持该登录方式，请使用第三方系统登录授权的签名方式登录")
        result, message = _check_login(method, arguments)
        return login_answer(result, message, self.open() if result == 1 else "")


def _check_login(method: str, arguments: Sequence[str]) -> tuple[int, str]:
    acct_id, user, *rest = [*arguments, *[""] * 6][:6]
    if acct_id != ACCT_ID:
        return -1, "数据中心不存在"
    if method == "validateuser":
        good = user == USER and _same(rest[0], PASSWORD)
        return (1, "") if good else (0, "用户名或密码错误")
    if method == "loginbyappsecret":
        good = user == USER and rest[0] == APP_ID and _same(rest[1], APP_SECRET)
        return (1, "") if good else (-1, "应用ID或应用密钥错误")
    app_id, timestamp, signed = rest[:3]
    good = user == USER and app_id == APP_ID and _same(signed, login_sign(acct_id, user, APP_ID, APP_SECRET, timestamp))
    return (1, "") if good else (-1, "签名验证失败")


def login_answer(result: int, message: str, sid: str = "") -> dict[str, Any]:
    """Return the body of a login's answer; LoginResultType 1 is success."""
    context = {
        "UserLocale": "zh-CN",
        "LogLocale": "zh-CN",
        "DBid": ACCT_ID,
        "SessionId": sid,
        "UserId": 100901,
        "UserName": USER,
        "CustomName": USER,
        "DataCenterNumber": ORG_NUM,
        "CurrentOrganizationInfo": {"ID": 1, "Name": ORG_NUM},
    }
    return {
        "Message": message or None,
        "MessageCode": "CheckPasswordPolicy" if result == 1 else "LoginFailed",
        "LoginResultType": result,
        "Context": context if result == 1 else None,
        "KDSVCSessionId": sid or None,
        "Lcid": LCID,
        "IsSuccessByAPI": result == 1,
    }


def sid_of(headers: Mapping[str, str]) -> str:
    """Return the session id of a request: its header, else its cookie, else ''."""
    if headers.get(SID_NAME):
        return headers[SID_NAME]
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[SID_NAME].value if SID_NAME in cookies else ""


def new_sid() -> str:
    """Return a session id that no session stands behind."""
    return str(uuid.uuid4())


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())
