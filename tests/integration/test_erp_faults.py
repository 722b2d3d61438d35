"""Every way in which the ERPs fail a reader, through the whole path: no number goes wrong, it shows, and it heals.

One line of the tables is one fault that is on while changes are asked for and while a snapshot is read. Whatever
happens, a level then holds a number that was true: the old one, or the new one. When the fault is off, the next look
for changes makes all levels equal to the ERP's own books again. What ops see of each is in `docs/faults.md`, which
`tests/unit/test_faults_page.py` compares with the switches.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from hub.db.session import Database
from hub.errors import AuthFailed, ProtocolViolation, RateLimited, Rejected, RemoteError, Truncated, Unavailable
from hub.locations import codes_of
from sandbox.erp.kingdee.faults import FAULTS as KINGDEE_FAULTS
from sandbox.erp.sap.auth import DEMO_OAUTH_CLIENT, DEMO_OAUTH_SECRET
from sandbox.erp.sap.faults import FAULTS as SAP_FAULTS
from tests.erp_sandboxes import LOCATIONS, run_sandbox, skip_waits
from tests.hub_shop import make_shop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from _pytest.mark import ParameterSet

    from hub.sync.inventory import SyncReport
    from hub.sync.watch import FeedState
    from tests.conftest import FreshDatabase
    from tests.erp_sandboxes import ErpSandbox
    from tests.hub_shop import Shop

EXACT = "exact"
"""The fault is dealt with: the levels equal the books while it is still on."""
MOVING = "moving"
"""The fault really moves stock meanwhile: each level holds a number that was true at some moment of the read."""
DOUBTED = "doubted"
"""Rows contradict each other: their levels keep the old number, are called stale and wait in quarantine."""
REFUSED = "quarantined"
"""The snapshot is too small to be believed."""

Outcome = str | type[RemoteError]


@dataclass(frozen=True)
class Fault:
    """A fault and what must come of it; None: this line is not about that phase."""

    id: str
    delta: Outcome | None
    snapshot: Outcome | None
    params: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None
    skip: int = 0
    """Chances to strike that are let pass first: the fault comes in the middle."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Connection settings of the reader that meets the fault."""
    moves: int = 4
    waits_at_least: float = 0
    """Seconds that the reader was asked to wait in all."""
    strikes: bool = True
    """False: the connector never asks in the way that this fault spoils."""
    note: str = ""

    def __str__(self) -> str:
        told = [self.note] if self.note else [f"{key}={value}" for key, value in self.params.items()]
        return "-".join([self.id, *told])


IMPATIENT = {"read_timeout": 0.1}
NO_END = {"answer_timeout": 0.1}
LATE = {"seconds": 0.3}
SESSION = {"auth": "login_by_sign"}
SMALL = {"page_rows": 60}
OF_STOCK = {"set": "A_MatlStkInAcctMod"}
OF_INVENTORY = {"form": "STK_Inventory"}
DOOMSDAY = {"retry_after": "Wed, 21 Oct 2099 07:28:00 GMT"}

