"""Read stock (即时库存) from STK_Inventory in pages of whole keys, all of it or some keys.

The table is asked for in the order of material and warehouse, behind the last pair that was read whole. All variants
of a material in a warehouse stand together in that order, so no level is ever torn between two answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.erp.kingdee.client import Query
from connectors.erp.kingdee.delta import STOCK_FORM
from connectors.erp.kingdee.filters import LONGEST_FILTER, all_of, any_of, ascending, chunks, one_of
from connectors.erp.kingdee.mapper import MATERIAL, ROW_ID, material_of
from hub.contracts import StockPage
from hub.errors import Truncated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from connectors.erp.kingdee.mapper import KingdeeMapper
    from connectors.erp.kingdee.pages import PageReader
    from hub.contracts import StockKey

LOCATION = "FStockId.FNumber"
STOCK_ORG = "FStockOrgId.FNumber"

_KEYSET_ROOM = 600
"""Characters that "behind this material and warehouse" takes of a filter, for numbers of up to 150 characters."""
_AND = " AND "
_JOINT = len(" AND  IN ()")
"""What joins conditions, at its longest; rather more than an OR takes."""


class StockReader:
    """Reads the stock of one connection."""

    def __init__(
        self, reader: PageReader, mapper: KingdeeMapper, locations: Collection[str], organisations: Collection[str]
    ) -> None:
        self._reader = reader
        self._mapper = mapper
        self._locations = sorted(set(locations))
        self._organisations = one_of(STOCK_ORG, sorted(organisations)) if organisations else ""
        self._fields = tuple(dict.fromkeys([ROW_ID, MATERIAL, LOCATION, *mapper.stock.source_fields]))

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields that are asked for: those of the mapping file, and those that paging needs."""
        return self._fields

    def pages(self, keys: Collection[StockKey] | None) -> Iterator[StockPage]:
        """Yield pages of whole keys; nothing is asked of the server before its page is asked for.

        With `keys`, all variants of their materials at their locations come back.

        Raises:
            Truncated: the keys have no row, and no other row can be seen either.
        """
        filters = self._for_locations() if keys is None else self._for_keys(keys)
        where = next(filters, None)
        blind = keys is not None and bool(self._locations)
        while where is not None:
            following = next(filters, None)
            for raw_rows, complete in self._reader.whole_groups(
                Query(STOCK_FORM, self._fields, order="", where=where), (MATERIAL, LOCATION), unique=(ROW_ID,)
            ):
                blind = blind and not raw_rows
                if blind and complete and following is None:
                    self._refuse_blindness()
                mapped = self._mapper.parse_stock(raw_rows)
                yield StockPage(mapped.rows, mapped.rejected, complete=complete and following is None)
            if following is None:
                return
            where = following
        yield StockPage((), complete=True)

    def _refuse_blindness(self) -> None:
        """Refuse to take keys for sold out when all stock is out of sight: data permissions filter without a word."""
        anywhere = (Query(STOCK_FORM, (ROW_ID,), ascending(ROW_ID), where) for where in self._for_locations())
        if any(self._reader.has_rows(question) for question in anywhere):
            return
        raise Truncated(
            "no stock at all can be seen; give the user data permission for STK_Inventory and its organisations",
            system=self._reader.system,
            operation=f"read {STOCK_FORM}",
        )

    def _for_locations(self) -> Iterator[str]:
        room = LONGEST_FILTER - _KEYSET_ROOM - len(self._organisations) - len(LOCATION)
        for some in chunks(self._locations, room=room):
            yield all_of(one_of(LOCATION, some), self._organisations)

    def _for_keys(self, keys: Iterable[StockKey]) -> Iterator[str]:
        """Yield conditions that together name each key's material at its place, as few as the filter's length allows.

        What moves within a second or two is few materials in many shops: a question for each shop would take longer
        than all else together.
        """
        wanted: dict[str, set[str]] = {}
        for key in keys:
            wanted.setdefault(key.location, set()).add(material_of(key.item))
        room = LONGEST_FILTER - _KEYSET_ROOM - len(self._organisations) - len(_AND)
        together: list[str] = []
        for clause in self._clauses(wanted, room):
            if together and sum(map(len, together)) + len(together) * _JOINT + len(clause) > room:
                yield all_of(any_of(*together), self._organisations)
                together = []
            together.append(clause)
        if together:
            yield all_of(any_of(*together), self._organisations)

    def _clauses(self, wanted: Mapping[str, Collection[str]], room: int) -> Iterator[str]:
        for location in sorted(wanted):
            at_location = one_of(LOCATION, [location])
            for some in chunks(sorted(wanted[location]), room=room - len(at_location) - len(MATERIAL) - _JOINT):
                yield f"({all_of(at_location, one_of(MATERIAL, some))})"
