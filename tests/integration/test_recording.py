"""Recording over real sockets: nothing of the system's world survives, and the replay maps to the same shape."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from connectors.recording.pseudonyms import Pseudonyms
from connectors.recording.redaction import Redactor
from connectors.recording.store import record, recordable
from connectors.recording.walk import walk
from connectors.spelling import Number, read_spelled
from hub.errors import AuthFailed
from tests.erp_sandboxes import run_sandbox
from tests.recorded.replay import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectors.recording.redaction import Vocabulary
    from tests.erp_sandboxes import ErpSandbox

LOOK_BACK = {"overlap_seconds": 3600}
FAULTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "sap": [("decimal-as-number", {}), ("null-for-empty", {})],
    "kingdee": [("json-in-string", {}), ("duplicate-fid", {"conflict": True})],
}


@pytest.fixture(scope="module", params=["sap", "kingdee"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ErpSandbox]:
    with run_sandbox(request.param, tmp_path_factory.mktemp(request.param)) as served:
        served.moves(10)
        yield served


def make_recording(world: ErpSandbox, folder: Path, **settings: Any) -> dict[str, Any]:
    connector = world.connect(**LOOK_BACK, **settings)
    about = {"system": world.system}
    return record(connector, folder, sorted(world.locations), pages=3, items=True, about=about)


def leaves(shown: Any, original: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, shown, original) of every value that both have; what is left out is nowhere to be seen."""
    if isinstance(original, dict):
        for key in original.keys() & shown.keys():
            yield from leaves(shown[key], original[key], key)
    elif isinstance(original, list):
        assert len(shown) == len(original)
        for one, other in zip(shown, original, strict=True):
            yield from leaves(one, other, name)
    else:
        yield name, shown, original


def may_stay(name: str, value: Any, vocabulary: Vocabulary) -> bool:
    text = str(value)
    listed = text.upper() in {word.upper() for word in vocabulary.words.get(name.lower(), ())}
    worthless = value is None or isinstance(value, bool) or not text.strip("0 .-")
    return (
        worthless or listed or name.lower() in vocabulary.plain or re.fullmatch(r"PT\d\dH\d\dM\d\dS", text) is not None
    )


def form(text: str) -> str:
    return re.sub(r"[一-\uffff]", "红", re.sub(r"[A-Z]", "A", re.sub(r"[a-z]", "a", re.sub(r"[1-9]", "9", text))))


def test_every_value_that_is_not_on_the_list_is_another_one_of_the_same_form(world: ErpSandbox) -> None:
    connector = world.connect(**LOOK_BACK)
    rules = recordable(connector).recording_rules
    with recordable(connector).http.watching() as exchanges:
        walk(connector, pages=3, items=True)
    redactor = Redactor(rules.vocabulary, Pseudonyms())
    compared: list[tuple[str, Any, Any]] = []
    for exchange in exchanges:
        shown = rules.redact_exchange(exchange, redactor)
        assert shown is not None
        if "body" in shown["response"] and "QueryBusinessInfo" not in str(exchange.request.url):
            original = read_spelled(exchange.response.content.decode())
            compared += leaves(shown["response"]["body"], original)
    changed = [entry for entry in compared if not may_stay(entry[0], entry[2], rules.vocabulary)]
    assert len(changed) > 1000
    longer = 0
    for name, made, original in changed:
        assert made != original, name
        assert isinstance(made, Number) == isinstance(original, Number), name
        if name in {"uri", "__next"}:
            assert made.startswith("https://sap.invalid/")
            continue
        assert len(str(made)) >= len(str(original)), name
        if "Date" not in name:
            digits = re.sub(r"\d", "9", str(original)), re.sub(r"\d", "9", str(made))
            longer += form(digits[0]) != form(digits[1])
    # where all words of one form are taken, as with sizes of one letter, one more letter helps
    assert longer < len(changed) / 50


def test_no_secret_host_name_or_number_of_the_world_is_in_any_file(world: ErpSandbox, tmp_path: Path) -> None:
    connector = world.connect(**LOOK_BACK)
    with recordable(connector).http.watching() as exchanges:
        items = [record for page in connector.get_items() for record in page.records]
        rows = [row for page in connector.iter_stock() for row in page.rows]
        walk(connector, pages=3, items=True)
    told = "\n".join(exchange.response.text for exchange in exchanges)
    names = set(re.findall(r"[一-龥]{3,}", told))
    gtins = {code.code for item in items for code in item.barcodes}
    # Short numbers with leading zeros can meet by chance; the test above compares them one by one.
    numbers = {row.row_id for row in rows if len(row.row_id) > 20} | set(re.findall(r"\b[45]\d{9}\b", told))
    private = {*world.secrets, "127.0.0.1", "kdservice", "sap-usercontext", "Basic "}
    private |= {value for name, value in world.connection.items() if name in {"user", "acct_id", "app_id"}}
    assert len(names) > 20
    assert len(gtins) > 40

    make_recording(world, tmp_path / "out")
    files = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "out").iterdir()}
    assert len(files) > 15
    for name, text in files.items():
        for original in {*names, *gtins, *numbers, *private}:
            assert original not in text, name


@pytest.mark.parametrize("settings", [{}, {"small": True}])
def test_a_replay_maps_to_the_same_shape(world: ErpSandbox, tmp_path: Path, settings: dict[str, bool]) -> None:
    found = make_recording(world, tmp_path / "out", **(world.small_pages if settings else {}))
    recording = load(tmp_path / "out")
    assert recording.manifest["found"] == found
    assert found["stock"]["rows"] > 50
    assert found["items"]["records"] > 20
    assert found["changes"] > 0
    assert found["keys"]["complete"]
    for _ in range(2):
        assert walk(recording.connect(), pages=3, items=True) == found


@pytest.mark.parametrize("number", range(2))
def test_a_dialect_survives_and_so_do_rejections(world: ErpSandbox, tmp_path: Path, number: int) -> None:
    fault, options = FAULTS[world.system][number]
    with world.fault(fault, **options):
        found = make_recording(world, tmp_path / "out")
    assert walk(load(tmp_path / "out").connect(), pages=3, items=True) == found
    if fault == "duplicate-fid":
        assert found["stock"]["rejected"]["conflicting_rows"] > 0


def test_a_log_in_is_never_recorded(world: ErpSandbox, tmp_path: Path) -> None:
    ways = {
        "kingdee": {"auth": "login_by_sign"},
        "sap": {"user": None, "password": None, "token_url": f"{world.url}/oauth/token", **oauth_client()},
    }
    found = make_recording(world, tmp_path / "out", **ways[world.system])
    recording = load(tmp_path / "out")
    assert "oauth" not in str(recording.exchanges)
    assert "Login" not in str(recording.exchanges)
    assert walk(recording.connect(), pages=3, items=True) == found


def oauth_client() -> dict[str, str]:
    from sandbox.erp.sap import auth

    return {"client_id": auth.DEMO_OAUTH_CLIENT, "client_secret": auth.DEMO_OAUTH_SECRET}


def test_a_refusal_leaves_no_folder(world: ErpSandbox, tmp_path: Path) -> None:
    with pytest.raises(AuthFailed):
        make_recording(world, tmp_path / "out", **world.wrong_secret)
    assert not (tmp_path / "out").exists()
