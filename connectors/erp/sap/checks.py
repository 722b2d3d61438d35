"""The connector's self-check: what an administrator of SAP or of the hub has to mend, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.erp.sap.answers import ACTIVATE_ADVICE, SERVICE_INACTIVE
from connectors.erp.sap.client import DOCUMENT_SERVICE, PRODUCT_SERVICE, STOCK_SERVICE
from connectors.erp.sap.reading import DOCUMENT_KEY, ITEMS, STOCK, STOCK_KEY, find_newest_document
from connectors.erp.sap.records import ADDED
from hub.contracts import CheckResult
from hub.errors import AuthFailed, RemoteError, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from connectors.erp.sap.client import SapClient
    from connectors.erp.sap.mapper import SapMapper

_UNAUTHORIZED = 401


def run_checks(client: SapClient, mapper: SapMapper, wanted_client: str, where: str) -> list[CheckResult]:
    """Return one line per thing looked at; later ones are left out when SAP can't be reached or refuses the log-in.

    Args:
        wanted_client: the client (集团) of the settings.
        where: a filter for stock rows of configured locations; blank for any.
    """
    results: list[CheckResult] = []
    for service, needed in _needed_fields(mapper).items():
        try:
            sets = client.fetch_metadata(service)
        except RemoteError as error:
            if isinstance(error, Retryable) or _is_log_in(error):
                return [*results, CheckResult("log-in", ok=False, detail=str(error), advice=_advise(error))]
            results.append(CheckResult(service, ok=False, detail=str(error), advice=_advise(error)))
            continue
        results.extend(_check_fields(service, sets, needed))
    return [
        CheckResult("log-in", ok=True, detail="accepted"),
        _check_client(client.served_client(), wanted_client),
        *results,
        _check_rows("stock rows", lambda: _has_stock(client, where), "check that the configured locations exist"),
        _check_rows("material documents", lambda: find_newest_document(client) is not None, _FEW_RIGHTS),
        _check_rows("products", lambda: _has_product(client), _FEW_RIGHTS),
    ]


_FEW_RIGHTS = "none can be seen: is the system empty, or does the user lack display rights?"


def _needed_fields(mapper: SapMapper) -> dict[str, list[tuple[str, str, frozenset[str]]]]:
    """Return, for each service, (what needs it, entity set, properties)."""
    stock = _sap_fields(mapper.stock.source_fields) | set(STOCK_KEY)
    article = _sap_fields(mapper.article.source_fields)
    barcode = _sap_fields(mapper.barcode.source_fields) | {"QuantityNumerator", "QuantityDenominator"}
    movement = _sap_fields(mapper.moved_fields) | {"MaterialDocumentItem"}
    header = {*DOCUMENT_KEY, "CreationDate", "CreationTime", ITEMS, *mapper.header_fields}
    name = {"Language", "ProductDescription"}
    product = (article - name) | {"Product", "to_Description", "to_ProductUnitsOfMeasure"}
    return {
        STOCK_SERVICE: [("stock.yaml", STOCK.entity_set, frozenset(stock))],
        DOCUMENT_SERVICE: [
            ("movement.yaml", "A_MaterialDocumentHeader", frozenset(header)),
            ("movement.yaml", "A_MaterialDocumentItem", frozenset(movement)),
        ],
        PRODUCT_SERVICE: [
            ("article.yaml", "A_Product", frozenset(product)),
            ("article names", "A_ProductDescription", frozenset(name)),
            ("barcode.yaml", "A_ProductUnitsOfMeasure", frozenset(barcode)),
        ],
    }


def _sap_fields(fields: Iterable[str]) -> set[str]:
    return {field.partition(".")[0] for field in fields} - {ADDED}


def _check_fields(
    service: str, sets: dict[str, frozenset[str]], needed: Sequence[tuple[str, str, frozenset[str]]]
) -> list[CheckResult]:
    results = []
    for user, entity_set, properties in needed:
        name = f"{service}/{entity_set}"
        missing = sorted(properties - sets.get(entity_set, frozenset()))
        if not missing:
            results.append(CheckResult(name, ok=True, detail=f"has all that {user} uses"))
        elif entity_set not in sets:
            advice = "this release's service is older; a newer one, or its successor, must be activated"
            results.append(CheckResult(name, ok=False, detail="does not exist", advice=advice))
        else:
            advice = f"take the fields out of {user}, or have the service extended"
            results.append(CheckResult(name, ok=False, detail=f"lacks {', '.join(missing)}", advice=advice))
    return results


def _check_client(served: str | None, wanted: str) -> CheckResult:
    if served is None:
        return CheckResult("client", ok=True, detail=f"{wanted} asked for; SAP does not say which one it served")
    advice = "" if served == wanted else "mend the setting client; a load balancer may set its own sap-client"
    return CheckResult("client", ok=served == wanted, detail=f"{wanted} asked for, {served} served", advice=advice)


def _check_rows(name: str, look: Callable[[], bool], advice: str) -> CheckResult:
    try:
        found = look()
    except RemoteError as error:
        return CheckResult(name, ok=False, detail=str(error), advice=_advise(error))
    return CheckResult(name, ok=found, detail="readable" if found else "none found", advice="" if found else advice)


def _has_stock(client: SapClient, where: str) -> bool:
    query = {"$filter": where} if where else {}
    return bool(client.fetch_rows(STOCK_SERVICE, STOCK.entity_set, {**query, "$top": "1"}).rows)


def _has_product(client: SapClient) -> bool:
    return bool(client.fetch_rows(PRODUCT_SERVICE, "A_Product", {"$top": "1"}).rows)


def _is_log_in(error: RemoteError) -> bool:
    return isinstance(error, AuthFailed) and error.http_status == _UNAUTHORIZED


def _advise(error: RemoteError) -> str:
    if error.remote_code == SERVICE_INACTIVE:
        return ACTIVATE_ADVICE
    if _is_log_in(error):
        return "check user, password or OAuth client, whether the user is locked, and the client"
    if isinstance(error, AuthFailed):
        return "give the user the role of this service (S_SERVICE and its display rights); SU53 shows what was missing"
    if isinstance(error, Retryable):
        return "check base_url, network, certificate and whether the system is up"
    return "check base_url and whether this release has the service"