SAP = [
    Fault("auth-401", AuthFailed, AuthFailed),
    Fault("role-403", AuthFailed, AuthFailed),
    Fault("service-inactive-403", Rejected, Rejected),
    Fault("html-503", Unavailable, Unavailable),
    Fault("html-503", Unavailable, Unavailable, params={"status": 500}),
    Fault("html-503", EXACT, EXACT, times=2, note="passing"),
    Fault("html-503", None, Unavailable, skip=4, note="in the middle"),
    Fault("html-200", Unavailable, Unavailable),
    Fault("html-200", None, Unavailable, skip=4, note="in the middle"),
    Fault("auth-401", None, AuthFailed, skip=4, note="in the middle"),
    Fault("cut-gzip", Unavailable, Unavailable),
    Fault("cut-gzip", EXACT, EXACT, times=1, note="passing"),
    Fault("cut-gzip", None, EXACT, times=1, skip=4, note="passing in the middle"),
    Fault("connection-cut", Unavailable, Unavailable),
    Fault("connection-cut", EXACT, EXACT, times=1, note="passing"),
    Fault("drip", Unavailable, Unavailable, settings=NO_END),
    Fault("drip", EXACT, EXACT, times=1, settings=NO_END, note="passing"),
    Fault("latency", Unavailable, Unavailable, params=LATE, settings=IMPATIENT),
    Fault("slow", Unavailable, Unavailable, params=LATE, settings=IMPATIENT),
    Fault("slow", EXACT, EXACT, params={"seconds": 0.01}, note="bearable"),
    # volume and paging; the stand-in gives 25 rows at most
    Fault("next-loop", ProtocolViolation, EXACT, moves=30),
    Fault("top-capped", EXACT, EXACT, params={"cap": 20}, moves=30),
    Fault("rows-move-between-pages", None, MOVING, times=1, skip=1),
    Fault("rows-move-between-pages", None, MOVING, params={"change": "appear"}, times=1, skip=2),
    Fault("documents-taken-back", MOVING, MOVING, times=1),
    Fault("documents-taken-back", MOVING, MOVING, times=1, skip=1, note="in the middle"),
    Fault("snapshot-truncated", EXACT, EXACT, moves=30),
    Fault("empty-answer", Truncated, REFUSED),
    Fault("empty-answer", Truncated, REFUSED, params=OF_STOCK),
    Fault("empty-answer", EXACT, REFUSED, params=OF_STOCK, times=1, note="passing"),
    Fault("empty-answer", None, Truncated, params=OF_STOCK, times=1, skip=2, note="in the middle"),
    Fault("shrunk-answer", None, REFUSED, params={"share": 0.9}),
    Fault("rows-withheld", Truncated, Truncated, params={**OF_STOCK, "share": 0.6}, moves=30),
    Fault("negative-quantity", MOVING, MOVING, times=1),
    # payload
    Fault("bad-utf8", Unavailable, Unavailable),
    Fault("bad-utf8", EXACT, EXACT, times=1, note="passing"),
    Fault("wrong-type", EXACT, EXACT),
    Fault("deep-json", ProtocolViolation, ProtocolViolation),
    Fault("decimal-noise", EXACT, EXACT),
    Fault("decimal-exponent", EXACT, EXACT),
    Fault("decimal-as-number", EXACT, EXACT),
    Fault("decimal-trailing-zeros", EXACT, EXACT),
    Fault("count-as-number", EXACT, EXACT),
    Fault("date-with-offset", EXACT, EXACT),
    Fault("date-with-offset", EXACT, EXACT, params={"minutes": -300}),
    Fault("null-for-empty", EXACT, EXACT),
    Fault("numc-zero", EXACT, EXACT),
    Fault("sap-message", EXACT, EXACT),
    # rate
    Fault("rate-429", RateLimited, RateLimited, params={"retry_after": 7}, waits_at_least=21),
    Fault("rate-429", EXACT, EXACT, params={"retry_after": 7}, times=2, waits_at_least=14, note="passing"),
    Fault("rate-429", RateLimited, RateLimited, params=DOOMSDAY, waits_at_least=180, note="until 2099"),
    Fault("rate-429", RateLimited, RateLimited, params={"retry_after": "soon"}),
    Fault("busy-503", RateLimited, RateLimited, params={"retry_after": 3}, waits_at_least=9),
    Fault("busy-503", EXACT, EXACT, params={"retry_after": 3}, times=1, waits_at_least=3, note="passing"),
]
SAP_WRITING = {"csrf-expired", "cookie-lost", "lock-400", "lost-201"}
SAP_ELSEWHERE = {"late-commit", "future-entry-time"}

