"""Connector for Kingdee K/3 Cloud (金蝶云星空), read side.

Not supported, for they are other products with other interfaces: Kingdee Cosmic (金蝶云苍穹) and its applications
(星瀚, 星空旗舰版), Kingdee Stellar (金蝶云星辰) and the desktop product K/3 WISE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.erp.kingdee.client import KingdeeClient
from connectors.erp.kingdee.connector import KingdeeConnector
from connectors.erp.kingdee.mapper import KingdeeMapper
from connectors.erp.kingdee.settings import KingdeeSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

__all__ = ["KingdeeConnector", "KingdeeSettings", "create", "settings_model"]

MAPPINGS = ("erp", "kingdee")


def settings_model(settings: Mapping[str, Any]) -> type[KingdeeSettings]:  # noqa: ARG001 - one model for all of them
    """Return the model that the settings are checked by."""
    return KingdeeSettings


def create(name: str, settings: Mapping[str, Any], locations: Collection[str], mappings_root: Path) -> KingdeeConnector:
    """Make the connector of one connection; nothing is sent yet.

    Args:
        name: the connection's name, which errors, log lines and records carry.
        settings: the fields of `KingdeeSettings`.
        locations: warehouse numbers (仓库编码) whose stock is read.
        mappings_root: the folder that holds `erp/kingdee/*.yaml`.

    Raises:
        ValidationError: a setting is wrong; values are not repeated in it.
        ConfigError: a mapping file is wrong.
    """
    checked = KingdeeSettings.model_validate(dict(settings))
    mapper = KingdeeMapper(mappings_root.joinpath(*MAPPINGS), checked, locations)
    return KingdeeConnector(name, checked, KingdeeClient(name, checked), mapper, locations=locations)
