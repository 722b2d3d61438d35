"""Which package speaks to which system. Connectors are imported when they are used."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from hub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path
    from typing import Any

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from hub.contracts import AlertChannel, ErpConnector, PushReceiver
    from hub.settings import ChannelSettings

ERP_SYSTEMS = ("kingdee", "sap")
PUSHING_SYSTEMS = ("sap",)
ALERT_CHANNELS = "connectors.notify.robots"


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
        raise _explain(name, error, module.settings_model(settings)) from None


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
        raise _explain(name, error, module.settings_model(settings)) from None


def create_channel(name: str, settings: ChannelSettings) -> AlertChannel:
    """Create a channel that alerts are told on.

    Raises:
        ConfigError: its address or its secret is missing or wrong.
    """
    module = import_module(ALERT_CHANNELS)
    return cast("AlertChannel", module.create(name, settings))


def _explain(name: str, error: ValidationError, settings: type[BaseModel]) -> ConfigError:
    """Name every wrong setting, its environment variable and what is allowed; values stay out, one may be a secret."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return ConfigError("; ".join(_fault(("sources", name, "connection"), fault, settings) for fault in faults))


def _fault(above: tuple[str, ...], fault: ErrorDetails, settings: type[BaseModel]) -> str:
    keys = [str(part) for part in fault["loc"]]
    # The environment gives a setting as a whole, a list or a table as JSON.
    variable = "ONESHELF_" + "__".join((*above, *keys[:1])).upper() + ("" if keys else "__…")
    hint = ""
    if fault["type"] == "extra_forbidden" and len(keys) == 1:
        near = difflib.get_close_matches(keys[0], settings.model_fields, n=1)
        hint = f" (did you mean {near[0]}?)" if near else f"; there is {', '.join(settings.model_fields)}"
    return f"{'.'.join((*above, *keys))}: {fault['msg']}{hint} (config/*.toml or {variable})"
