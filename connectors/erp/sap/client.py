"""The OData V2 client: the only place of this connector that talks to SAP. Returns raw rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, urlsplit

import requests

from connectors.calls import RequestBudget
from connectors.erp.sap.answers import (
    SYSTEM,
    Answer,
    parse_rows,
    raise_for_error,
    read_entity,
    read_metadata,
    read_rows,
)
from connectors.erp.sap.auth import make_login
from connectors.erp.sap.odata import Row, build_query
from connectors.http import HttpClient
from hub.errors import AuthFailed, ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from requests.auth import AuthBase

    from connectors.erp.sap.settings import SapSettings

T = TypeVar("T")

STOCK_SERVICE = "API_MATERIAL_STOCK_SRV"
DOCUMENT_SERVICE = "API_MATERIAL_DOCUMENT_SRV"
PRODUCT_SERVICE = "API_PRODUCT_SRV"

_ROOT = "/sap/opu/odata/sap"
_UNAUTHORIZED = 401
_JSON = {"$format": "json"}


class SapClient:
    """Reads of one SAP system. Threads may share it.

    Args:
        settings: the connection.
        http: for tests; else made from the settings.
    """

    def __init__(self, settings: SapSettings, http: HttpClient | None = None) -> None:
        self._settings = settings
        self._http = http or HttpClient(
            SYSTEM,
            budget=RequestBudget(settings.requests_per_minute),
            timeout=(settings.connect_timeout, settings.read_timeout),
            verify=settings.verify_tls,
            longest_answer=settings.answer_timeout,
        )
        self._login = make_login(settings, self._http)

    @property
    def http(self) -> HttpClient:
        """Return what the requests go through."""
        return self._http

    def fetch_rows(self, service: str, entity_set: str, query: Mapping[str, str]) -> Answer:
        """Read one answer of a collection.

        Raises:
            RemoteError: as `answers.raise_for_error` and `answers.read_rows` say.
        """
        return self._fetch(service, entity_set, {**query, **_JSON}, read_rows)

    def fetch_entity(self, service: str, path: str, query: Mapping[str, str]) -> Row:
        """Read one entity by its key path; a missing one is `Rejected` with `http_status` 404."""
        return self._fetch(service, path, {**query, **_JSON}, read_entity)

    def fetch_metadata(self, service: str) -> dict[str, frozenset[str]]:
        """Read the property names of every entity set of a service."""
        return self._fetch(service, "$metadata", {}, read_metadata)

    def iter_answers(
        self,
        service: str,
        entity_set: str,
        query: Mapping[str, str],
        key_of: Callable[[Row], Hashable],
    ) -> Iterator[Answer]:
        """Yield an answer and those that its `__next` leads to, each without rows that came before.

        SAP Gateway pages by itself when `$top` is absent or above its cap; the link is opaque and must be followed.

        Raises:
            ProtocolViolation: the links go in a circle, told by their address or by an answer without any new row. A
                worn-out `$skiptoken` is answered with the first page again.
        """
        answer = self.fetch_rows(service, entity_set, query)
        yield from self._follow(service, entity_set, answer, key_of)

    def fetch_expanded(self, service: str, row: Row, navigation: str, key_of: Callable[[Row], Hashable]) -> list[Row]:
        """Return all rows under an expanded navigation property, also those that the server left for later.

        A long list is cut with its own `__next`; a server that ignored `$expand` gives a `__deferred` address.

        Raises:
            ProtocolViolation: the row has no such property, or as `iter_answers`.
        """
        operation = f"{service}/{navigation}"
        nested = row.get(navigation)
        deferred = nested.get("__deferred") if isinstance(nested, dict) else None
        if isinstance(deferred, dict):
            link = deferred.get("uri")
            if not isinstance(link, str):
                raise ProtocolViolation("a deferred property has no address", system=SYSTEM, operation=operation)
            answer = self._fetch_link(service, navigation, link)
        elif nested is None:
            raise ProtocolViolation(f"a row has no {navigation}", system=SYSTEM, operation=operation)
        else:
            answer = parse_rows(nested, operation)
        return [found for part in self._follow(service, navigation, answer, key_of) for found in part.rows]

    def served_client(self) -> str | None:
        """Return the client (集团) that SAP said it served in its cookie `sap-usercontext`; None if it said nothing."""
        value = self._http.session.cookies.get("sap-usercontext") or ""
        name, _, number = value.strip('"').partition("=")
        return number or None if name == "sap-client" else None

    def _follow(
        self, service: str, operation: str, first: Answer, key_of: Callable[[Row], Hashable]
    ) -> Iterator[Answer]:
        seen_links: set[str] = set()
        seen_rows: set[Hashable] = set()
        answer = first
        while True:
            fresh = {key: row for row in answer.rows if (key := key_of(row)) not in seen_rows}
            if not fresh and seen_links and (answer.rows or answer.next_link):
                raise ProtocolViolation(
                    "following __next brings no new row", system=SYSTEM, operation=f"{service}/{operation}"
                )
            seen_rows.update(fresh)
            yield Answer(list(fresh.values()), answer.count, answer.next_link)
            link = answer.next_link
            if link is None:
                return
            if link in seen_links:
                raise ProtocolViolation("__next goes in a circle", system=SYSTEM, operation=f"{service}/{operation}")
            seen_links.add(link)
            answer = self._fetch_link(service, operation, link)

    def _fetch_link(self, service: str, operation: str, link: str) -> Answer:
        """Read an address that the server gave, always at our own `base_url`.

        Behind a proxy SAP writes its inner scheme and host; and credentials go to no host but the configured one.
        """
        parts = urlsplit(link)
        _, found, path = parts.path.partition(f"/{service}/")
        if not found:
            if parts.netloc or parts.path.startswith("/"):
                raise ProtocolViolation(
                    f"a link leads out of {service}", system=SYSTEM, operation=f"{service}/{operation}"
                )
            path = parts.path
        query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **_JSON}
        return self._fetch(service, path, query, read_rows)

    def _fetch(
        self, service: str, path: str, query: Mapping[str, str], read: Callable[[requests.Response, str], T]
    ) -> T:
        operation = f"{service}/{path.partition('(')[0]}"
        fixed = {"sap-client": self._settings.client, "sap-language": self._settings.language}
        url = f"{self._settings.base_url}{_ROOT}/{service}/{path}?{build_query({**query, **fixed})}"

        def classify(response: requests.Response) -> T:
            raise_for_error(response, operation, self._settings.lock_codes)
            return read(response, operation)

        auth = self._login.current()
        try:
            return self._http.call(operation, lambda: _build_get(url, auth), classify)
        except AuthFailed as error:
            if error.http_status != _UNAUTHORIZED or not self._login.renew(auth):
                raise
        fresh = self._login.current()
        return self._http.call(operation, lambda: _build_get(url, fresh), classify)


def _build_get(url: str, auth: AuthBase) -> requests.Request:
    accept = "application/xml" if "/$metadata?" in url else "application/json"
    return requests.Request("GET", url, headers={"Accept": accept, "MaxDataServiceVersion": "2.0"}, auth=auth)
