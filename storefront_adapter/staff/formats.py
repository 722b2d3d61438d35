"""How numbers, times and ages read on the staff page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from babel.numbers import format_decimal

from hub.clock import utc_now
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from storefront_adapter.texts import Language

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# texts stand as they are in the templates' data attributes too: the script counts on when the server is out of reach
AGES: tuple[tuple[str, int, str], ...] = (
    ("days", _DAY, N_("%(n)s d ago")),
    ("hours", _HOUR, N_("%(n)s h ago")),
    ("minutes", _MINUTE, N_("%(n)s min ago")),
    ("seconds", 1, N_("%(n)s s ago")),
)
STATUSES: Mapping[str, str] = {
    "quality": N_("Quality check"),
    "blocked": N_("Blocked"),
    "returns": N_("Returned"),
    "transit": N_("In transit"),
    "reserved": N_("Set aside"),
    "other": N_("Other"),
    "expiring": N_("Near expiry"),
    "consigned": N_("Consigned"),
}
"""Stock statuses that can't be sold, and consigned goods, in words of the shop floor."""
KINDS: Mapping[str, str] = {
    "base": N_("On the ERP's books"),
    "demand": N_("Sold, not yet on the books"),
    "supply": N_("Come in, not yet on the books"),
    "reservation": N_("Held for a cart"),
    "safety_stock": N_("Safety stock"),
    "buffer": N_("Buffer"),
    "frozen": N_("Being counted"),
}
"""The terms of a number."""
CAUSES: Mapping[str, str] = {
    "snapshot": N_("Complete read"),
    "delta": N_("Read after a change"),
    "push": N_("Read after a push"),
    "refresh": N_("Read on request"),
    "order": N_("Order"),
    "sale": N_("Store sale"),
    "transfer": N_("Transfer"),
    "return": N_("Return"),
    "count": N_("Stocktake"),
    "others": N_("All others together"),
}
"""What made a term."""


@dataclass(frozen=True, slots=True)
class Formats:
    """Formats in one language and time zone."""

    language: Language
    time_zone: str

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)  # the standard library keeps zones once they are read

    def quantity(self, value: Decimal) -> str:
        """Return a quantity with digit groups, a true minus sign and no trailing zeros."""
        text: str = format_decimal(value, format="#,##0.######", locale=self.language.locale)
        return text.replace("-", "−")

    def count(self, value: int) -> str:
        """Return a whole number with digit groups."""
        text: str = format_decimal(value, locale=self.language.locale)
        return text

    def time(self, value: datetime | None) -> str:
        """Return date and time in the configured zone."""
        if value is None:
            return "–"
        return value.astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def age(self, value: datetime | None) -> str:
        """Return how long ago it was, in the largest whole unit."""
        if value is None:
            return self.language.text(N_("never read"))
        seconds = max(0, int((utc_now() - value).total_seconds()))
        for _, size, text in AGES:
            if seconds >= size:
                return self.language.text(text, n=seconds // size)
        return self.language.text(N_("just now"))

    def status(self, code: str) -> str:
        """Return a stock status in words; one that is not known stays as it is."""
        return self._words(STATUSES, code)

    def kind(self, code: str) -> str:
        """Return the kind of a term in words."""
        return self._words(KINDS, code)

    def cause(self, code: str) -> str:
        """Return the cause of a term in words; one that is not known stays as it is."""
        return self._words(CAUSES, code)

    def _words(self, words: Mapping[str, str], code: str) -> str:
        return self.language.text(words[code]) if code in words else code


def epoch(value: datetime | None) -> str:
    """Return a time as seconds for the page's script, empty for none."""
    return "" if value is None else str(round(value.timestamp(), 1))
