"""Every recording of a real system is played to its connector: it is read whole, each row is mapped or refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from connectors.recording.walk import walk
from hub.contracts import StockStatus
from tests.recorded.replay import HERE, NotRecordedError, find_recordings, load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recorded.replay import Recording


@pytest.fixture(scope="module", params=find_recordings(), ids=lambda folder: str(folder.relative_to(HERE)))
def recording(request: pytest.FixtureRequest) -> Recording:
    return load(request.param)


def test_there_is_a_recording_of_each_sandbox() -> None:
    assert {HERE / "sap" / "sandbox", HERE / "kingdee" / "sandbox"} <= set(find_recordings())


def test_a_recording_is_read_as_it_was_when_it_was_made(recording: Recording) -> None:
    extent = recording.manifest["walk"]
    assert walk(recording.connect(), pages=extent["pages"], items=extent["items"]) == recording.manifest["found"]


def test_every_row_of_stock_is_mapped_or_refused_with_a_reason(recording: Recording) -> None:
    connector = recording.connect()
    pages, whole = recording.manifest["walk"]["pages"], recording.manifest["found"]["stock"]["complete"]
    seen: set[str] = set()
    for number, page in enumerate(connector.iter_stock(), start=1):
        assert page.complete is (whole and number == recording.manifest["found"]["stock"]["pages"])
        for row in page.rows:
            assert row.item
            assert row.location in recording.manifest["locations"]
            assert row.row_id not in seen
            assert isinstance(row.quantity, Decimal)
            assert isinstance(row.status, StockStatus)
            seen.add(row.row_id)
        assert all(entry.reason and entry.detail and entry.raw for entry in page.rejected)
        if number == pages:
            break
    assert seen


def test_what_stands_in_a_recording_is_told_by_its_readme(recording: Recording) -> None:
    text = (recording.folder / "README.md").read_text(encoding="utf-8")
    assert "Look through the files" in text
    assert recording.system in text
    assert ("own sandbox" in text) is (recording.folder.name == "sandbox")
    if recording.folder.name == "sandbox":
        assert sum(file.stat().st_size for file in recording.folder.iterdir()) < 200_000


def test_what_was_never_asked_has_no_answer(tmp_path: Path) -> None:
    source = load(HERE / "sap" / "sandbox")
    (tmp_path / "recording.json").write_text(json.dumps(source.manifest), encoding="utf-8")
    with pytest.raises(NotRecordedError):
        load(tmp_path).connect().check()
