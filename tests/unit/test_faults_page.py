"""docs/faults.md names every switch of the ERPs' stand-ins, and tests that there are."""

from __future__ import annotations

import re

import pytest

from hub.settings import PROJECT_ROOT
from sandbox.erp.kingdee.faults import FAULTS as KINGDEE
from sandbox.erp.sap.faults import FAULTS as SAP
from sandbox.erp.sap_rfc.faults import FAULTS as RFC

PAGE = (PROJECT_ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("title", "declared"), [("SAP over OData", SAP), ("SAP over RFC", RFC), ("Kingdee", KINGDEE)])
def test_every_switch_has_a_line(title: str, declared: dict[str, str]) -> None:
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", section(title), re.MULTILINE) == list(declared)


def test_the_tests_it_names_are_there() -> None:
    named = set(re.findall(r"`(tests/\S+\.py)::(test_\w+)`", PAGE))
    assert named
    for file, test in named:
        assert re.search(rf"^(async )?def {test}\(", (PROJECT_ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (
            test
        )
