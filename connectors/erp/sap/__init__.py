"""SAP: S/4HANA over OData V2, or any SAP system over RFC (`transport = "rfc"`), behind the same contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.erp.sap import rfc
from connectors.erp.sap.client import SapClient
from connectors.erp.sap.connector import SapConnector
from connectors.erp.sap.mapper import SapMapper
from connectors.erp.sap.push import MaterialDocumentReceiver
from connectors.erp.sap.rfc import RfcConnector, RfcSettings
from connectors.erp.sap.settings import SapSettings
from hub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from pydantic import BaseModel

METADATA = {
    "kind": "erp",
    "system": "sap",
    "title": "SAP (OData V2 or RFC)",
    "reads_stock": True,
    "receives_push": True,
}

TRANSPORTS: dict[str, type[BaseModel]] = {"odata": SapSettings, "rfc": RfcSettings}
"""What each `transport` takes as settings beside its name."""

__all__ = [
    "METADATA",
    "TRANSPORTS",
    "MaterialDocumentReceiver",
    "RfcConnector",
    "SapConnector",
    "SapSettings",
    "create",
    "receiver",
    "settings_model",
]


def settings_model(settings: Mapping[str, Any]) -> type[BaseModel]:
    """Return the model that the settings are checked by.

    Raises:
        ConfigError: there is no such transport.
    """
    transport = settings.get("transport", "odata")
    if transport not in TRANSPORTS:
        raise ConfigError(f"connection.transport: there is {' and '.join(TRANSPORTS)}, not {transport!r}")
    return TRANSPORTS[transport]


def create(
    name: str, settings: Mapping[str, Any], locations: Collection[str], mappings_root: Path
) -> SapConnector | RfcConnector:
    """Return the connector of one connection; nothing is sent yet.

    Args:
        name: of the connection.
        settings: `transport` (odata unless named), and what its model in `TRANSPORTS` holds.
        locations: codes `PLANT/STORAGELOCATION`.
        mappings_root: the folder `mappings`.

    Raises:
        ValidationError: a setting is wrong; values are not repeated in it.
        ConfigError: no such transport, a location code is wrong, or a mapping file is refused (`MappingError`).
    """
    model, given = settings_model(settings), _without_transport(settings)
    if model is RfcSettings:
        return rfc.create(name, given, locations, mappings_root)
    checked = SapSettings.model_validate(given)
    mapper = SapMapper(mappings_root / "erp" / "sap", (checked.language, checked.fallback_language))
    return SapConnector(name, checked, SapClient(checked), mapper, locations)


def receiver(name: str, settings: Mapping[str, Any]) -> MaterialDocumentReceiver | None:
    """Return the push receiver of one connection; None over RFC, since such systems send no events.

    Raises:
        ValidationError: a setting is wrong; values are not repeated in it.
        ConfigError: no such transport.
    """
    model, given = settings_model(settings), _without_transport(settings)
    if model is RfcSettings:
        return None
    secret = SapSettings.model_validate(given).hook_secret
    return MaterialDocumentReceiver(name, secret.get_secret_value() if secret else None)


def _without_transport(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "transport"}
