"""Every way in which SAP fails a reader over RFC, through the whole path, as `test_erp_faults.py` has it for HTTP."""

from __future__ import annotations

import threading
import time
from contextlib import closing, suppress
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from hub.clock import utc_now
from hub.db.session import Database
from hub.errors import AuthFailed, ProtocolViolation, Rejected, RemoteError, Truncated, Unavailable
from sandbox.erp.sap.movements import Header, Movement
from sandbox.erp.sap_rfc.faults import FAULTS
from tests.erp_sandboxes import SapRfcSandbox, run_sandbox, skip_waits
from tests.hub_shop import make_shop
from tests.integration.test_erp_faults import DOUBTED, EXACT, MOVING, REFUSED, Fault, heal, meet, suffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.sync.inventory import InventorySync
    from sandbox.erp.sap_rfc.system import AbapSystem
    from tests.conftest import FreshDatabase
    from tests.erp_sandboxes import ErpSandbox
    from tests.hub_shop import Shop

IMPATIENT = {"call_timeout": 1, "logon_timeout": 0.1}
SHORT = {"seconds": 0.4}
SMALL = {"page_rows": 25}
BETWEEN = {"table": "MCHB", "documents": 20}

READING = [
    # signing on
    Fault("logon-failed", AuthFailed, AuthFailed),
    Fault("user-locked", AuthFailed, AuthFailed),
    Fault("password-expired", AuthFailed, AuthFailed),
    Fault("not-authorized", AuthFailed, AuthFailed),
    Fault("not-authorized", AuthFailed, None, params={"table": "MSEG"}, note="for the lines alone"),
    Fault("not-authorized", AuthFailed, AuthFailed, params={"table": "MCHB"}, note="for batches alone"),
    Fault("no-rfc-authority", AuthFailed, AuthFailed),
    # session and network
    Fault("refused", Unavailable, Unavailable),
    Fault("refused", EXACT, EXACT, times=2, note="passing"),
    Fault("closed", Unavailable, Unavailable),
    Fault("closed", EXACT, EXACT, times=1, note="passing"),
    Fault("silent", Unavailable, Unavailable, params=SHORT, settings=IMPATIENT),
    Fault("silent", EXACT, EXACT, params=SHORT, times=1, settings=IMPATIENT, note="passing"),
    Fault("silent", Unavailable, Unavailable, params={**SHORT, "then": "opens"}, settings=IMPATIENT, note="opens"),
    Fault("max-conversations", Unavailable, Unavailable),
    Fault("max-conversations", EXACT, EXACT, times=2, note="passing"),
    Fault("cancel-new-handle", Unavailable, Unavailable, settings=IMPATIENT),
    Fault("cancel-new-handle", EXACT, EXACT, times=1, settings=IMPATIENT, note="passing"),
    Fault("closed-in-call", Unavailable, Unavailable),
    Fault("closed-in-call", EXACT, EXACT, times=1, note="passing"),
    Fault("closed-in-call", None, EXACT, times=1, skip=4, note="passing in the middle"),
    Fault("closed-in-call", None, Unavailable, skip=4, note="in the middle"),
    Fault("latency", Unavailable, Unavailable, params={"seconds": 3}, settings=IMPATIENT),
    Fault("latency", EXACT, EXACT, params={"seconds": 0.01}, note="bearable"),
    # volume
    Fault("buffer-exceeded", ProtocolViolation, ProtocolViolation),
    Fault("page-alloc-failed", EXACT, EXACT),
    Fault("page-alloc-failed", None, EXACT, params={"rows": 30}, note="few rows"),
    Fault("page-alloc-failed", Rejected, Rejected, params={"rows": 0}, note="no row at all"),
    Fault("unstable-rowskips", EXACT, EXACT),
    Fault("empty-answer", Truncated, REFUSED),
    Fault("empty-answer", Truncated, Truncated, params={"table": "MARD"}, note="of levels"),
    Fault("empty-answer", Truncated, None, params={"table": "MKPF"}, note="of documents"),
    Fault("empty-answer", Truncated, None, params={"table": "MSEG"}, note="of their lines"),
    Fault("empty-answer", None, DOUBTED, params={"table": "MCHB"}, note="of batches"),
    Fault("empty-answer", None, DOUBTED, params={"table": "MCH1"}, note="of expiry dates"),
    Fault("empty-answer", None, REFUSED, params={"table": "MARA"}, note="of units"),
    Fault("short-answer", None, REFUSED, params={"share": 0.9, "table": "MARD"}),
    Fault("documents-taken-back", MOVING, MOVING, times=1),
    Fault("documents-taken-back", MOVING, MOVING, params=BETWEEN, times=1, note="between MARD and MCHB"),
    Fault("documents-taken-back", None, MOVING, params=BETWEEN, times=1, skip=1, settings=SMALL, note="in the middle"),
    Fault("documents-taken-back", MOVING, None, params={"table": "MSEG", "documents": 4}, times=1, note="before lines"),
    Fault("table-without-data", Rejected, Rejected),
    # payload
    Fault("wrong-date", ProtocolViolation, None, params={"table": "MKPF"}),
    Fault("wrong-date", None, DOUBTED, params={"table": "MCH1", "value": "20261399"}, note="of batches"),
    Fault("truncated-char", ProtocolViolation, EXACT),
    # rate
    Fault("busy", Unavailable, Unavailable),
    Fault("busy", EXACT, EXACT, times=2, note="passing"),
    Fault("busy", Unavailable, Unavailable, params={"at": "logon"}, note="at the log-on"),
]
WRITING = {"number-with-error", "locked", "a-message", "lost-commit-answer", "commit-fails"}
ELSEWHERE = {"late-commit", "future-entry-time", "return-shape"}
ALWAYS = {
    *("logon-failed", "refused", "silent", "closed-in-call", "page-alloc-failed", "empty-answer", "truncated-char"),
    "documents-taken-back",
}


