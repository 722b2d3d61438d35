"""`oneshelf record`: real answers as test samples, with everything in them made up but their form."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from connectors.recording.store import record, recordable
from connectors.registry import create_erp
from hub.errors import ConfigError
from hub.locations import codes_of, load_locations

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from hub.settings import Settings

_README = """\
# A recording of a {system} system

Made by `oneshelf record` (Oneshelf {version}) from answers that a system really gave.

- What it keeps: names of services, forms and fields, the codes that our mapping files list, types, how numbers and
  times are spelled, how many rows there are, what is blank, null or below zero.
- What it does not: every other word and number is made up. The same word has the same stand-in everywhere, of the same
  length and kind of characters; the key to them was thrown away. Times are moved back by the same number of days, times
  of day stay. Log-ins, cookies, signatures, hosts and users are left out.
- Look through the files before you hand them out: names of a company's own fields and forms (`F_ABCD_Shop`,
  `ZZ1_Region`) stay, and so do the numbers of rows.

`recording.json` says what was read, with which settings, and what came of it. A folder like this one below
`tests/recorded/{system}/` is played to the connector by `tests/contracts/test_recordings.py`.
"""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is recorded.

    Attributes:
        pages: of stock, and of articles, at most.
        page_rows: rows of a page, where the connection's own setting is not lower.
        places: how many of the configured places are read.
        items: read articles at all.
        look_back: how far the look for changes goes back, in seconds.
    """

    pages: int
    page_rows: int
    places: int
    items: bool
    look_back: int


def run_record(console: Console, settings: Settings, source: str, folder: Path, extent: Extent) -> int:
    """Record the read paths of a source; returns 0.

    Raises:
        ConfigError: no such source, or as `connectors.recording.store.record`.
        RemoteError: the ERP misbehaves.
    """
    sources = settings.enabled_sources()
    if source not in sources:
        raise ConfigError(f"no source {source}; there is {', '.join(sources) or 'none'}")
    configured = sources[source]
    locations = load_locations(settings.config_dir / "locations.yaml", list(settings.sources))
    codes = sorted(codes_of(locations, source))[: extent.places]
    plain = create_erp(configured.system, source, configured.connection, codes, settings.mappings_dir)
    smaller = {
        name: min(value, extent.page_rows)
        for name, value in recordable(plain).recording_rules.settings
        if name.endswith("page_rows")
    }
    connection = {**configured.connection, **smaller, "overlap_seconds": extent.look_back}
    connector = create_erp(configured.system, source, connection, codes, settings.mappings_dir)
    about = {"system": configured.system, "oneshelf": version("oneshelf")}
    found = record(connector, folder, codes, pages=extent.pages, items=extent.items, about=about)
    readme = _README.format(system=configured.system, version=about["oneshelf"])
    (folder / "README.md").write_text(readme, encoding="utf-8")
    stock = found["stock"]
    console.print(
        f"{source}: {len(list(folder.glob('[0-9]*.json')))} exchanges in {folder}: {stock['rows']} rows of stock,"
        f" {sum(stock['rejected'].values())} rejected. Look through the files before you hand them out.",
        markup=False,
        soft_wrap=True,
    )
    return 0
