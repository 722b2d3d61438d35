"""Settings: files below the environment, and refusals that say where and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hub.errors import ConfigError
from hub.settings import PROJECT_ROOT, Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[..., Path]

SAP = '[sources.sap]\nsystem = "sap"\n'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return what writes `base.toml` (and others by name) and gives their folder."""

    def write_files(base: str = "", **others: str) -> Path:
        for name, content in {"base": base, **others}.items():
            (tmp_path / f"{name}.toml").write_text(content, encoding="utf-8")
        return tmp_path

    return write_files


def refusal(folder: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_settings(folder)
    return caught.value


# --- precedence


def test_the_environment_stands_above_files_and_later_files_above_base(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(
        "[stock]\nmax_shrink = 0.1\nshrink_floor = 7\n[log]\nlevel = 'DEBUG'\n",
        a="[stock]\nmax_shrink = 0.2\n",
        site="[stock]\nmax_shrink = 0.3\n[log]\nlevel = 'WARNING'\n",
    )
    settings = load_settings(folder)
    assert (settings.stock.max_shrink, settings.stock.shrink_floor, settings.log.level) == (0.3, 7, "WARNING")
    monkeypatch.setenv("ONESHELF_STOCK__MAX_SHRINK", "0.9")
    monkeypatch.setenv("oneshelf_log__level", "ERROR")
    settings = load_settings(folder)
    assert (settings.stock.max_shrink, settings.stock.shrink_floor, settings.log.level) == (0.9, 7, "ERROR")


def test_without_files_and_variables_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert settings.config_dir == tmp_path
    assert settings.state_dir == PROJECT_ROOT / ".oneshelf"
    assert settings.sources == {}


def test_the_configuration_in_the_repository_is_in_order() -> None:
    settings = load_settings(PROJECT_ROOT / "config")
    assert list(settings.enabled_sources()) == ["sap", "kingdee"]
    assert settings.items.sku_from == ["sap", "kingdee"]


def test_the_config_folder_may_come_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESHELF_CONFIG_DIR", str(write("[adapter]\nport = 9\n")))
    assert load_settings().adapter.port == 9


def test_a_connection_in_the_environment_merges_with_the_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(SAP + "[sources.sap.connection]\nbase_url = 'http://a'\nclient = '100'\n")
    monkeypatch.setenv("ONESHELF_SOURCES__SAP__CONNECTION__PASSWORD", "geheim")
    monkeypatch.setenv("ONESHELF_SOURCES__SAP__CONNECTION__CLIENT", "200")
    monkeypatch.setenv("ONESHELF_SOURCES__SAP__ENABLED", "false")
    settings = load_settings(folder)
    source = settings.sources["sap"]
    assert source.connection == {"base_url": "http://a", "client": "200", "password": "geheim"}
    assert settings.enabled_sources() == {}


@pytest.mark.parametrize("text", ["12345", "1e5", "0012", "true", "null", '"quoted"', "{not json", "[1]", "a=b;c"])
def test_a_value_of_a_connection_stays_the_text_it_is(write: Write, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ONESHELF_SOURCES__SAP__CONNECTION__PASSWORD", text)
    assert load_settings(write(SAP)).sources["sap"].connection["password"] == text


def test_lists_in_the_environment_are_json(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESHELF_ITEMS__SKU_FROM", '["kingdee", "sap"]')
    monkeypatch.setenv("ONESHELF_SOURCES__SAP__CONNECTION__LOCK_CODES", '["M3/682"]')
    settings = load_settings(write(SAP))
    assert settings.items.sku_from == ["kingdee", "sap"]
    assert settings.sources["sap"].connection == {"lock_codes": ["M3/682"]}


# --- alert channels


def test_a_channel_comes_from_the_environment_with_its_address(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESHELF_ALERTS__CHANNELS__OPS__URL", "https://qyapi.weixin.qq.com/x?key=geheim")
    monkeypatch.setenv("ONESHELF_ALERTS__CHANNELS__OPS__SECRET", "0012")
    settings = load_settings(write("[alerts.channels.ops]\nkind = 'wecom'\n[alerts.channels.old]\nkind = 'json'\n"))
    ops = settings.alerts.channels["ops"]
    assert (ops.kind, ops.url, ops.secret) == ("wecom", "https://qyapi.weixin.qq.com/x?key=geheim", "0012")
    assert "geheim" not in repr(settings)
    assert "0012" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("[alerts.channels.ops]\nkind = 'json'\nurl = 'https://x/geheim'\n", 3, "ONESHELF_ALERTS__CHANNELS__OPS__URL"),
        ("[alerts.channels.ops]\nkind = 'json'\nsecret = 'geheim'\n", 3, "ONESHELF_ALERTS__CHANNELS__OPS__SECRET"),
        ("[alerts.channels.ops]\nkind = 'slack'\n", 2, "'dingtalk', 'wecom' or 'json'"),
        ("[alerts.channels.ops]\nkind = 'json'\nkeywort = 'x'\n", 3, "did you mean keyword?"),
        ("[alerts]\nrepeat_hour = 1\n", 2, "did you mean repeat_hours?"),
        ("[alerts]\nstale_factor = 0.5\n", 2, "greater than or equal to 1"),
    ],
)
def test_a_wrong_channel_in_a_file_is_refused(write: Write, content: str, line: int, says: str) -> None:
    error = refusal(write(content))
    assert error.line == line
    assert says in str(error)
    assert "geheim" not in str(error)


# --- refusals of files


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("[stock]\nmax_shrnk = 1\n", 2, "did you mean max_shrink?"),
        ("[stock]\n\n# a comment\nmax_shrink = 3\n", 4, "stock.max_shrink: Input should be less than or equal to 1"),
        ("[log]\nas_json = true\nlevel = 'LOUD'\n", 3, "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("log.level = 'LOUD'\n", 1, "log.level"),
        ("log = {level = 'LOUD'}\n", 1, "log.level"),
        ("[ log ]\n'level' = 'LOUD'\n", 2, "log.level"),
        ("\n[stok]\nmax_shrink = 0.5\n", 2, "did you mean stock?"),
        ("\n[stok.more]\nx = 1\n", 2, "did you mean stock?"),
        ("[live]\n[sources.sap]\nenabled = true\n", 2, "sources.sap.system: Field required"),
        (SAP + "stale_after = 3\n", 3, "did you mean stale_after_seconds?"),
        (SAP + "item_identity = 'name'\n", 3, "'gtin', 'number' or 'cross_reference'"),
        ("[items]\nsku_from = [1]\n", 2, "items.sku_from.0"),
        ("[stock.expiring_days]\nfood = -1\n", 2, "greater than or equal to 0"),
        ("[adapter]\nport = 70000\n", 2, "less than or equal to 65535"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_what_is_allowed(
    write: Write, content: str, line: int, says: str
) -> None:
    folder = write(content)
    error = refusal(folder)
    assert (error.file, error.line) == (str(folder / "base.toml"), line)
    assert says in str(error)


def test_an_unknown_field_lists_those_there_are(write: Write) -> None:
    message = refusal(write("[stock]\nqqq = 1\n")).message
    assert "allowed here: expiring_days, keys_at_once, max_shrink, order_late_after_hours, posted_after" in message


def test_the_file_that_gives_the_value_is_named_not_one_that_only_has_the_section(write: Write) -> None:
    folder = write("[log]\nlevel = 'LOUD'\n", site="[log]\nas_json = false\n")
    error = refusal(folder)
    assert (Path(str(error.file)).name, error.line) == ("base.toml", 2)
    folder = write("[log]\nlevel = 'INFO'\n", site="[log]\nlevel = 'LOUD'\n")
    assert Path(str(refusal(folder).file)).name == "site.toml"


@pytest.mark.parametrize(
    ("content", "line"), [("[log]\nlevel = \n", 2), ("[log]\n[log]\n", 2), ("[log]\nlevel = '''x\ny\n", 3)]
)
def test_what_is_no_toml_is_refused_with_its_line(write: Write, content: str, line: int) -> None:
    error = refusal(write(content))
    assert "not valid TOML" in error.message
    assert error.line == line


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_bytes("# 华东\n".encode("gbk"))
    error = refusal(tmp_path)
    assert "UTF-8" in error.message
    assert error.file == str(tmp_path / "base.toml")


@pytest.mark.parametrize(
    ("content", "line", "variable"),
    [
        (SAP + "[sources.sap.connection]\npassword = 'geheim'\n", 4, "ONESHELF_SOURCES__SAP__CONNECTION__PASSWORD"),
        (SAP + "connection = {app_secret = 'geheim'}\n", 3, "ONESHELF_SOURCES__SAP__CONNECTION__APP_SECRET"),
        (SAP + "connection.hook_token = 'geheim'\n", 3, "ONESHELF_SOURCES__SAP__CONNECTION__HOOK_TOKEN"),
        ("[database]\nurl = 'postgresql://hub:geheim@db/oneshelf'\n", 2, "ONESHELF_DATABASE__URL"),
    ],
)
def test_a_secret_in_a_file_is_refused_and_not_repeated(write: Write, content: str, line: int, variable: str) -> None:
    error = refusal(write(content))
    assert error.line == line
    assert f"set it as {variable} in the environment" in error.message
    assert "geheim" not in str(error)


def test_a_database_url_without_a_password_may_stand_in_a_file(write: Write) -> None:
    url = "postgresql://hub@db:5432/oneshelf?sslmode=verify-full"
    assert load_settings(write(f"[database]\nurl = '{url}'\n")).database.url == url


# --- refusals of the environment


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ONESHELF_STOK__MAX_SHRINK", "0.5", "did you mean ONESHELF_STOCK?"),
        ("ONESHELF_QQQ", "x", "sections: STATE_DIR, CONFIG_DIR"),
        ("ONESHELF_STOCK__MAX_SHRNK", "0.5", "did you mean max_shrink?"),
        ("ONESHELF_STOCK__MAX_SHRINK", "3", "less than or equal to 1"),
        ("oneshelf_stock__max_shrink", "much", "valid number"),
        ("ONESHELF_LOG__LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("ONESHELF_ITEMS__SKU_FROM", "sap", "valid list"),
        ("ONESHELF_ITEMS__SKU_FROM", "[1]", "valid string"),
        ("ONESHELF_STOCK", "{broken", "stock: "),
        ("ONESHELF_SOURCES__SAPP__CONNECTION__PASSWORD", "geheim", "sources.sapp.system: Field required"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(
    write: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    error = refusal(write("[stock]\nmax_shrink = 0.5\n" + SAP))
    assert variable in str(error)
    assert says in str(error)
    assert "geheim" not in str(error)


# --- secrets


def test_secrets_are_never_in_a_repr(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESHELF_SOURCES__SAP__CONNECTION__PASSWORD", "geheim")
    monkeypatch.setenv("ONESHELF_DATABASE__URL", "postgresql://hub:geheim@db/oneshelf")
    settings = load_settings(write(SAP))
    for shown in (repr(settings), str(settings), repr(settings.sources), repr(settings.database), f"{settings}"):
        assert "geheim" not in shown


def test_settings_do_not_change_once_loaded(write: Write) -> None:
    settings: Settings = load_settings(write())
    with pytest.raises(ValueError, match="frozen"):
        settings.state_dir = Path("/")