KINGDEE = [
    Fault("auth-lost", AuthFailed, AuthFailed),
    Fault("auth-lost", AuthFailed, AuthFailed, settings={"query_service": "ExecuteBillQuery"}, note="by position"),
    Fault("auth-lost", AuthFailed, AuthFailed, settings=SESSION, note="session"),
    Fault("auth-lost", EXACT, EXACT, times=1, settings=SESSION, note="session passing"),
    Fault("thirty-passport", AuthFailed, AuthFailed),
    Fault("login-result", AuthFailed, AuthFailed, settings=SESSION),
    Fault("login-result", AuthFailed, AuthFailed, params={"type": -6}, settings=SESSION),
    Fault("sid-hides-secret", EXACT, EXACT, strikes=False, note="no session is sent with a signature"),
    Fault("sid-rotation", EXACT, EXACT, settings=SESSION),
    Fault("hollow-sid", EXACT, EXACT),
    Fault("hollow-sid", EXACT, EXACT, settings=SESSION, note="session"),
    Fault("set-cookie-comma", EXACT, EXACT, settings=SESSION),
    Fault("session-expires", AuthFailed, AuthFailed, settings=SESSION),
    Fault("session-expires", EXACT, EXACT, times=1, settings=SESSION, note="passing"),
    Fault("session-expires", EXACT, EXACT, times=1, skip=4, settings={**SESSION, **SMALL}, note="in the middle"),
    Fault("sid-rotation", EXACT, EXACT, times=1, skip=4, settings={**SESSION, **SMALL}, note="in the middle"),
    Fault("html-200", Unavailable, Unavailable),
    Fault("html-200", Unavailable, Unavailable, skip=4, settings=SMALL, note="in the middle"),
    Fault("html-502", Unavailable, Unavailable),
    Fault("html-502", Unavailable, Unavailable, params={"status": 503}),
    Fault("html-502", AuthFailed, AuthFailed, params={"status": 401}),
    Fault("html-502", EXACT, EXACT, times=2, note="passing"),
    Fault("rate-429", RateLimited, RateLimited, params={"retry_after": 7}, waits_at_least=21),
    Fault("rate-429", EXACT, EXACT, params={"retry_after": 7}, times=2, waits_at_least=14, note="passing"),
    Fault("rate-429", RateLimited, RateLimited, params=DOOMSDAY, waits_at_least=180, note="until 2099"),
    Fault("busy-text", RateLimited, RateLimited),
    Fault("busy-text", EXACT, EXACT, times=2, note="passing"),
    Fault("response-error-text", Unavailable, Unavailable),
    Fault("response-error-text", Rejected, Rejected, params={"message": "列名 'FID' 无效"}, note="no such column"),
    Fault("slow", Unavailable, Unavailable, params=LATE, settings=IMPATIENT),
    Fault("latency", Unavailable, Unavailable, params=LATE, settings=IMPATIENT),
    Fault("connection-cut", Unavailable, Unavailable),
    Fault("connection-cut", Unavailable, Unavailable, params={"stage": "before"}),
    Fault("connection-cut", EXACT, EXACT, times=1, note="passing"),
    Fault("drip", Unavailable, Unavailable, settings=NO_END),
    Fault("drip", EXACT, EXACT, times=1, settings=NO_END, note="passing"),
    # volume
    Fault("limit-truncated", EXACT, EXACT, params={"rows": 50}),
    Fault("toprow-end-row", EXACT, EXACT, params={"rows": 80}),
    Fault("toprow-end-row", None, EXACT, params={"rows": 80}, settings=SMALL, note="small pages"),
    Fault("unstable-order", EXACT, ProtocolViolation, settings=SMALL),
    Fault("rows-move-between-pages", MOVING, MOVING, times=1),
    Fault("rows-move-between-pages", None, MOVING, times=1, skip=3, settings=SMALL, note="small pages"),
    Fault("snapshot-truncated", EXACT, EXACT, params={"share": 0.2}),
    Fault("snapshot-truncated", EXACT, EXACT, params={"share": 0.95}),
    Fault("empty-answer", Truncated, REFUSED),
    Fault("empty-answer", Truncated, REFUSED, params=OF_INVENTORY),
    Fault("empty-answer", EXACT, EXACT, params=OF_INVENTORY, times=1, skip=1, note="passing"),
    Fault("empty-answer", None, Truncated, params=OF_INVENTORY, times=1, skip=2, settings=SMALL, note="in the middle"),
    Fault("shrunk-answer", None, REFUSED),
    Fault("bills-taken-back", MOVING, MOVING, times=1),
    Fault("bills-taken-back", MOVING, MOVING, times=1, skip=5, settings=SMALL, note="in the middle"),
    # payload
    Fault("bad-utf8", Unavailable, Unavailable),
    Fault("bad-utf8", EXACT, EXACT, times=1, note="passing"),
    Fault("wrong-type", EXACT, EXACT),
    Fault("deep-json", Unavailable, Unavailable),
    Fault("error-row", Rejected, Rejected),
    Fault("error-row", None, Rejected, params=OF_INVENTORY, skip=4, settings=SMALL, note="in the middle"),
    Fault("error-row", Rejected, Rejected, settings={"query_service": "ExecuteBillQuery"}, note="by position"),
    Fault("float-noise", EXACT, EXACT),
    Fault("exponent", EXACT, EXACT),
    Fault("json-in-string", EXACT, EXACT),
    Fault("duplicate-fid", EXACT, EXACT),
    Fault("duplicate-fid", None, DOUBTED, params={"conflict": True}),
    Fault("negative-quantity", MOVING, MOVING, times=1),
]
KINGDEE_WRITING = {"partial-batch", "already-audited", "required-field", "submit-fails", "delete-entry", "locked"}
KINGDEE_ELSEWHERE = {
    "is-success-string",
    "msgcode-string",
    "password-login-refused",
    "number-repeated",
    "late-commit",
}


