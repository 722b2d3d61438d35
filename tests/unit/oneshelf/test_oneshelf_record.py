"""`oneshelf record`, as people use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from connectors.recording.walk import walk
from tests.recorded.replay import load
from tests.unit.oneshelf.test_oneshelf_cli import run_main, sandboxes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.unit.oneshelf.conftest import Run


def test_a_recording_is_written_says_what_it_is_and_can_be_played(
    run: Run, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with sandboxes(environment, tmp_path, articles=8) as urls:
        for source in urls:
            folder = tmp_path / "out" / source
            result = run("record", source, str(folder), "--pages", "2", "--page-rows", "60", "--places", "2")
            assert result.exit_code == 0, result.output
            assert "Look through the files before you hand them out" in result.stdout
            text = (folder / "README.md").read_text(encoding="utf-8")
            assert f"A recording of a {source} system" in text
            manifest = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
            assert manifest["walk"] == {"pages": 2, "items": True}
            assert len(manifest["locations"]) == 2
            assert manifest["settings"]["page_rows"] == 60
            assert manifest["settings"]["overlap_seconds"] == 3600
            assert "password" not in str(manifest)
            assert "app_secret" not in str(manifest)
    for source in urls:
        recording = load(tmp_path / "out" / source)
        assert walk(recording.connect(), pages=2, items=True) == recording.manifest["found"]


def test_articles_can_be_left_out(run: Run, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with sandboxes(environment, tmp_path, articles=5):
        assert run("record", "sap", str(tmp_path / "out"), "--no-items").exit_code == 0
    assert "items" not in load(tmp_path / "out").manifest["found"]


def test_what_can_not_be_recorded_is_said_in_a_line_and_leaves_nothing(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, output = run_main(environment, capsys, "record", "oracle", str(tmp_path / "out"))
    assert code == 1
    assert "no source oracle" in output
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x", encoding="utf-8")
    code, output = run_main(environment, capsys, "record", "sap", str(tmp_path / "full"))
    assert code == 1
    assert "not empty" in output
    assert [file.name for file in tmp_path.glob("*/*")] == ["mine.txt"]
