"""The differences as a table for people: one row each, as CSV and as an Excel file."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hub.reconcile.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, tzinfo

    from hub.reconcile.book import Difference

COLUMNS = (
    *("id", "state", "severity", "class", "sku", "name", "location", "subject", "what", "说明"),
    *("evidence", "found_at", "healed_at", "resolved_at", "resolved_by", "resolution"),
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def tabulate(differences: Sequence[Difference], zone: tzinfo) -> list[dict[str, str | int]]:
    """Return one row for each difference, by the names in `COLUMNS`; times are local to `zone`."""
    return [_row(difference, zone) for difference in differences]


def write_report(folder: Path, name: str, differences: Sequence[Difference], zone: tzinfo) -> tuple[Path, Path]:
    """Write `name`.csv and `name`.xlsx into a folder, in place of those that are there; return both paths."""
    import pandas as pd  # noqa: PLC0415 - takes most of a second, and most checks find nothing

    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(tabulate(differences, zone), columns=list(COLUMNS))
    table, book = folder / f"{name}.csv", folder / f"{name}.xlsx"
    # whoever has the old file open keeps it: the new one takes its place whole, whoever else writes one just now
    with TemporaryDirectory(dir=folder, prefix=".") as drafts:
        for path, write in ((table, _write_csv), (book, _write_excel)):
            draft = Path(drafts, path.name)
            write(frame, draft)
            draft.replace(path)
    return table, book


def _write_csv(frame: Any, path: Path) -> None:  # noqa: ANN401 - pandas is loaded only where it is used
    frame.to_csv(path, index=False, encoding="utf-8-sig")  # Excel takes a file without the mark for another encoding


def _write_excel(frame: Any, path: Path) -> None:  # noqa: ANN401 - as above
    with path.open("wb") as file:
        frame.to_excel(file, index=False, sheet_name="differences", engine="openpyxl")


def _row(difference: Difference, zone: tzinfo) -> dict[str, str | int]:
    words = KINDS[difference.kind]
    texts = {
        "state": difference.state,
        "severity": words.severity,
        "class": str(difference.kind),
        "sku": difference.sku,
        "name": difference.name,
        "location": difference.location,
        "subject": difference.subject,
        "what": words.english,
        "说明": words.chinese,
        "evidence": json.dumps(difference.evidence, ensure_ascii=False, sort_keys=True),
        "found_at": _local(difference.found_at, zone),
        "healed_at": _local(difference.healed_at, zone),
        "resolved_at": _local(difference.resolved_at, zone),
        "resolved_by": difference.resolved_by,
        "resolution": difference.resolution,
    }
    return {"id": difference.id, **{name: _harmless(text) for name, text in texts.items()}}


def _local(moment: datetime | None, zone: tzinfo) -> str:
    return "" if moment is None else moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula, nor refuses as not printable: it may be an ERP's."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    return f"'{clean}" if text.startswith(_FORMULA_STARTS) else clean