# One or two of each kind run with every `make test`; `make faults` runs them all.
ALWAYS = {
    "auth-401",
    "auth-lost",
    "html-200",
    "next-loop",
    "limit-truncated",
    "toprow-end-row",
    "rows-move-between-pages",
    "empty-answer",
    "shrunk-answer",
    "error-row",
    "bad-utf8",
    "rows-withheld",
    "documents-taken-back",
    "bills-taken-back",
    "duplicate-fid",
    "drip",
}


def spread(faults: Iterable[Fault]) -> Iterator[ParameterSet]:
    """Yield the faults as cases, those that only `make faults` runs marked as slow."""
    for fault in faults:
        always = fault.id in ALWAYS and not fault.note
        yield pytest.param(fault, id=str(fault), marks=() if always else pytest.mark.slow)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ErpSandbox]]:
    folder = tmp_path_factory.mktemp("erps")
    with run_sandbox("sap", folder) as sap, run_sandbox("kingdee", folder) as kingdee:
        yield {"sap": sap, "kingdee": kingdee}


@pytest.fixture(scope="module")
def only_shop(served: dict[str, ErpSandbox], fresh_database: FreshDatabase) -> Iterator[Shop]:
    """Give one hub for all faults: each test leaves it healed, so that the next may go on from there."""
    for world in served.values():
        # Nothing is posted late here, and the documents of all tests before need not be read each time.
        world.connection["overlap_seconds"] = 2
    with fresh_database() as url, closing(Database(url)) as database:
        shop = make_shop(database, served)
        shop.read_items()
        yield shop


@pytest.fixture
def shop(only_shop: Shop) -> Shop:
    for system, world in only_shop.worlds.items():
        world.faults.turn_off()
        if only_shop.feed(system).stale or only_shop.wrong(system):
            only_shop.sync(system).snapshot(accept_shrink=True)
    return only_shop


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return skip_waits(monkeypatch)


def test_every_fault_of_a_reader_is_in_the_tables() -> None:
    assert {fault.id for fault in SAP} | SAP_WRITING | SAP_ELSEWHERE == set(SAP_FAULTS)
    assert {fault.id for fault in KINGDEE} | KINGDEE_WRITING | KINGDEE_ELSEWHERE == set(KINGDEE_FAULTS)


@pytest.mark.parametrize("fault", [*spread(SAP)])
def test_sap(shop: Shop, fault: Fault, waits: list[float]) -> None:
    suffer(shop, "sap", fault, waits)


@pytest.mark.parametrize("fault", [*spread(KINGDEE)])
def test_kingdee(shop: Shop, fault: Fault, waits: list[float]) -> None:
    suffer(shop, "kingdee", fault, waits)


