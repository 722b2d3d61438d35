"""Every declared fault has an effect that a client can see, and goes away when it is spent."""

from __future__ import annotations

import itertools
import json
import re
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.erp.sap.auth import DEMO_OAUTH_CLIENT, DEMO_OAUTH_SECRET
from sandbox.erp.sap.faults import FAULTS
from tests.sandbox.sap.client import DOCUMENTS, PRODUCTS, ROOT, SECONDS, STOCK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.sap.client import SapUser

SET = f"{STOCK}/A_MatlStkInAcctMod"
HEADERS = f"{DOCUMENTS}/A_MaterialDocumentHeader"
QUANTITY = "MatlWrhsStkQtyInMatlBaseUnit"


def key_of(row: dict[str, Any]) -> str:
    return str(row["__metadata"]["uri"])


def documents(sap: SapUser) -> int:
    return int(sap.world("info").json()["counts"]["material_documents"])


def auth_401(sap: SapUser) -> None:
    token = requests.post(
        f"{sap.url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(DEMO_OAUTH_CLIENT, DEMO_OAUTH_SECRET),
        timeout=SECONDS,
    ).json()["access_token"]
    sap.fault("auth-401", times=1)

    assert sap.get(SET).status_code == 401
    assert sap.get(SET).status_code == 200
    bearer = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    assert requests.get(f"{sap.url}{ROOT}/{SET}", headers=bearer, timeout=SECONDS).status_code == 401


def role_403(sap: SapUser) -> None:
    sap.fault("role-403", times=1)
    answer = sap.get(SET)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] != "/IWFND/MED/170"


def service_inactive_403(sap: SapUser) -> None:
    sap.fault("service-inactive-403", times=1)
    answer = sap.get(SET)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "/IWFND/MED/170")


def csrf_expired(sap: SapUser) -> None:
    token = sap.token()
    sap.fault("csrf-expired", times=1)
    answer = sap.post(HEADERS, {}, token=token)
    assert (answer.status_code, answer.headers["x-csrf-token"]) == (403, "Required")
    assert sap.token() != token
    assert sap.issue("100001").status_code in {201, 400}


def cookie_lost(sap: SapUser) -> None:
    sap.fault("cookie-lost", times=1)
    token = sap.token()
    assert not sap.session.cookies
    assert sap.post(HEADERS, {}, token=token).status_code == 403
    assert sap.post(HEADERS, {}).status_code == 400


def html_503(sap: SapUser) -> None:
    sap.fault("html-503", times=1)
    answer = sap.get(SET)
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert "retry-after" not in answer.headers


def html_200(sap: SapUser) -> None:
    sap.fault("html-200", times=1)
    answer = sap.get(SET)
    assert answer.status_code == 200
    assert answer.text.startswith("<html>")


def cut_gzip(sap: SapUser) -> None:
    whole = sap.get(SET)
    assert whole.headers["content-encoding"] == "gzip"
    sap.fault("cut-gzip", times=1)
    answer = sap.get(SET)
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.content) < len(whole.content)
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)


