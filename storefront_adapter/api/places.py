"""The places that a caller names in the query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.stock.reading import is_storable
from storefront_adapter.problems import ProblemError
from storefront_adapter.texts import N_

if TYPE_CHECKING:
    from collections.abc import Collection

MOST_LOCATIONS = 1000


def wanted_locations(codes: Collection[str]) -> list[str] | None:
    """Return the location codes that a caller names, each once; None if it names none.

    Raises:
        ProblemError: a code can't be one, or there are too many.
    """
    named = list(dict.fromkeys(code for code in codes if code))
    if len(named) > MOST_LOCATIONS:
        errors = [{"pointer": "/query/location", "detail": f"at most {MOST_LOCATIONS}"}]
        raise ProblemError("validation-failed", errors=errors)
    for code in named:
        if not is_storable(code):
            raise location_not_found(code)
    return named or None


def location_not_found(code: str) -> ProblemError:
    """Return the problem of a code that no active location has."""
    return ProblemError("location-not-found", N_("No active location has the code %(code)s."), {"code": code})
