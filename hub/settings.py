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
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from hub.errors import ConfigError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PROJECT_ROOT = Path(__file__).resolve().parent.parent
_PREFIX = "ONESHELF_"
_SECRET_FIELD = re.compile(r"password|secret|token$|api_key", re.IGNORECASE)
# Whoever knows a channel's address may post there: it is the secret.
_SECRET_KEY = re.compile(r"alerts\.channels\.[^.]+\.url", re.IGNORECASE)
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
    keys_at_once: int = Field(default=5000, ge=1)
    """Changed levels read and applied in one go; after a long outage the others wait their turn in the database."""
    posted_after_hours: int = Field(default=72, ge=1)
    """What was sold and is posted is open no more when none of its documents has changed for so long."""
    reconcile_slice: int = Field(default=200, ge=1)
    """Levels of a source that one slice of the reconciliation reads, those first that were checked longest ago."""
    reconcile_questions: int = Field(default=50, ge=0)
    """So many levels in difference the ERP is asked about in one check: which documents moved them."""
    sale_late_after_hours: float = Field(default=36.0, gt=0)
    """What a till or the ERP tells of a store sale and the other does not, is late after so many hours."""
    order_late_after_hours: float = Field(default=24.0, gt=0)
    """An order that is not posted after so many hours may have been posted by hand, without its number."""


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
    levels_seconds: float = Field(default=60.0, gt=0)
    """Pause between two looks at all levels: what rules withhold of them, and which are below their safety stock."""


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
    processes: int = Field(default=2, ge=1, le=64)
    """How many of them `oneshelf up` starts: about as many as the machine has cores.

    Each opens up to seven times `database.pool_size` connections; the embedded server takes 120 in all.
    """
    streams: int = Field(default=200, ge=1, le=10_000)
    """How many streams of stock changes a process keeps open."""
    public_url: str = "http://127.0.0.1:8080"
    """Where people reach the staff page, for links in Prefect artifacts."""
    default_language: Literal["zh", "en"] = "zh"
    time_zone: str = "Asia/Shanghai"
    staff_open: bool = False
    """Serve the staff page without log-in: for the demo and for closed networks, until staff accounts exist."""


class SalesChannelSettings(Section):
    """A sales channel: who reserves stock under its name."""

    ttl_seconds: int = Field(default=900, ge=1, le=86_400)
    """How long a reservation lasts when the request does not say."""
    everywhere: bool = False
    """Whether it may reserve at places that do not sell online, as stores do."""


AlertTopic = Literal["operations", "purchasing"]


class ChannelSettings(Section):
    """Where alerts are told: a group robot of DingTalk (钉钉) or WeCom (企业微信), or any address that takes JSON."""

    kind: Literal["dingtalk", "wecom", "json"]
    enabled: bool = True
    url: str = Field(default="", repr=False)
    """The whole address as the vendor shows it, its token included: from the environment, never from a file."""
    secret: str | None = Field(default=None, repr=False)
    """DingTalk: the robot's 加签 secret. JSON: the key of the signature, `whsec_` and base64. WeCom has none."""
    keyword: str = ""
    """The robot's own keyword (自定义关键词), if it has one: every message then carries it."""
    about: list[AlertTopic] = Field(default=["operations", "purchasing"], min_length=1)
    """What it is told of: what is wrong with the hub (operations), what must be bought (purchasing)."""
    allow_http: bool = False
    """Send without TLS too: for a receiver on this machine. The address, which is a secret, then goes in the clear."""


class AlertSettings(Section):
    """When people are told that something is wrong, and where (`docs/alerts.md`)."""

    stale_factor: float = Field(default=3.0, ge=1)
    """A source is told of when its numbers are older than `stale_after_seconds` times this."""
    quarantine_new: int = Field(default=20, ge=1)
    """So many records of a source, new in quarantine within the window and still there, are told of."""
    quarantine_window_minutes: int = Field(default=60, ge=1)
    live_dead_seconds: int = Field(default=180, ge=1)
    """The near-real-time loop is told of when nothing was polled for so long."""
    watch_late_seconds: int = Field(default=600, ge=0)
    """The scheduled check is told of, by whoever else looks, when its last look is older; 0: nobody judges it."""
    settle_seconds: int = Field(default=90, ge=0)
    """What was wrong must be well for so long before it is told to be over."""
    repeat_hours: float = Field(default=4.0, gt=0)
    """What goes on is told again after each such pause."""
    give_up_hours: float = Field(default=24.0, gt=0)
    """A message that no attempt got through for so long is given up."""
    channels: dict[str, ChannelSettings] = Field(default_factory=dict)

    def enabled_channels(self, about: AlertTopic | None = None) -> dict[str, ChannelSettings]:
        """Return the channels that are switched on, by name: all of them, or those that are told of a topic."""
        return {
            name: channel
            for name, channel in self.channels.items()
            if channel.enabled and (about is None or about in channel.about)
        }


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
    alerts: AlertSettings = AlertSettings()
    channels: dict[str, SalesChannelSettings] = Field(
        default_factory=lambda: {"online": SalesChannelSettings(), "store": SalesChannelSettings(everywhere=True)}
    )
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

    def sales_channel(self, name: str) -> SalesChannelSettings:
        """Return the rules of a sales channel; one that is not configured has the ordinary ones."""
        return self.channels.get(name) or SalesChannelSettings()

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
        if _is_secret(keys, value):
            raise ConfigError(
                f"{'.'.join(keys)} is a secret: set it as {_variable(keys)} in the environment, not in a file",
                file=str(path),
                line=_line_of(content, keys) or _header_of(content, keys),
            )
    return data


def _is_secret(keys: tuple[str, ...], value: object) -> bool:
    if _SECRET_FIELD.search(keys[-1]) or _SECRET_KEY.fullmatch(".".join(keys)):
        return True
    return isinstance(value, str) and _URL_WITH_PASSWORD.search(value) is not None


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
        field = model.model_fields.get(key)
        if field is None:
            continue
        # a section, or a table of sections by name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
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