def cases() -> Iterator[object]:
    """Yield one case of some faults for every `make test`, and all the others as slow."""
    for fault in READING:
        always = fault.id in ALWAYS and not fault.note
        yield pytest.param(fault, id=str(fault), marks=() if always else pytest.mark.slow)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ErpSandbox]:
    with run_sandbox("sap-rfc", tmp_path_factory.mktemp("ecc")) as sandbox:
        # Nothing is posted late here, and the documents of all tests before need not be read each time.
        sandbox.connection["overlap_seconds"] = 2
        yield sandbox


@pytest.fixture(scope="module")
def only_shop(world: ErpSandbox, fresh_database: FreshDatabase) -> Iterator[Shop]:
    """Give one hub for all faults: each test leaves it healed, so that the next may go on from there."""
    with fresh_database() as url, closing(Database(url)) as database:
        shop = make_shop(database, {"sap": world})
        shop.read_items()
        yield shop


@pytest.fixture
def shop(only_shop: Shop) -> Shop:
    only_shop.worlds["sap"].faults.turn_off()
    if only_shop.feed("sap").stale or only_shop.wrong("sap"):
        only_shop.sync("sap").snapshot(accept_shrink=True)
    return only_shop


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return skip_waits(monkeypatch)


def test_every_fault_of_a_reader_is_in_the_table() -> None:
    assert {fault.id for fault in READING} | WRITING | ELSEWHERE == set(FAULTS)


@pytest.mark.parametrize("fault", [*cases()])
def test_sap_over_rfc(shop: Shop, fault: Fault, waits: list[float]) -> None:
    suffer(shop, "sap", fault, waits)


def test_documents_that_show_late_are_found(shop: Shop) -> None:
    patient = shop.sync("sap", overlap_seconds=60)
    shop.worlds["sap"].moves(5)
    patient.delta()
    with shop.worlds["sap"].fault("late-commit", seconds=30):
        # posted by this side, whose switchboard it is
        sell_some(shop, 12)
    assert shop.wrong("sap")
    patient.delta()
    assert shop.wrong("sap") == []


