"""SAP ECC and S/4HANA over RFC: stock, articles, changes by material documents, and the availability check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.erp.sap.rfc.client import RfcClient
from connectors.erp.sap.rfc.connector import RfcConnector
from connectors.erp.sap.rfc.keys import MaterialNumbers
from connectors.erp.sap.rfc.mapper import RfcMapper
from connectors.erp.sap.rfc.settings import RfcSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

__all__ = ["RfcConnector", "RfcSettings", "create"]


def create(name: str, settings: Mapping[str, Any], locations: Collection[str], mappings_root: Path) -> RfcConnector:
    """Return the connector of one connection; nothing is sent yet, and no RFC library is needed yet.

    Args:
        name: of the connection.
        settings: as `RfcSettings`.
        locations: codes `PLANT/STORAGELOCATION`.
        mappings_root: the folder `mappings`.

    Raises:
        ValidationError: a setting is wrong; values are not repeated in it.
        ConfigError: a location code is wrong, or a mapping file is refused (`MappingError`).
    """
    checked = RfcSettings.model_validate(dict(settings))
    numbers = MaterialNumbers(checked.material_length, checked.material_zeros)
    folder = mappings_root / "erp" / "sap" / "rfc"
    mapper = RfcMapper(folder, (checked.language, checked.fallback_language), numbers)
    return RfcConnector(name, checked, RfcClient(checked), mapper, numbers, locations)