def suffer(shop: Shop, system: str, fault: Fault, waits: list[float]) -> None:
    shop.sync(system).delta()
    assert shop.wrong(system) == []
    for phase, expected in (("delta", fault.delta), ("snapshot", fault.snapshot)):
        if expected is None:
            continue
        waits.clear()
        meet(shop, system, fault, phase, expected)
        assert sum(waits) >= fault.waits_at_least
        heal(shop, system)
    report = shop.sync(system).snapshot()
    assert (report.state, report.changed, report.rejected) == ("applied", (), 0)
    assert shop.feed(system).error is None
    assert shop.quarantined(system) == set()
    assert shop.doubted(system) == set()
    assert shop.ledger_gaps() == []


def meet(shop: Shop, system: str, fault: Fault, phase: str, expected: Outcome) -> None:
    """Let stock move and read it while the fault is on; check what came of it."""
    world = shop.worlds[system]
    old = shop.levels(system)
    world.moves(fault.moves)
    moved = shop.truth(system)
    assert moved != old
    before = shop.feed(system)
    sync = shop.sync(system, **fault.settings)
    outcome: SyncReport | RemoteError | None
    with world.fault(fault.id, times=fault.times, skip=fault.skip, **fault.params):
        try:
            outcome = sync.delta() if phase == "delta" else sync.snapshot()
        except RemoteError as error:
            outcome = error
        left = world.faults.describe()["active"].get(fault.id)
        # a fault that has struck all its times is gone
        assert (left is None or left["struck"] > 0) is fault.strikes
    levels, now = shop.levels(system), shop.truth(system)
    wrong = {
        key: tuple(held.get(key) for held in (levels, old, moved, now))
        for key in levels.keys() | old.keys() | moved.keys() | now.keys()
        if levels.get(key) not in {old.get(key), moved.get(key), now.get(key)}
    }
    assert wrong == {}
    feed = shop.feed(system)
    if expected in {EXACT, MOVING, DOUBTED}:
        assert not isinstance(outcome, Exception), outcome
        assert outcome is not None
        assert (outcome.state, feed.failures, feed.error) == ("applied", 0, None)
        assert as_of(feed) > as_of(before)
        assert expected != EXACT or shop.wrong(system) == []
        assert bool(shop.doubted(system)) is bool(shop.quarantined(system)) is (expected == DOUBTED)
        return
    assert levels == old
    assert feed.read_at == before.read_at  # so it grows stale, however often it is tried
    if isinstance(expected, str):
        assert not isinstance(outcome, Exception), outcome
        assert outcome is not None
        assert outcome.state == expected
        assert outcome.reason
        assert shop.last_batch(system) == (expected, outcome.reason)
        assert ("snapshot", expected) in shop.quarantined(system)
        assert (feed.failures, feed.error) == (0, f"snapshot {expected}: {outcome.reason}")
    else:
        assert isinstance(outcome, expected), outcome
        assert (feed.failures, feed.error) == (1, str(outcome))
        assert phase == "delta" or shop.last_batch(system) == ("failed", str(outcome))


def as_of(feed: FeedState) -> datetime:
    assert feed.read_at is not None
    return feed.read_at


def heal(shop: Shop, system: str) -> None:
    """Look for changes with the fault off: by that alone all is true again, but for what waits in quarantine."""
    shop.sync(system).delta()
    assert {(sku, place) for place, sku, *_ in shop.wrong(system)} <= shop.doubted(system)
    feed = shop.feed(system)  # a refused snapshot shows until one is applied
    assert feed.failures == 0
    assert feed.error is None or feed.error.startswith("snapshot")


def test_documents_that_show_late_are_found(shop: Shop) -> None:
    patient = shop.sync("sap", overlap_seconds=60)
    shop.worlds["sap"].moves(5)
    patient.delta()
    with shop.worlds["sap"].fault("late-commit", seconds=30):
        shop.worlds["sap"].moves(12)
    assert shop.wrong("sap")
    patient.delta()
    assert shop.wrong("sap") == []