def test_a_document_of_the_future_hides_no_others(shop: Shop) -> None:
    sync = shop.sync("sap")
    with shop.worlds["sap"].fault("future-entry-time", seconds=3600):
        sell_some(shop, 1)
    sync.delta()
    assert shop.wrong("sap") == []
    for _ in range(2):
        assert sync.delta() is None  # what is new is met twice; after that the cursor alone says where to begin
        shop.worlds["sap"].moves(5)
        assert shop.wrong("sap")
        sync.delta()
        assert shop.wrong("sap") == []


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_lines_that_lacked_in_an_answer_are_asked_for_again(shop: Shop, share: float) -> None:
    sync = shop.sync("sap", overlap_seconds=60)
    sync.delta()
    post_lines(shop, 20)
    with shop.worlds["sap"].fault("short-answer", table="MSEG", share=share, times=1):
        report = sync.delta()
    assert report is not None
    assert report.state == "applied"
    assert shop.wrong("sap"), "some lines lacked"
    sync.delta()
    assert shop.wrong("sap") == []
    assert sync.delta() is None


def test_a_shortage_of_memory_leaves_nothing_behind(shop: Shop) -> None:
    """The connector that met it reads as before afterwards, a material with more rows than a short page too."""
    world = shop.worlds["sap"]
    sync = shop.sync("sap")
    sync.snapshot()
    usual = reads_of(world, sync)
    with world.fault("page-alloc-failed", rows=12), suppress(RemoteError):
        sync.snapshot()
    for _ in range(12):
        world.moves(4)
        with suppress(RemoteError):
            sync.delta()
    world.moves(4)
    sync.delta()
    assert shop.wrong("sap") == []
    assert shop.feed("sap").failures == 0
    for _ in range(3):
        assert sync.snapshot().state == "applied"
    assert reads_of(world, sync) == usual


def test_what_hangs_holds_its_place_until_it_ends_and_is_closed_then(shop: Shop) -> None:
    fault = Fault("silent", Unavailable, None, params={"seconds": 1.0, "then": "opens"}, settings=IMPATIENT)
    before, conversations = set(threading.enumerate()), abap(shop).conversations
    meet(shop, "sap", fault, "delta", Unavailable)
    ends_at = time.monotonic() + 10
    while hanging(before) or abap(shop).conversations > conversations:
        assert time.monotonic() < ends_at
        time.sleep(0.05)
    heal(shop, "sap")


@pytest.mark.parametrize("fault", [None, "return-shape"])
def test_a_promise_is_what_sap_would_confirm(shop: Shop, fault: str | None) -> None:
    world = shop.worlds["sap"]
    key, held = max(world.books().items(), key=lambda entry: entry[1])
    today = utc_now().astimezone(ZoneInfo("Asia/Shanghai")).date()
    if fault is not None:
        world.faults.turn_on(fault)
    connector = world.connect()
    little = connector.check_availability(key, Decimal(1), today)
    much = connector.check_availability(key, held * 100, today)
    assert (little.confirmed, little.checked) == (1, True)
    assert 0 < much.confirmed < much.wanted
    assert much.confirmed <= much.available


def sell_some(shop: Shop, count: int) -> None:
    """Sell one each of some keys, each by a document of its own, on the stand-in whose switchboard RFC's is."""
    for key in sorted(shop.worlds["sap"].books(), key=str)[:count]:
        plant, storage = key.location.split("/")
        abap(shop).world.move(
            {"kind": "sale", "material": key.item, "plant": plant, "storage_location": storage, "quantity": "1"}
        )


def post_lines(shop: Shop, count: int) -> None:
    """Take one each of some keys by a single document."""
    lines = []
    for key in sorted(shop.worlds["sap"].books(), key=str)[:count]:
        plant, storage = key.location.split("/")
        lines.append(Movement("551", key.item, plant, storage, 1000))
    abap(shop).world.post_document(Header(code="03"), lines)


def reads_of(world: ErpSandbox, sync: InventorySync) -> int:
    """Return how many answers a full read takes."""
    before = world.asked.count("RFC_READ_TABLE")
    sync.snapshot()
    return world.asked.count("RFC_READ_TABLE") - before


def hanging(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return conversations that began since; those of other tests stay until they were idle for long."""
    return [thread for thread in threading.enumerate() if thread.name == "sap-rfc" and thread not in before]


def abap(shop: Shop) -> AbapSystem:
    world = shop.worlds["sap"]
    assert isinstance(world, SapRfcSandbox)
    return world.abap
