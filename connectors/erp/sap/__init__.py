"""SAP S/4HANA over OData V2: stock, articles, changes by material documents, and pushed document events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.erp.sap.client import SapClient
from connectors.erp.sap.connector import SapConnector
from connectors.erp.sap.mapper import SapMapper
from connectors.erp.sap.push import MaterialDocumentReceiver
from connectors.erp.sap.settings import SapSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

METADATA = {
    "kind": "erp",
    "system": "sap",
    "title": "SAP S/4HANA (OData V2)",
    "reads_stock": True,
    "receives_push": True,
}

SETTINGS = SapSettings
"""What `create` takes as settings."""

__all__ = ["METADATA", "SETTINGS", "MaterialDocumentReceiver", "SapConnector", "SapSettings", "create", "receiver"]


def create(name: str, settings: Mapping[str, Any], locations: Collection[str], mappings_root: Path) -> SapConnector:
    """Return the connector of one connection; nothing is sent yet.

    Args:
        name: of the connection.
        settings: as `SapSettings`.
        locations: codes `PLANT/STORAGELOCATION`.
        mappings_root: the folder `mappings`.

    Raises:
        ValidationError: a setting is wrong; values are not repeated in it.
        ConfigError: a location code is wrong, or a mapping file is refused (`MappingError`).
    """
    checked = SapSettings.model_validate(dict(settings))
    mapper = SapMapper(mappings_root / "erp" / "sap", (checked.language, checked.fallback_language))
    return SapConnector(name, checked, SapClient(checked), mapper, locations)


def receiver(name: str, settings: Mapping[str, Any]) -> MaterialDocumentReceiver:
    """Return the push receiver of one connection.

    Raises:
        ValidationError: a setting is wrong; values are not repeated in it.
    """
    secret = SapSettings.model_validate(dict(settings)).hook_secret
    return MaterialDocumentReceiver(name, secret.get_secret_value() if secret else None)
