"""The read side of Kingdee K/3 Cloud as the hub asks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from connectors.erp.kingdee.check import FormUse, SelfCheck
from connectors.erp.kingdee.delta import STOCK_FORM, STOCK_STREAM, ChangeReader
from connectors.erp.kingdee.items import LOCATION_FORM, MATERIAL_FORM, NUMBER, ItemReader
from connectors.erp.kingdee.mapper import ROW_ID
from connectors.erp.kingdee.pages import PageReader
from connectors.erp.kingdee.stock import StockReader
from hub.contracts import ErpTraits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from connectors.erp.kingdee.client import KingdeeClient
    from connectors.erp.kingdee.mapper import KingdeeMapper
    from connectors.erp.kingdee.settings import KingdeeSettings
    from hub.contracts import Changes, CheckResult, Cursor, ItemPage, LocationRecord, StockKey, StockPage

# Stock is physical: an order changes nothing until its outbound bill is audited (过账点: 审核; a tenant may move
# the point to saving, which is earlier and so does no harm), and un-auditing (反审核) takes it back, as a routine.
TRAITS = ErpTraits(
    quantity_basis="physical", posting_point="audited outbound bill (销售出库单, 过账点: 审核)", takes_back=True
)


class KingdeeConnector:
    """One K/3 Cloud tenant as `hub.contracts.ErpConnector`.

    Attributes:
        source: the connection's name in the hub.
        traits: what the stock rules must know.
        mapping_version: the versions of all mapping files in force, joined.
    """

    def __init__(
        self,
        source: str,
        settings: KingdeeSettings,
        client: KingdeeClient,
        mapper: KingdeeMapper,
        *,
        locations: Collection[str],
    ) -> None:
        self.source = source
        self.traits = TRAITS
        self.mapping_version = mapper.version
        self._settings = settings
        self._mapper = mapper
        self._client = client
        self._reader = PageReader(client, settings.page_rows)
        self._stock = StockReader(self._reader, mapper, locations, settings.stock_org_numbers)
        self._items = ItemReader(self._reader, mapper, settings)
        overlap = timedelta(seconds=settings.overlap_seconds)
        self._changes = ChangeReader(client, self._reader, mapper, settings.movement_forms, overlap)

    def check(self) -> Sequence[CheckResult]:
        """Ask the server whether sign-in, forms, fields, page size and time zone are all right."""
        return SelfCheck(self._client, self._reader, self._settings, tuple(self._forms())).run()

    def iter_stock(self, keys: Collection[StockKey] | None = None) -> Iterator[StockPage]:
        """Read the stock of all configured locations, or of `keys`, in pages of whole keys.

        Raises:
            RemoteError: while a page is asked for; the pages before it are no complete read.
        """
        return self._stock.pages(keys)

    def changed_keys(self, cursor: Cursor | None) -> Changes:
        """Name the keys that may have changed since `cursor`; None starts from now and names nothing.

        Costs one request per watched form, and one more for each whose answer might be cut short.
        """
        return self._changes.changed_keys(cursor)

    def get_items(self) -> Iterator[ItemPage]:
        """Read all articles: each variant that the barcode master names, else the material."""
        return self._items.pages()

    def get_locations(self) -> Sequence[LocationRecord]:
        """Read all usable warehouses."""
        return self._items.locations()

    def _forms(self) -> Iterator[FormUse]:
        stock = dict.fromkeys([*self._stock.fields, *self._mapper.moved_stock.source_fields, *STOCK_STREAM.changed])
        yield FormUse(STOCK_FORM, tuple(stock), ROW_ID, "stock.yaml or moved_stock.yaml")
        yield FormUse(MATERIAL_FORM, self._items.material_fields, NUMBER, "article.yaml or article_barcode.yaml")
        yield FormUse(LOCATION_FORM, self._items.location_fields, NUMBER, "location.yaml")
        if (form := self._settings.barcode_form) is not None:
            advice = "barcode.yaml, variant.yaml or barcode_form in the settings (null: the tenant has none)"
            yield FormUse(form.form, self._items.barcode_fields, form.key, advice)
        for watched in self._settings.movement_forms:
            mapped = [field for mapping in self._mapper.moved(watched) for field in mapping.source_fields]
            fields = tuple(dict.fromkeys([*watched.row_id, *watched.changed, *mapped]))
            files = ", ".join(f"{name}.yaml" for name in watched.mappings)
            yield FormUse(watched.form, fields, watched.row_id[0], f"{files} or movement_forms in the settings")
