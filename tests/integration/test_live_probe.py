"""A look at a system, over real sockets: nothing to report of the stand-ins, and each of their dialects by name."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from connectors.erp.probing import observe_clock, observe_traffic, spelling_of
from connectors.http import Exchange
from connectors.registry import create_erp
from connectors.spelling import Number
from hub.probe import LiveProbe
from hub.settings import PROJECT_ROOT
from tests.erp_sandboxes import ERPS, ErpSandbox, SapSandbox, run_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hub.probe import Observation

OWN_CAP: dict[type[ErpSandbox], dict[str, Any]] = {SapSandbox: {"page_rows": 25}}
"""Settings that fit the pages of the tests' stand-ins."""


@pytest.fixture(scope="module")
def sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ErpSandbox]]:
    folder = tmp_path_factory.mktemp
    with ExitStack() as stack:
        worlds = {system: stack.enter_context(run_sandbox(system, folder(system))) for system in ERPS}
        for world in worlds.values():
            world.moves(5)
        yield worlds


def look(world: ErpSandbox, **settings: Any) -> dict[str, Observation]:
    connector = world.connect(**{**OWN_CAP.get(type(world), {}), **settings})
    assert isinstance(connector, LiveProbe)
    return {seen.name: seen for seen in connector.probe()}


def different(seen: dict[str, Observation]) -> set[str]:
    return {name for name, observation in seen.items() if not observation.agrees}


@pytest.mark.parametrize(("system", "limit"), [("sap", "quota"), ("sap-rfc", "conversations"), ("kingdee", "quota")])
def test_nothing_differs_at_our_own_stand_in(sandboxes: dict[str, ErpSandbox], system: str, limit: str) -> None:
    seen = look(sandboxes[system])
    assert different(seen) == set()
    assert {"server clock", limit, "latency", "stock rows refused", "largest answer"} <= seen.keys()


@pytest.mark.parametrize(
    ("system", "fault", "options", "name", "words"),
    [
        ("sap", "decimal-as-number", {}, "spelling of quantities", "number"),
        ("sap", "decimal-trailing-zeros", {}, "spelling of quantities", "text with zeros behind"),
        ("sap", "decimal-noise", {}, "spelling of quantities", "float noise"),
        ("sap", "count-as-number", {}, "__count of $inlinecount", "a number"),
        ("sap", "null-for-empty", {}, "blank key parts", "null"),
        ("sap", "numc-zero", {}, "blank key parts", "zeros"),
        ("sap", "date-with-offset", {}, "creation time", "+0480"),
        ("sap", "rate-429", {"times": 1, "retry_after": 0}, "quota", "retry-after: 0"),
        ("kingdee", "limit-truncated", {"rows": 100}, "largest answer", "100 rows"),
        ("kingdee", "float-noise", {}, "spelling of quantities", "float noise"),
        ("kingdee", "exponent", {}, "spelling of quantities", "an exponent"),
        ("kingdee", "json-in-string", {}, "form of an answer", "inside a string"),
        ("kingdee", "wrong-type", {}, "form of an answer", "text/html"),
        ("kingdee", "duplicate-fid", {}, "row ids that come twice", "5"),
        ("kingdee", "hollow-sid", {}, "a session hides a bad secret", "no"),
    ],
)
def test_a_dialect_is_named_alone_and_does_no_harm(
    sandboxes: dict[str, ErpSandbox], system: str, fault: str, options: dict[str, Any], name: str, words: str
) -> None:
    with sandboxes[system].fault(fault, **options):
        seen = look(sandboxes[system])
    assert different(seen) == {name}
    assert words in seen[name].seen
    assert not seen[name].alarming


def test_a_lower_page_limit_is_named_with_the_setting_to_change(sandboxes: dict[str, ErpSandbox]) -> None:
    with sandboxes["sap"].fault("top-capped", cap=20):
        seen = look(sandboxes["sap"])
    assert different(seen) == {"largest answer"}
    assert "page_rows = 20" in seen["largest answer"].advice


@pytest.mark.parametrize("system", ["sap", "sap-rfc", "kingdee"])
def test_a_tenant_where_nothing_can_be_seen_is_alarming(sandboxes: dict[str, ErpSandbox], system: str) -> None:
    with sandboxes[system].fault("empty-answer"):
        seen = look(sandboxes[system])
    assert seen["stock rows"].alarming
    assert seen["stock rows"].advice


def test_an_order_that_is_not_obeyed_is_alarming(sandboxes: dict[str, ErpSandbox]) -> None:
    with sandboxes["kingdee"].fault("unstable-order"):
        seen = look(sandboxes["kingdee"])
    assert seen["order of stock rows"].alarming


