"""Which package speaks to which system. Connectors are imported when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from hub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path
    from typing import Any

    from hub.contracts import ErpConnector, PushReceiver

ERP_SYSTEMS = ("kingdee", "sap")
PUSHING_SYSTEMS = ("sap",)


def create_erp(
    system: str, name: str, settings: Mapping[str, Any], locations: Collection[str], mappings_dir: Path
) -> ErpConnector:
    """Create the connector of an ERP source.

    Args:
        name: the source's name in the settings; errors, positions and references carry it.
        locations: what the ERP calls the places that are read.

    Raises:
        ConfigError: no such system, or a setting is wrong or missing.
    """
    if system not in ERP_SYSTEMS:
        raise ConfigError(f"sources.{name}.system: no connector for {system}; there is {', '.join(ERP_SYSTEMS)}")
    module = import_module(f"connectors.erp.{system}")
    try:
        return cast("ErpConnector", module.create(name, settings, locations, mappings_dir))
    except ValidationError as error:
        raise _explain(name, error) from None


def create_receiver(system: str, name: str, settings: Mapping[str, Any]) -> PushReceiver | None:
    """Create what reads this source's pushes, or None for a system that sends none.

    Raises:
        ConfigError: a setting is wrong or missing.
    """
    if system not in PUSHING_SYSTEMS:
        return None
    module = import_module(f"connectors.erp.{system}")
    try:
        return cast("PushReceiver", module.receiver(name, settings))
    except ValidationError as error:
        raise _explain(name, error) from None


def _explain(name: str, error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(("sources", name, "connection", *(str(part) for part in first["loc"])))
    variable = "ONESHELF_" + path.replace(".", "__").upper()
    return ConfigError(f"{path}: {first['msg']} (config/*.toml or {variable})")