def test_a_document_of_the_future_hides_no_others(shop: Shop) -> None:
    world, sync = shop.worlds["sap"], shop.sync("sap")
    with world.fault("future-entry-time", seconds=3600):
        world.moves(1)
    sync.delta()
    for _ in range(2):
        assert sync.delta() is None  # what is new is met twice; after that the cursor alone says where to begin
        world.moves(5)
        assert shop.wrong("sap")
        sync.delta()
        assert shop.wrong("sap") == []


def test_items_that_lacked_in_an_answer_are_asked_for_again(shop: Shop) -> None:
    world, sync = shop.worlds["sap"], shop.sync("sap", overlap_seconds=60)
    sync.delta()
    old = shop.levels("sap")
    here, there = codes_of(LOCATIONS, "sap")[:2]
    for key in [key for key, held in sorted(world.books().items(), key=str) if key.location == here and held > 1][:12]:
        world.transfer(key, there, 1)
    with world.fault("shrunk-answer", set="A_MaterialDocumentItem", share=0.7, times=1):
        sync.delta()
    assert shop.levels("sap") != old
    assert shop.wrong("sap"), "some items lacked"
    sync.delta()
    assert shop.wrong("sap") == []


def test_a_token_that_is_withdrawn_is_fetched_anew(shop: Shop) -> None:
    world = shop.worlds["sap"]
    token = {
        "token_url": f"{world.url}/oauth/token",
        "client_id": DEMO_OAUTH_CLIENT,
        "client_secret": DEMO_OAUTH_SECRET,
    }
    sync = shop.sync("sap", user=None, password=None, **token)
    world.moves(3)
    sync.delta()
    with world.fault("auth-401", times=1, skip=3):
        assert sync.snapshot().state == "applied"
    assert shop.wrong("sap") == []


def test_a_living_session_hides_no_bad_secret(shop: Shop) -> None:
    """No session is ever sent with a signature, so the server has to look at it."""
    world = shop.worlds["kingdee"]
    good, bad = shop.sync("kingdee"), shop.sync("kingdee", **world.wrong_secret)
    with world.fault("sid-hides-secret"):
        good.delta()
        for read in (bad.delta, bad.snapshot):
            with pytest.raises(AuthFailed):
                read()
    assert shop.feed("kingdee").failures == 2
    good.snapshot()
    assert shop.feed("kingdee").failures == 0


@pytest.mark.parametrize("system", ["sap", "kingdee"])
def test_what_is_left_out_for_good_shows_too_little_until_the_next_full_read(shop: Shop, system: str) -> None:
    """The one fault that nobody can tell from sold out: the same rows are missing each time, also when asked alone.

    `max_shrink` is what bounds it; here somebody has accepted a shrinkage.
    """
    world = shop.worlds[system]
    with world.fault("shrunk-answer", share=0.2):
        report = shop.sync(system).snapshot(accept_shrink=True)
    assert report.state == "applied"
    wrong = shop.wrong(system)
    assert wrong
    assert all(held <= max(true, Decimal(0)) for *_, true, held in wrong)
    shop.sync(system).delta()
    assert shop.wrong(system) == wrong
    assert shop.sync(system).snapshot().state == "applied"
    assert shop.wrong(system) == []
    assert shop.ledger_gaps() == []


@pytest.mark.parametrize("spelling", ["is-success-string", "msgcode-string"])
@pytest.mark.parametrize(("failure", "expected"), [("auth-lost", AuthFailed), ("error-row", Rejected)])
@pytest.mark.parametrize("service", ["BillQuery", "ExecuteBillQuery"])
def test_an_error_is_an_error_however_it_is_spelt(
    shop: Shop, spelling: str, failure: str, expected: type[RemoteError], service: str
) -> None:
    old = shop.levels("kingdee")
    sync = shop.sync("kingdee", query_service=service)
    with shop.worlds["kingdee"].fault(spelling), shop.worlds["kingdee"].fault(failure):
        for read in (sync.delta, sync.snapshot):
            with pytest.raises(expected):
                read()
    assert shop.levels("kingdee") == old
    shop.sync("kingdee").snapshot()
    assert shop.wrong("kingdee") == []
