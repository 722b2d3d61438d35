"""A channel that takes an alert by one POST: what is the same for every format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import requests

from connectors.calls import RequestBudget, RetryPolicy
from connectors.http import HttpClient
from hub.errors import RemoteError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.contracts import Alert

# Both vendors stop taking messages beyond 20 a minute and robot, DingTalk then for ten minutes.
_PER_MINUTE = 18
_TIMEOUT = (5.0, 10.0)
_LONGEST_ANSWER = 20.0
_LARGEST_ANSWER = 1 << 20
_OPERATION = "send_alert"


class Format(Protocol):
    """How one kind of receiver wants an alert, and what its answer means."""

    def __init__(self, name: str, settings: Any) -> None:  # noqa: ANN401 - hub.settings.ChannelSettings
        """Check the settings.

        Raises:
            ConfigError: they are not of this kind's form.
        """

    def describe(self) -> str:
        """Return where it posts and how it proves itself, without any secret."""

    def build_request(self, alert: Alert) -> requests.Request:
        """Return the POST; built anew for each attempt, since signatures carry a time."""

    def read_answer(self, response: requests.Response, facts: Mapping[str, Any]) -> None:
        """Return if the alert was taken.

        Raises:
            RemoteError: it was not; `facts` are the keyword arguments of its place.
        """


class WebhookChannel:
    """Sends alerts in one format (a `hub.contracts.AlertChannel`).

    There is one attempt for each `send`: what fails waits in the database and is sent again at the next look, so a
    repeat here would only hold up the other channels. For the same reason a lost answer is a plain failure: a message
    that people read twice does no harm, one that they never read does.
    """

    def __init__(self, name: str, form: Format) -> None:
        self.name = name
        self._form = form
        self._http = HttpClient(
            name,
            budget=RequestBudget(_PER_MINUTE),
            timeout=_TIMEOUT,
            retry=RetryPolicy(attempts=1),
            longest_answer=_LONGEST_ANSWER,
            largest_answer=_LARGEST_ANSWER,
            secret_path=True,
        )

    def describe(self) -> str:
        """Return where it posts and how it proves itself, without any secret."""
        return self._form.describe()

    def send(self, alert: Alert) -> None:
        """Post the alert once.

        Raises:
            RemoteError: it may not have arrived; names no address.
        """

        def read(response: requests.Response) -> None:
            self._form.read_answer(response, _facts(self.name, response))

        try:
            self._http.call(_OPERATION, lambda: self._form.build_request(alert), read)
        except RemoteError as error:
            # What `requests` says of a broken connection repeats the address.
            raise error from None


def _facts(name: str, response: requests.Response) -> dict[str, Any]:
    return {"system": name, "operation": _OPERATION, "http_status": response.status_code}


def read_object(response: requests.Response, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object that a vendor answers with.

    Raises:
        Unavailable: it is something else, a page of a proxy for instance.
    """
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable("the answer is no JSON object; is the address in the settings right?", **facts) from None
    return answer


def json_request(url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> requests.Request:
    """Return a POST of a JSON object in UTF-8."""
    more = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return requests.Request("POST", url, data=json.dumps(body, ensure_ascii=False).encode(), headers=more)
