"""Every setting of the hub: `config/*.toml`, overridden by environment variables `ONESHELF_<SECTION>__<FIELD>`.

Secrets come from the environment only: a field whose name says that it is a secret is refused in a file.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from hub.errors import ConfigError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PROJECT_ROOT = Path(__file__).resolve().parent.parent
_PREFIX = "ONESHELF_"
_SECRET_FIELD = re.compile(r"password|secret|token$|api_key", re.IGNORECASE)
_URL_WITH_PASSWORD = re.compile(r"://[^/\s@]*:[^/\s]+@")
_KEY = r"(?:[\w-]+|\"[^\"]*\"|'[^']*')"
_HEADER_LINE = re.compile(rf"\s*\[\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_KEY_LINE = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")


class Section(BaseModel):
    """Base of the sections: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Section):
    """Where the data lives. Without `url` an embedded PostgreSQL runs in `state_dir`."""

    url: str | None = Field(default=None, repr=False)
    pool_size: int = Field(default=5, ge=1, le=50)


class StockSettings(Section):
    """What a stock read must look like to be believed, and which lots count."""

    max_shrink: float = Field(default=0.4, gt=0, le=1)
    """A full read in which more than this share of a location's stocked SKUs vanish is quarantined."""
    shrink_floor: int = Field(default=20, ge=1)
    """Locations with fewer stocked SKUs than this are not judged by `max_shrink`."""
    expiring_days: dict[str, Annotated[int, Field(ge=0, le=36500)]] = Field(default_factory=dict)
    """Lots that expire within so many days are not sellable: by item category; `default` for the others."""


class ItemSettings(Section):
    """How the same article is recognised in several ERPs."""

    sku_from: list[str] = Field(default_factory=list)
    """Sources in the order in which they give a new item its SKU; a source not named here can only match."""
    cross_reference: Path | None = None
    """A CSV or Excel file with the columns source, external_id, sku."""


class LiveSettings(Section):
    """The near-real-time loop."""

    poll_seconds: float = Field(default=1.0, gt=0)
    inbox_poll_seconds: float = Field(default=1.0, gt=0)
    inbox_attempts: int = Field(default=8, ge=1)
    handover_seconds: float = Field(default=3600, gt=0)
    error_wait_seconds: float = Field(default=5.0, gt=0)