def connection_cut(sap: SapUser) -> None:
    sap.fault("connection-cut", times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        sap.get(SET)


def latency(sap: SapUser) -> None:
    sap.fault("latency", times=1, seconds=0.4)
    start = time.monotonic()
    sap.get(f"{SET}/$count")
    assert time.monotonic() - start >= 0.4


def slow(sap: SapUser) -> None:
    sap.fault("slow", times=1, seconds=0.4)
    start = time.monotonic()
    answer = sap.session.get(
        f"{sap.url}{ROOT}/{SET}", headers={"Accept-Encoding": "identity"}, stream=True, timeout=SECONDS,
    )  # fmt: skip
    assert time.monotonic() - start < 0.4
    assert answer.json()["d"]["results"]
    assert time.monotonic() - start >= 0.4


def drip(sap: SapUser) -> None:
    sap.fault("drip", times=1, seconds=0.001)
    with sap.session.get(f"{sap.url}{ROOT}/{SET}", params={"$top": "1"}, timeout=SECONDS, stream=True) as answer:
        received = b"".join(itertools.islice(answer.iter_content(1), 2000))
    assert answer.status_code == 200
    assert len(json.loads(received)["d"]["results"]) == 1
    assert received.endswith(b"  ")


def next_loop(sap: SapUser) -> None:
    sap.fault("next-loop", times=1)
    first, second, *_ = sap.pages(SET)
    assert first == second


def top_capped(sap: SapUser) -> None:
    sap.fault("top-capped", times=1, cap=7)
    data = sap.get(SET, top="60").json()["d"]
    assert len(data["results"]) == 7
    assert "__next" not in data


def rows_move_between_pages(sap: SapUser) -> None:
    before = {key_of(row) for row in sap.all_rows(SET)}
    sap.fault("rows-move-between-pages", times=1)
    vanished = [key_of(row) for row in sap.all_rows(SET)]
    assert len(before - set(vanished)) == 1
    assert documents(sap) == len(sap.all_rows(HEADERS))

    sap.fault("rows-move-between-pages", times=1, change="appear")
    appeared = [key_of(row) for row in sap.all_rows(SET)]
    assert len(appeared) == len(set(appeared)) + 1


def snapshot_truncated(sap: SapUser) -> None:
    whole = len(sap.all_rows(SET))
    sap.fault("snapshot-truncated", times=1)
    pages = sap.pages(SET, inlinecount="allpages")
    assert len(pages) == 1
    assert len(pages[0]) < whole


def empty_answer(sap: SapUser) -> None:
    sap.fault("empty-answer", times=1)
    assert sap.rows(SET) == []
    assert sap.rows(SET)


def shrunk_answer(sap: SapUser) -> None:
    whole = {key_of(row) for row in sap.all_rows(SET)}
    sap.fault("shrunk-answer", share=0.7)
    part = {key_of(row) for row in sap.all_rows(SET)}
    assert part < whole
    assert 0.2 < len(part) / len(whole) < 0.4


def rows_withheld(sap: SapUser) -> None:
    sap.fault("rows-withheld", times=1, share=0.5)
    answer = sap.get(SET, inlinecount="allpages", top="40").json()["d"]
    assert len(sap.rows(SET, top="40")) == 40
    whole = len(sap.all_rows(SET))
    assert int(answer["__count"]) == whole
    keys = [key_of(row) for row in answer["results"]]
    assert keys != [key_of(row) for row in sap.rows(SET, top="40")]


def documents_taken_back(sap: SapUser) -> None:
    before, count = sap.totals(), documents(sap)
    sap.fault("documents-taken-back", times=2)
    sap.rows(SET, top="1")
    assert documents(sap) == count + 1
    assert sap.totals() != before
    sap.rows(HEADERS, top="1")
    assert documents(sap) == count + 2
    assert sap.totals() == before


def negative_quantity(sap: SapUser) -> None:
    def below_zero() -> int:
        return sum(Decimal(row[QUANTITY]) < 0 for row in sap.all_rows(SET))

    before = below_zero()
    sap.fault("negative-quantity", times=1)
    sap.rows(SET, top="1")
    assert below_zero() == before + 1


def bad_utf8(sap: SapUser) -> None:
    sap.fault("bad-utf8", times=1)
    with pytest.raises(UnicodeDecodeError):
        sap.get(SET, top="5").content.decode()


def wrong_type(sap: SapUser) -> None:
    sap.fault("wrong-type", times=1)
    answer = sap.get(SET, top="5")
    assert answer.headers["content-type"].startswith("text/html")
    assert len(answer.json()["d"]["results"]) == 5


def deep_json(sap: SapUser) -> None:
    sap.fault("deep-json", times=1)
    with pytest.raises(RecursionError):
        json.loads(sap.get(SET).content)


def decimal_noise(sap: SapUser) -> None:
    plain = sap.rows(SET, top="1")[0][QUANTITY]
    sap.fault("decimal-noise", times=1)
    noisy = sap.rows(SET, top="1")[0][QUANTITY]
    assert isinstance(noisy, float)
    assert 0 < Decimal(noisy) - Decimal(plain) < Decimal("1e-9")


def decimal_exponent(sap: SapUser) -> None:
    plain = sap.rows(SET, top="1")[0][QUANTITY]
    sap.fault("decimal-exponent", times=1)
    text = sap.rows(SET, top="1")[0][QUANTITY]
    assert "E+" in text
    assert Decimal(text) == Decimal(plain)


def decimal_as_number(sap: SapUser) -> None:
    sap.fault("decimal-as-number", times=1)
    value = sap.rows(SET, filter="MaterialBaseUnit eq 'KG'")[0][QUANTITY]
    assert isinstance(value, int | float)
    assert isinstance(sap.rows(SET)[0][QUANTITY], str)


def decimal_trailing_zeros(sap: SapUser) -> None:
    sap.fault("decimal-trailing-zeros", times=1)
    assert all(re.fullmatch(r"-?\d+\.\d{3}", row[QUANTITY]) for row in sap.rows(SET))


def count_as_number(sap: SapUser) -> None:
    sap.fault("count-as-number", times=1)
    assert isinstance(sap.get(SET, inlinecount="allpages").json()["d"]["__count"], int)


def date_with_offset(sap: SapUser) -> None:
    plain = sap.rows(HEADERS, top="1")[0]["CreationDate"]
    sap.fault("date-with-offset", times=1, minutes=480)
    found = re.fullmatch(r"/Date\((\d+)\+0480\)/", sap.rows(HEADERS, top="1")[0]["CreationDate"])
    assert found is not None
    assert plain == f"/Date({int(found[1]) + 480 * 60_000})/"


def null_for_empty(sap: SapUser) -> None:
    sap.fault("null-for-empty", times=1)
    assert sap.rows(SET)[0]["Supplier"] is None
    assert sap.rows(SET)[0]["Supplier"] == ""


def numc_zero(sap: SapUser) -> None:
    sap.fault("numc-zero", times=1)
    row = sap.rows(SET)[0]
    assert (row["WBSElementInternalID"], row["SDDocumentItem"], row["SDDocument"]) == ("0", "0", "")
    uri = key_of(row).replace("SDDocumentItem=''", "SDDocumentItem='0'")
    assert sap.session.get(uri, timeout=SECONDS).status_code == 200


def lock_400(sap: SapUser) -> None:
    before = documents(sap)
    sap.fault("lock-400", times=1)
    answer = sap.issue("100001")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "56/393")
    assert documents(sap) == before


