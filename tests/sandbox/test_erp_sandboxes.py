"""What a test may do with a document in every stand-in: sell under a number, take back, post again, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.erp_sandboxes import ERPS, ErpSandbox, run_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.contracts import StockKey


@pytest.fixture(scope="module", params=ERPS)
def erp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ErpSandbox]:
    with run_sandbox(request.param, tmp_path_factory.mktemp("erp")) as sandbox:
        yield sandbox


def stocked(erp: ErpSandbox) -> list[StockKey]:
    return sorted((key for key, quantity in erp.books().items() if quantity >= 5), key=str)


def test_a_sale_comes_and_goes(erp: ErpSandbox) -> None:
    key = stocked(erp)[0]
    before = erp.books()
    sold = erp.sell(key, 2, "WEB-1")
    assert erp.books()[key] == before[key] - 2
    erp.take_back(sold)
    assert erp.books() == before
    again = erp.post_again(sold)
    assert erp.books()[key] == before[key] - 2
    erp.take_back(again)
    assert erp.books() == before


def test_a_settlement_comes_and_goes_as_a_whole(erp: ErpSandbox) -> None:
    first, second = stocked(erp)[1:3]
    before = erp.books()
    day = erp.settle([(first, 1), (second, 2), (first, 3)], "Z-1")
    after = erp.books()
    assert (after[first], after[second]) == (before[first] - 4, before[second] - 2)
    erp.take_back(day)
    assert erp.books() == before


def test_a_document_is_deleted_where_that_can_be(erp: ErpSandbox) -> None:
    key = stocked(erp)[3]
    before = erp.books()
    sold = erp.sell(key, 2, "WEB-2")
    if not erp.deletes:
        with pytest.raises(AssertionError):
            erp.delete(sold)
        assert erp.books()[key] == before[key] - 2
        return
    erp.delete(sold)
    assert erp.books() == before
    erp.sell(key, 1, "WEB-2")
    assert erp.books()[key] == before[key] - 1
