"""The command line, as people use it."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from hub.contracts import Rejection
from hub.db.migrate import head_revision
from hub.mapping import mapping_schema
from hub.settings import PROJECT_ROOT
from hub.sync.quarantine import quarantine
from oneshelf import cli
from oneshelf.sandboxes import connection_environment, create_sandbox
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hub.db.session import Database
    from tests.unit.oneshelf.conftest import Run

STOCK = "mappings/erp/kingdee/stock.yaml"
MAPPING = """\
version: 1
source: {system: x, object: y}
target: BarcodeRow
external_tables: [packs]
example_tables: {packs: {box: CAR}}
fields:
  item: {const: A}
  code: {from: ean, transform: [strip], required: true}
  unit: {from: pack, lookup: packs}
examples:
  - in: {ean: "69", pack: box}
    out: {code: "69", unit: CAR}
"""


@contextmanager
def sandboxes(environment: pytest.MonkeyPatch, folder: Path, *, articles: int = 40) -> Iterator[dict[str, str]]:
    """Serve both vendors' stand-ins and point the settings at them."""
    apps = {
        name: create_sandbox(name, folder / f"{name}.db", articles=articles, moves_per_minute=0)
        for name in ("sap", "kingdee")
    }
    with serve(apps["sap"]) as sap, serve(apps["kingdee"]) as kingdee:
        urls = {"sap": sap, "kingdee": kingdee}
        for name, value in connection_environment(urls).items():
            environment.setenv(name, value)
        yield urls


