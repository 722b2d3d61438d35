"""A recording in a folder: one file for each exchange, what it was made with, and a README that says what it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connectors.recording.pseudonyms import Pseudonyms
from connectors.recording.redaction import Redactor
from connectors.recording.rules import Recordable
from connectors.recording.walk import walk
from connectors.spelling import write_spelled
from hub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hub.contracts import ErpConnector

MANIFEST = "recording.json"
_FORMAT = 1
_SHORTEST_SECRET = 4


def record(
    connector: ErpConnector,
    folder: Path,
    locations: Sequence[str],
    *,
    pages: int,
    items: bool,
    about: Mapping[str, str],
) -> dict[str, Any]:
    """Walk the read paths through the real system and write what was exchanged, redacted; returns what came of it.

    Args:
        folder: is made, or empty.
        locations: the codes that the connector reads.
        pages: of stock, and of articles, at most.
        items: read articles at all.
        about: versions of whatever made it.

    Raises:
        ConfigError: the transport can't be recorded, the folder holds something, or a setting's value came through
            the redaction; then nothing is written.
        RemoteError: the ERP misbehaves.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError("the folder is not empty; a recording needs one of its own", file=str(folder))
    recorded = recordable(connector)
    rules = recorded.recording_rules
    with recorded.http.watching() as exchanges:
        found = walk(connector, pages=pages, items=items)
    private = [value for value in rules.private_values() if len(value) >= _SHORTEST_SECRET]
    redactor = Redactor(rules.vocabulary, Pseudonyms(private))
    shown = [part for exchange in exchanges if (part := rules.redact_exchange(exchange, redactor)) is not None]
    manifest = {
        "format": _FORMAT,
        **about,
        "mappings": connector.mapping_version,
        "settings": rules.redact_settings(redactor),
        "locations": [redactor.text(code) for code in locations],
        "walk": {"pages": pages, "items": items},
        "found": found,
    }
    files = {MANIFEST: write_spelled(manifest) + "\n"}
    files |= {f"{number:03d}.json": write_spelled(part) + "\n" for number, part in enumerate(shown, start=1)}
    _refuse_leaks(files, private)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return found


def recordable(connector: ErpConnector) -> Recordable:
    """Return the connector as one whose exchanges can be recorded.

    Raises:
        ConfigError: its transport can't be.
    """
    if not isinstance(connector, Recordable):
        raise ConfigError(f"{connector.source}: this transport can't be recorded; HTTP alone can")
    return connector


def _refuse_leaks(files: Mapping[str, str], private: Sequence[str]) -> None:
    """Look for the connection's own settings in all files: the second lock behind the redaction."""
    for name, text in files.items():
        if any(re.search(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])", text) for value in private):
            raise ConfigError(f"a value of the connection's settings would stand in {name}; nothing was written")