@pytest.mark.parametrize(
    ("system", "line", "name", "value"),
    [
        ("sap", '    "02": quality', "status values of A_MatlStkInAcctMod", "02 ("),
        ("kingdee", "    KCZT02_SYS: quality", "status values of STK_Inventory", "KCZT02_SYS ("),
    ],
)
def test_a_status_that_no_mapping_file_lists_is_named_with_its_count(
    sandboxes: dict[str, ErpSandbox], tmp_path: Path, system: str, line: str, name: str, value: str
) -> None:
    shutil.copytree(PROJECT_ROOT / "mappings", tmp_path / "mappings")
    file = tmp_path / "mappings" / "erp" / system / "stock.yaml"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(text for text in lines if not text.startswith(line)), encoding="utf-8")
    world = sandboxes[system]
    connection = {**world.connection, "requests_per_minute": 100_000, "page_rows": 100}
    connector = create_erp(system, system, connection, world.locations, tmp_path / "mappings")
    assert isinstance(connector, LiveProbe)
    found = [seen for seen in connector.probe() if seen.name == name]
    assert len(found) == 1
    assert found[0].alarming
    assert value in found[0].seen
    assert "stock.yaml" in found[0].advice


def test_forms_that_a_tenant_does_not_have_are_named_with_their_setting(sandboxes: dict[str, ErpSandbox]) -> None:
    bill = {"form": "XXX_MOVED", "mappings": ["moved_stk_instock"], "row_id": ["FID"]}
    seen = look(sandboxes["kingdee"], movement_forms=[bill], barcode_form={"form": "XXX_BARCODE"})
    assert different(seen) == {"bills XXX_MOVED", "barcode master XXX_BARCODE"}
    assert "movement_forms" in seen["bills XXX_MOVED"].advice
    assert "barcode_form" in seen["barcode master XXX_BARCODE"].advice


def test_times_that_lie_ahead_name_the_zone(sandboxes: dict[str, ErpSandbox]) -> None:
    seen = look(sandboxes["kingdee"], time_zone="Europe/London")
    assert different(seen) == {"time zone"}
    assert seen["time zone"].alarming
    assert "time_zone" in seen["time zone"].advice


def answered(**headers: str) -> Exchange:
    response = requests.Response()
    response._content = b"{}"
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return Exchange(requests.PreparedRequest(), response, 0.25)


@pytest.mark.parametrize(("ahead", "agrees"), [(0, True), (-25, True), (120, False), (-3600, False)])
def test_a_clock_that_runs_apart_is_told_and_harmless(ahead: int, *, agrees: bool) -> None:
    told = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    seen = observe_clock(answered(Date=told))
    assert seen.agrees is agrees
    assert not seen.alarming
    assert not observe_clock(answered()).agrees


def test_headers_that_speak_of_a_quota_are_shown() -> None:
    seen = {found.name: found for found in observe_traffic([answered(X_RateLimit_Remaining="7")], 600)}
    assert "X-RateLimit-Remaining: 7" in seen["quota"].seen
    assert "requests_per_minute" in seen["quota"].advice
    assert "250 ms" in seen["latency"].seen


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("12", "text"),
        ("1.50", "text with zeros behind"),
        (Number("1.5"), "number"),
        (Number("1.2E+01"), "number with an exponent"),
        (Number("0.30000000000000004"), "number with float noise"),
        ("", "blank"),
        (None, "blank"),
        ("        12.000 ", "text with zeros behind"),
        ("5.000-", "text with zeros behind"),
        ("5.125-", "text"),
        (True, "bool"),
    ],
)
def test_a_spelling_has_a_name(value: Any, words: str) -> None:
    assert spelling_of(value) == words


@pytest.mark.parametrize("system", ["sap", "sap-rfc", "kingdee"])
def test_an_article_is_shown_row_by_row_with_what_becomes_of_each(
    sandboxes: dict[str, ErpSandbox], system: str
) -> None:
    world = sandboxes[system]
    key, quantity = next(iter(sorted(world.books().items(), key=lambda pair: -pair[1])))
    connector = world.connect()
    assert isinstance(connector, LiveProbe)
    traced = connector.trace(key.item)
    here = [row for row in traced if row.row and (row.row.item, row.location) == (key.item, key.location)]
    assert sum(row.row.quantity for row in here if row.row and row.reason.startswith("on hand")) == quantity
    for row in traced:
        assert row.raw
        assert row.steps
        assert row.reason
        assert (row.location in world.locations) or row.row is None
