"""What a connector tells of itself so that its exchanges can be recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pydantic import BaseModel

    from connectors.http import Exchange, HttpClient
    from connectors.recording.redaction import Redactor, Vocabulary


@dataclass(frozen=True, slots=True)
class RecordingRules:
    """How the exchanges of one connection are recorded.

    Attributes:
        vocabulary: what may stay of the system's values.
        redact_exchange: returns request and response as JSON-ready data, or None for what is never recorded, a log-in
            above all.
        settings: of the connection.
        kept: settings that stay as they are, since requests depend on them and they tell nothing of the company.
        renamed: settings that stand in requests and become pseudonyms; all others are left out.
    """

    vocabulary: Vocabulary
    redact_exchange: Callable[[Exchange, Redactor], dict[str, Any] | None]
    settings: BaseModel
    kept: Collection[str]
    renamed: Collection[str]

    def redact_settings(self, redactor: Redactor) -> dict[str, Any]:
        """Return the settings that a replay needs."""
        dumped: Mapping[str, Any] = self.settings.model_dump(mode="json", include={*self.kept, *self.renamed})
        return {name: redactor.value(name, value) if name in self.renamed else value for name, value in dumped.items()}

    def private_values(self) -> Iterator[str]:
        """Yield the texts of all other settings, secrets and hosts too: none of them may be in a recording."""
        for name, value in self.settings:
            if isinstance(value, SecretStr):
                yield value.get_secret_value()
            elif isinstance(value, str) and name not in {*self.kept, *self.renamed}:
                yield urlsplit(value).hostname or value


@runtime_checkable
class Recordable(Protocol):
    """A connector whose exchanges can be recorded."""

    @property
    def http(self) -> HttpClient:
        """Return what its requests go through."""

    @property
    def recording_rules(self) -> RecordingRules:
        """Return how they are recorded."""