def run_main(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the command as the shell does; returns exit code and output."""
    environment.setattr("sys.argv", ["oneshelf", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0), capsys.readouterr().out


# --- database


def test_db_init_creates_the_schema_and_the_places(run: Run, environment: pytest.MonkeyPatch, empty_url: str) -> None:
    environment.setenv("ONESHELF_DATABASE__URL", empty_url)
    for command in ("init", "upgrade"):
        result = run("db", command)
        assert result.exit_code == 0, result.output
        assert f"database at {head_revision()}" in result.stdout
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT count(*) FROM location WHERE active").fetchone() == (9,)
        assert connection.execute("SELECT source FROM feed ORDER BY 1").fetchall() == [("kingdee",), ("sap",)]


def test_a_database_without_schema_says_what_to_do(
    run: Run, environment: pytest.MonkeyPatch, empty_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("ONESHELF_DATABASE__URL", empty_url)
    assert run("quarantine", "list").exit_code == 1
    code, out = run_main(environment, capsys, "quarantine", "list")
    assert code == 1
    assert "oneshelf db upgrade" in out
    assert "Traceback" not in out


def test_a_wrong_setting_is_one_line(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "base.toml").write_text("[items]\nsku_from = ['sap'] # [/bold]\nsku_form = 1\n", encoding="utf-8")
    environment.setenv("ONESHELF_CONFIG_DIR", str(tmp_path))
    code, out = run_main(environment, capsys, "db", "init")
    assert code == 1
    assert len(out.splitlines()) == 1
    assert f"ConfigError: {tmp_path}/base.toml:3: items.sku_form" in out
    assert "did you mean sku_from?" in out


# --- keys


def test_a_key_is_printed_once_and_only_its_hash_is_kept(run: Run, database_url: str) -> None:
    result = run("keys", "create", "--role", "storefront", "--name", "web shop")
    assert result.exit_code == 0, result.output
    key = result.stdout.strip()
    match = re.fullmatch(r"osk_([0-9a-f]{12})_([0-9a-f]{64})", key)
    assert match
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT id, name, role, secret_sha256 FROM api_key").fetchall()
        dump = str(connection.execute("SELECT api_key::text FROM api_key").fetchall())
    assert rows == [(match[1], "web shop", "storefront", hashlib.sha256(match[2].encode()).digest())]
    assert match[2] not in dump
    assert run("keys", "create", "--role", "storefront").stdout.strip() != key


def test_an_unknown_role_is_refused_with_those_there_are(run: Run, database_url: str) -> None:
    result = run("keys", "create", "--role", "boss")
    assert result.exit_code == 1
    assert "no role boss; there is storefront" in str(result.exception)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM api_key").fetchone() == (0,)


# --- mappings


def test_mappings_check_proves_every_file(run: Run, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = run("mappings", "check")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == len(list((PROJECT_ROOT / "mappings").rglob("*.yaml")))
    assert "erp/kingdee/stock.yaml" in result.stdout

    (tmp_path / "good.yaml").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(MAPPING.replace("unit: CAR}", "unit: BOX}"), encoding="utf-8")
    environment.setenv("ONESHELF_MAPPINGS_DIR", str(tmp_path))
    result = run("mappings", "check")
    assert result.exit_code == 1
    assert f"{tmp_path / 'bad.yaml'}:1" in result.stdout


def samples(folder: Path, content: object) -> str:
    path = folder / "sample.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


@pytest.fixture
def mapping(tmp_path: Path) -> str:
    path = tmp_path / "barcode.yaml"
    path.write_text(MAPPING, encoding="utf-8")
    return str(path)


def test_mappings_test_shows_what_comes_out(run: Run, mapping: str, tmp_path: Path) -> None:
    good = {"ean": " [red]690 ", "pack": "box"}
    result = run("mappings", "test", mapping, samples(tmp_path, good))
    assert result.exit_code == 0, result.output
    assert "code='[red]690', unit='CAR'" in result.stdout
    result = run("mappings", "test", mapping, samples(tmp_path, [good, {"ean": "1", "pack": "[crate]"}]))
    assert result.exit_code == 1
    assert "2: " in result.stdout
    assert "[crate]" in result.stdout


def test_mappings_explain_shows_each_step(run: Run, mapping: str, tmp_path: Path) -> None:
    result = run("mappings", "explain", mapping, samples(tmp_path, {"ean": " 69 ", "pack": "crate"}))
    assert result.exit_code == 0, result.output
    code, unit = result.stdout.splitlines()[-2:]
    assert re.search(r"code\s+ean=' 69 '\s+strip: '69'\s+'69'", code)
    assert "pack='crate'" in unit


def test_mappings_diff_shows_what_differs(run: Run, mapping: str, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text(MAPPING.replace("transform: [strip]", "transform: [strip, upper]"), encoding="utf-8")
    result = run("mappings", "diff", mapping, str(new), samples(tmp_path, {"ean": "a", "pack": "box"}))
    assert result.exit_code == 0, result.output
    assert re.search(r"field\s+code\s+from ean, strip, required\s+from ean, strip, upper, required", result.stdout)
    assert re.search(r"result\s+1 code\s+a\s+A", result.stdout)
    assert run("mappings", "diff", mapping, mapping).stdout.strip() == "no difference"


def test_a_sample_that_is_no_json_is_refused_by_name(run: Run, mapping: str, tmp_path: Path) -> None:
    result = run("mappings", "test", mapping, samples(tmp_path, "{"))
    assert result.exit_code == 1
    assert f"{tmp_path}/sample.json: not readable as JSON" in str(result.exception)


def test_the_schema_for_editors_is_current(run: Run) -> None:
    """`oneshelf mappings schema > mappings/schema.json` makes it so."""
    result = run("mappings", "schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == mapping_schema()
    assert (PROJECT_ROOT / "mappings" / "schema.json").read_text(encoding="utf-8") == result.stdout


# --- quarantine


def test_quarantine_list_shows_what_waits(run: Run, database_url: str) -> None:
    assert run("quarantine", "list").stdout.strip() == "nothing in quarantine"
    with psycopg.connect(database_url) as connection:
        rejection = Rejection("bad_number", "no number: [bold]x[/nothing]", {}, item="A", location="W1")
        quarantine(connection, "sap", "stock_row", [rejection])
    result = run("quarantine", "list")
    assert result.exit_code == 0, result.output
    assert re.search(r"sap\s+stock_row\s+A@W1\s+bad_number\s+no number: \[bold\]x\[/nothing\]\s+1\s", result.stdout)


def test_quarantined_pushes_can_be_replayed(run: Run, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO inbox (source, event_id, kind, payload, state) VALUES ('sap', 'e', 'k', '{}', 'quarantined')"
        )
    assert "1 pushes are due again" in run("quarantine", "replay", "sap").stdout
    assert "0 pushes are due again" in run("quarantine", "replay", "sap").stdout


# --- stock, from the sandboxes to the shelf


def test_a_full_read_of_both_erps_fills_the_shelf(
    run: Run, environment: pytest.MonkeyPatch, database_url: str, tmp_path: Path
) -> None:
    with sandboxes(environment, tmp_path):
        result = run("sync", "inventory", "--full")
        assert result.exit_code == 0, result.output
        assert re.search(r"^sap: 40 articles, 40 new, \d+ rejected$", result.stdout, re.MULTILINE), result.stdout
        applied = re.findall(r"^(\w+): applied, (\d+) rows, (\d+) levels changed", result.stdout, re.MULTILINE)
        assert [name for name, *_ in applied] == ["sap", "kingdee"]
        assert all(int(rows) and int(levels) for _, rows, levels in applied)

        result = run("sync", "inventory", "--source", "sap")
        assert result.exit_code == 0, result.output
        assert "sap: " in result.stdout
        assert "kingdee" not in result.stdout

    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT item.sku, location.code, trim_scale(on_hand)::text FROM stock_level"
            " JOIN item ON item.id = item_id JOIN location ON location.id = location_id"
            " WHERE on_hand > 0 ORDER BY 1, 2 LIMIT 1"
        ).fetchone()
        assert row is not None
        sku, code, quantity = row
        connection.execute("UPDATE item SET name = '[new] 羽绒服 [/red]' WHERE sku = %s", (sku,))
    result = run("stock", "show", sku)
    assert result.exit_code == 0, result.output
    assert f"{sku} [new] 羽绒服 [/red]" in result.stdout
    assert re.search(rf"^{code}\s.*\s{re.escape(quantity)}(\.0*)?\s", result.stdout, re.MULTILINE), result.stdout
    result = run("stock", "show", "[none]")
    assert (result.exit_code, result.stdout.strip()) == (1, "no SKU [none]")


def test_an_erp_that_is_down_is_told_and_changes_nothing(run: Run, database_url: str) -> None:
    environment_error = run("sync", "inventory", "--source", "sap", "--full").exception
    assert "Unavailable" in type(environment_error).__name__
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (0,)


def test_an_unknown_source_is_refused_with_those_there_are(run: Run) -> None:
    result = run("sync", "inventory", "--source", "oracle")
    assert result.exit_code == 1
    assert "no source oracle; there is sap, kingdee" in str(result.exception)


def test_the_source_that_names_items_is_read_first_whatever_the_order_in_the_file(
    run: Run, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else the first full read of all would stop at the source that has to wait for it."""
    environment.setenv("ONESHELF_ITEMS__SKU_FROM", '["kingdee", "sap"]')
    with sandboxes(environment, tmp_path, articles=10):
        result = run("sync", "inventory", "--full")
    assert result.exit_code == 0, result.output
    assert re.findall(r"^(\w+): applied", result.stdout, re.MULTILINE) == ["kingdee", "sap"]


def test_an_unknown_sandbox_is_refused_with_those_there_are(run: Run) -> None:
    result = run("sandbox", "oracle")
    assert result.exit_code == 2
    assert "there is sap, kingdee, robots" in result.output


# --- doctor


def findings(output: str) -> dict[str, tuple[str, str]]:
    """Return mark and rest of each line by its area and check; a line that goes on belongs to the one above."""
    found: dict[str, tuple[str, str]] = {}
    last = ""
    for line in output.splitlines()[1:]:
        if line.startswith(("ok", "!!")):
            mark, area, check, rest = re.split(r"\s{2,}|(?<=^..) ", line.strip(), maxsplit=3)
            last = f"{area}: {check}"
            found[last] = (mark, rest)
        else:
            found[last] = (found[last][0], f"{found[last][1]} {line.strip()}")
    return found


def test_the_doctor_finds_a_healthy_house_healthy(run: Run, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    prefect = Starlette(routes=[Route("/api/health", lambda _: PlainTextResponse("true"))])
    with sandboxes(environment, tmp_path, articles=10), serve(prefect) as url:
        environment.setenv("PREFECT_API_URL", f"{url}/api")
        environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a company's proxy is not for this machine
        environment.setenv("NO_PROXY", "127.0.0.1")
        assert run("sync", "inventory", "--full").exit_code == 0
        result = run("doctor")
    found = findings(result.stdout)
    assert {name for name, (mark, _) in found.items() if mark != "ok"} == set(), result.stdout
    assert result.exit_code == 0
    for name in ("disk: free space", "mappings: mapping files", "prefect: API", "locations: locations.yaml"):
        assert name in found
    assert "operations page" in found["alerts: channels"][1]
    for name in ("database: connection", "database: migrations", "feeds: feed sap", "sap: places", "kingdee: places"):
        assert name in found


def test_the_doctor_says_what_to_do_about_each_thing_that_is_broken(
    run: Run, environment: pytest.MonkeyPatch, empty_url: str, tmp_path: Path
) -> None:
    environment.setenv("ONESHELF_DATABASE__URL", empty_url)
    environment.setenv("ONESHELF_MAPPINGS_DIR", str(tmp_path / "mappings"))
    environment.setenv("ONESHELF_STATE_DIR", str(tmp_path / "not" / "there" / "yet"))
    environment.delenv("ONESHELF_SOURCES__SAP__CONNECTION__PASSWORD")
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "bad.yaml").write_text("version: [x]\n", encoding="utf-8")
    result = run("doctor")
    assert result.exit_code == 1, result.output
    found = findings(result.stdout)
    assert "oneshelf mappings check" in found["mappings: mapping files"][1]
    assert "oneshelf up" in found["prefect: API"][1]
    assert "oneshelf db upgrade" in found["database: migrations"][1]
    assert "ONESHELF_SOURCES__SAP__CONNECTION" in found["sap: connector"][1]
    assert found["kingdee: connector"][0] == "!!"
    assert found["disk: free space"][0] == "ok"


def test_the_doctor_says_what_to_do_without_a_database_or_with_a_wrong_places_file(
    run: Run, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("ONESHELF_DATABASE__URL", "postgresql://hub:geheim@127.0.0.1:9/none")
    result = run("doctor")
    assert result.exit_code == 1, result.output
    assert "mend ONESHELF_DATABASE__URL" in findings(result.stdout)["database: connection"][1]
    assert "geheim" not in result.output

    (tmp_path / "base.toml").write_text("", encoding="utf-8")
    (tmp_path / "locations.yaml").write_text("places: []\n", encoding="utf-8")
    environment.setenv("ONESHELF_CONFIG_DIR", str(tmp_path))
    for name in ("SAP", "KINGDEE"):
        environment.setenv(f"ONESHELF_SOURCES__{name}__SYSTEM", name.lower())
    result = run("doctor")
    assert result.exit_code == 1, result.output
    mark, rest = findings(result.stdout)["locations: locations.yaml"]
    assert mark == "!!"
    assert f"{tmp_path}/locations.yaml:1" in rest
    assert "mend that line" in rest


def test_part_of_a_level_is_set_apart_for_a_channel(run: Run, database: Database) -> None:
    with database.driver() as connection:
        connection.execute(
            "WITH made AS (INSERT INTO item (sku, name, unit) VALUES ('A', 'a', 'EA') RETURNING id),"
            " place AS (INSERT INTO location (code, name, kind, sellable_online, pickup, time_zone)"
            "           VALUES ('W1', 'w', 'store', true, true, 'UTC') RETURNING id)"
            " INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)"
            " SELECT made.id, place.id, 9, 1, 2 FROM made, place"
        )
    assert run("stock", "pool", "A", "W1", "online", "--quantity", "4").exit_code == 0
    with database.driver() as connection:
        pools = "SELECT channel, ring_fenced, percent FROM stock_pool"
        assert connection.execute(pools).fetchall() == [("online", 4, None)]
        assert run("stock", "pool", "A", "W1", "online", "--percent", "50").exit_code == 0
        assert connection.execute(pools).fetchall() == [("online", None, 50)]
        assert run("stock", "pool", "A", "W1", "online").exit_code == 0
        assert connection.execute(pools).fetchall() == []
    assert "A has no level at W9" in run("stock", "pool", "A", "W9", "online", "--percent", "5").stdout
    for wrong, words in (
        (("A", "W1", "nobody", "--percent", "5"), "no channel nobody"),
        (("A", "W1", "online", "--percent", "5", "--quantity", "5"), "not both"),
    ):
        assert words in str(run("stock", "pool", *wrong).exception)
