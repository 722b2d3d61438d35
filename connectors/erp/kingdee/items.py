"""Read articles: materials (物料), their variants and barcodes, and the warehouses (仓库).

A material with auxiliary properties (辅助属性, colour and size) is as many articles as the barcode master names
combinations of it. The material and the warehouse table have no FID on some versions, so they are read by number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.erp.kingdee.client import Query
from connectors.erp.kingdee.filters import equals
from connectors.erp.kingdee.mapper import Catalogue
from hub.contracts import ItemPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectors.erp.kingdee.mapper import KingdeeMapper
    from connectors.erp.kingdee.pages import PageReader
    from connectors.erp.kingdee.settings import KingdeeSettings
    from hub.contracts import LocationRecord

MATERIAL_FORM = "BD_MATERIAL"
LOCATION_FORM = "BD_STOCK"
NUMBER = "FNumber"
USING_ORG = "FUseOrgId.FNumber"


class ItemReader:
    """Reads the base data (基础资料) of one connection."""

    def __init__(self, reader: PageReader, mapper: KingdeeMapper, settings: KingdeeSettings) -> None:
        self._reader = reader
        self._mapper = mapper
        self._settings = settings

    @property
    def material_fields(self) -> tuple[str, ...]:
        """Return the fields asked for of a material."""
        return _fields(NUMBER, *self._mapper.article.source_fields, *self._mapper.article_barcode.source_fields)

    @property
    def location_fields(self) -> tuple[str, ...]:
        """Return the fields asked for of a warehouse."""
        return _fields(NUMBER, *self._mapper.location.source_fields)

    @property
    def barcode_fields(self) -> tuple[str, ...]:
        """Return the fields asked for of a barcode; none without a form of barcodes."""
        form = self._settings.barcode_form
        if form is None:
            return ()
        mapped = (*self._mapper.variant.source_fields, *self._mapper.barcode.source_fields)
        return _fields(form.key, form.material, *mapped)

    def pages(self) -> Iterator[ItemPage]:
        """Yield the articles of the configured organisation, a page of materials at a time.

        The barcode master is read first, whole: a page of articles needs the codes of all of them.
        """
        catalogue = self._fetch_catalogue()
        rejected: Sequence[Any] = catalogue.rejected
        # The same material has a row per organisation that uses it; status and name may differ between them.
        where = equals(USING_ORG, self._settings.org_number) if self._settings.org_number else ""
        question = Query(MATERIAL_FORM, self.material_fields, order="", where=where)
        for raw_rows, complete in self._reader.whole_groups(question, (NUMBER,)):
            records, refused = self._mapper.parse_articles(raw_rows, catalogue)
            yield ItemPage(records, (*rejected, *refused), complete=complete)
            rejected = ()

    def locations(self) -> list[LocationRecord]:
        """Return all usable warehouses."""
        question = Query(LOCATION_FORM, self.location_fields, order="")
        return self._mapper.parse_locations(self._rows(question, NUMBER))

    def _fetch_catalogue(self) -> Catalogue:
        form = self._settings.barcode_form
        if form is None:
            return Catalogue({}, {}, ())
        question = Query(form.form, self.barcode_fields, order="")
        return self._mapper.parse_catalogue(self._rows(question, form.key), form.material)

    def _rows(self, question: Query, key: str) -> Iterator[Mapping[str, Any]]:
        for raw_rows, _ in self._reader.whole_groups(question, (key,)):
            yield from raw_rows


def _fields(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