class SourceSettings(Section):
    """One ERP connection. `connection` holds what its connector asks for; secrets in it come from the environment."""

    system: str
    enabled: bool = True
    item_identity: Literal["gtin", "number", "cross_reference"] = "gtin"
    number_transform: Literal["same", "strip_zeros", "upper"] = "same"
    stale_after_seconds: int = Field(default=60, ge=1)
    poll_seconds: float | None = Field(default=None, gt=0)
    """Pause between two looks for changes; without it `live.poll_seconds`."""
    connection: dict[str, Any] = Field(default_factory=dict, repr=False)

    @field_validator("connection")
    @classmethod
    def _read_lists(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Read a list or a table that the environment gives as JSON; a secret stays the text it is."""
        return {key: item if _SECRET_FIELD.search(key) else _from_json(item) for key, item in value.items()}


class AdapterSettings(Section):
    """The storefront adapter."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str = "http://127.0.0.1:8080"
    """Where people reach the staff page, for links in Prefect artifacts."""
    default_language: Literal["zh", "en"] = "zh"
    time_zone: str = "Asia/Shanghai"
    staff_open: bool = False
    """Serve the staff page without log-in: for the demo and for closed networks, until staff accounts exist."""


class LogSettings(Section):
    """How processes log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    as_json: bool = True


class _Environment(EnvSettingsSource):
    """The environment, in which only what is written as a list or a table is JSON.

    Else a password `12345` or a client `100` would arrive as a number, and a misspelt list as no setting at all.
    """

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 - as its base
        """Decode a list or a table; any other value stays text, for the field itself to judge."""
        del field_name, field
        return _from_json(value)


def _from_json(value: Any) -> Any:  # noqa: ANN401 - any setting
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


class Settings(BaseSettings):
    """All settings. Build it with `load_settings`."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    state_dir: Path = PROJECT_ROOT / ".oneshelf"
    config_dir: Path = PROJECT_ROOT / "config"
    mappings_dir: Path = PROJECT_ROOT / "mappings"
    database: DatabaseSettings = DatabaseSettings()
    stock: StockSettings = StockSettings()
    items: ItemSettings = ItemSettings()
    live: LiveSettings = LiveSettings()
    adapter: AdapterSettings = AdapterSettings()
    log: LogSettings = LogSettings()
    sources: dict[str, SourceSettings] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment above what the files gave (which arrives as init arguments)."""
        del env_settings, dotenv_settings, file_secret_settings
        return _Environment(settings_cls), init_settings

    def enabled_sources(self) -> dict[str, SourceSettings]:
        """Return the sources that are switched on, by name."""
        return {name: source for name, source in self.sources.items() if source.enabled}


def load_settings(config_dir: Path | None = None) -> Settings:
    """Read `config/*.toml` (base.toml first, the others by name) and the environment.

    Raises:
        ConfigError: a file or a value is wrong; says file, line and what is allowed.
    """
    directory = config_dir or Path(os.environ.get(f"{_PREFIX}CONFIG_DIR", PROJECT_ROOT / "config"))
    files = sorted(directory.glob("*.toml"), key=lambda path: (path.name != "base.toml", path.name))
    merged: dict[str, Any] = {}
    for path in files:
        _merge(merged, _read_toml(path))
    _refuse_unknown_variables()
    try:
        return Settings(**{**merged, "config_dir": directory})
    except ValidationError as error:
        raise _explain(error, files) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file can't be read as UTF-8 text: {error}", file=str(path)) from error
    try:
        data = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else max(len(content.splitlines()), 1)  # at the end of the document
        raise ConfigError(f"not valid TOML: {error}", file=str(path), line=line) from error
    for keys, value in _values(data):
        if _SECRET_FIELD.search(keys[-1]) or (isinstance(value, str) and _URL_WITH_PASSWORD.search(value)):
            raise ConfigError(
                f"{'.'.join(keys)} is a secret: set it as {_variable(keys)} in the environment, not in a file",
                file=str(path),
                line=_line_of(content, keys) or _header_of(content, keys),
            )
    return data


def _values(data: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in data.items():
        found.extend(_values(value, (*prefix, key)) if isinstance(value, dict) else [((*prefix, key), value)])
    return found


def _variable(keys: tuple[str, ...]) -> str:
    return _PREFIX + "__".join(keys).upper()


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _line_of(content: str, keys: tuple[str, ...]) -> int | None:
    """Return the line on which a TOML text gives the key, or a part of the path that ends in it."""
    section: tuple[str, ...] = ()
    for number, line in enumerate(content.splitlines(), start=1):
        if header := _HEADER_LINE.match(line):
            section = _parts(header[1])
        elif key := _KEY_LINE.match(line):
            given = section + _parts(key[1])
            if given == keys[: len(given)]:
                return number
    return None


def _header_of(content: str, keys: tuple[str, ...]) -> int | None:
    """Return the line of the innermost section around the key."""
    found: dict[int, int] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if header := _HEADER_LINE.match(line):
            section = _parts(header[1])
            if section[: len(keys)] == keys[: len(section)]:
                found.setdefault(min(len(section), len(keys)), number)
    return found[max(found)] if found else None


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, key))


def _explain(error: ValidationError, files: list[Path]) -> ConfigError:
    first = error.errors(include_url=False, include_input=False)[0]
    keys = tuple(str(part) for part in first["loc"])
    message = f"{'.'.join(keys)}: {first['msg']}"
    if first["type"] in {"extra_forbidden", "missing"}:
        message += f"; allowed here: {', '.join(sorted(_fields_at(keys[:-1])))}"
        if near := difflib.get_close_matches(keys[-1], _fields_at(keys[:-1]), n=1):
            message += f" (did you mean {near[0]}?)"
    if variable := _set_in_environment(keys):
        return ConfigError(message, file=f"environment variable {variable}")
    for line_of in (_line_of, _header_of):
        for path in reversed(files):
            if line := line_of(path.read_text(encoding="utf-8"), keys):
                return ConfigError(message, file=str(path), line=line)
    if variable := _set_in_environment(keys, around=True):
        return ConfigError(message, file=f"environment variable {variable}")
    return ConfigError(message)


def _set_in_environment(keys: tuple[str, ...], *, around: bool = False) -> str | None:
    """Return the variable that gives the key or a part of its path; with `around` any of the same section."""
    variables = {name.upper(): name for name in os.environ}
    for length in range(len(keys), 0, -1):
        if name := variables.get(_variable(keys[:length])):
            return name
    if around:
        section = f"{_variable(keys[:-1])}__"
        return next((name for upper, name in sorted(variables.items()) if upper.startswith(section)), None)
    return None


def _fields_at(keys: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for key in keys:
        if model is Settings and key == "sources":
            model = SourceSettings
            continue
        field = model.model_fields.get(key)
        if field is None:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return list(model.model_fields)


def _refuse_unknown_variables() -> None:
    """Refuse a misspelt ONESHELF_ variable: silently ignoring it would run with a setting nobody chose."""
    for variable in os.environ:
        if not variable.upper().startswith(_PREFIX):
            continue
        section = variable[len(_PREFIX) :].lower().partition("__")[0]
        if section not in Settings.model_fields:
            near = difflib.get_close_matches(section, Settings.model_fields, n=1)
            hint = f" (did you mean {_PREFIX}{near[0].upper()}?)" if near else ""
            allowed = ", ".join(name.upper() for name in Settings.model_fields)
            raise ConfigError(f"{variable}: unknown setting{hint}; sections: {allowed}", file="environment")