def lost_201(sap: SapUser) -> None:
    sap.move(kind="receipt", material="100001", quantity="10")
    before = documents(sap)
    sap.fault("lost-201", times=1)
    with pytest.raises(requests.exceptions.RequestException):
        sap.issue("100001")
    assert documents(sap) == before + 1
    sap.fault("lost-201", times=1, status=504)
    assert sap.issue("100001").status_code == 504
    assert documents(sap) == before + 2


def sap_message(sap: SapUser) -> None:
    sap.fault("sap-message", times=1)
    answer = sap.get(SET)
    assert answer.status_code == 200
    assert json.loads(answer.headers["sap-message"])["severity"] == "warning"


def late_commit(sap: SapUser) -> None:
    earlier = sap.move(kind="receipt", material="100001", quantity="1")
    sap.fault("late-commit", times=1, seconds=60)
    later = sap.move(kind="receipt", material="100001", quantity="1")
    assert later["created_at"] < earlier["created_at"]
    assert later["material_document"] > earlier["material_document"]


def future_entry_time(sap: SapUser) -> None:
    sap.fault("future-entry-time", times=1, seconds=60)
    early = sap.move(kind="receipt", material="100001", quantity="1")
    later = sap.move(kind="receipt", material="100001", quantity="1")
    assert later["created_at"] < early["created_at"]
    assert later["material_document"] > early["material_document"]


def rate_429(sap: SapUser) -> None:
    sap.fault("rate-429", times=1, retry_after=3)
    answer = sap.get(SET)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


def busy_503(sap: SapUser) -> None:
    sap.fault("busy-503", times=1)
    answer = sap.get(SET)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


CHECKS: dict[str, Callable[[SapUser], None]] = {
    check.__name__.replace("_", "-"): check
    for check in (
        auth_401, role_403, service_inactive_403, csrf_expired, cookie_lost, html_503, html_200, cut_gzip,
        connection_cut, latency, slow, drip, next_loop, top_capped, rows_move_between_pages, snapshot_truncated,
        empty_answer, shrunk_answer, rows_withheld, documents_taken_back, negative_quantity, bad_utf8, wrong_type,
        deep_json, decimal_noise, decimal_exponent, decimal_as_number, decimal_trailing_zeros, count_as_number,
        date_with_offset, null_for_empty, numc_zero, lock_400, lost_201, sap_message, late_commit, future_entry_time,
        rate_429, busy_503,
    )
}  # fmt: skip


@pytest.mark.parametrize("fault_id", sorted(FAULTS))
def test_the_fault_can_be_seen(sap: SapUser, fault_id: str) -> None:
    CHECKS[fault_id](sap)


def test_no_check_is_left_over() -> None:
    assert set(CHECKS) == set(FAULTS)


def test_a_fault_may_be_of_one_set_and_let_chances_pass(sap: SapUser) -> None:
    sap.fault("empty-answer", set="A_MaterialDocumentHeader", skip=1, times=1)
    assert sap.rows(SET)
    assert [bool(sap.rows(HEADERS, top="1")) for _ in range(3)] == [True, False, True]


def test_rows_move_between_pages_by_key_too(sap: SapUser) -> None:
    first = sap.rows(SET, top="2", orderby="Material")
    sap.fault("rows-move-between-pages", times=1)
    before = documents(sap)
    sap.rows(SET, filter=f"Material gt '{first[0]['Material']}'")
    assert documents(sap) == before + 1


def test_an_unknown_fault_is_refused(sap: SapUser) -> None:
    assert requests.put(f"{sap.url}/__faults/no-such-fault", json={}, timeout=SECONDS).status_code == 404


def test_without_faults_a_whole_read_equals_the_books(sap: SapUser) -> None:
    sellable = "InventoryStockType eq '01' and InventorySpecialStockType eq ''"
    sums: dict[tuple[str, str], Decimal] = {}
    for row in sap.all_rows(SET, filter=sellable):
        key = (f"{row['Plant']}/{row['StorageLocation']}", row["Material"])
        sums[key] = sums.get(key, Decimal(0)) + Decimal(row[QUANTITY])

    assert sums == {key: Decimal(value) for key, value in sap.totals().items()}
    assert len(sap.all_rows(f"{PRODUCTS}/A_Product")) == 400
