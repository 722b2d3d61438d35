"""The read side of Kingdee K/3 Cloud as the hub asks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from connectors.erp.kingdee.check import FormUse, SelfCheck
from connectors.erp.kingdee.delta import STOCK_FORM, STOCK_STREAM, ChangeReader
from connectors.erp.kingdee.documents import DocumentReader
from connectors.erp.kingdee.items import LOCATION_FORM, MATERIAL_FORM, NUMBER, ItemReader
from connectors.erp.kingdee.mapper import ROW_ID
from connectors.erp.kingdee.pages import PageReader
from connectors.erp.kingdee.probe import KingdeeProbe
from connectors.erp.kingdee.recorded import make_rules
from connectors.erp.kingdee.stock import StockReader
from hub.contracts import ErpTraits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from connectors.erp.kingdee.client import KingdeeClient
    from connectors.erp.kingdee.mapper import KingdeeMapper
    from connectors.erp.kingdee.settings import KingdeeSettings
    from connectors.http import HttpClient
    from connectors.recording.rules import RecordingRules
    from hub.contracts import (
        Changes,
        CheckResult,
        Cursor,
        ItemPage,
        LocationRecord,
        Movement,
        Posting,
        StockKey,
        StockPage,
    )
    from hub.probe import Observation, TracedRow

# Stock is physical: an order changes nothing until its outbound bill is audited (过账点: 审核; a tenant may move
# the point to saving, which is earlier and so does no harm), and un-auditing (反审核) takes it back, as a routine.
TRAITS = ErpTraits(
    quantity_basis="physical", posting_point="audited outbound bill (销售出库单, 过账点: 审核)", takes_back=True
)


class KingdeeConnector:
    """One K/3 Cloud tenant as `hub.contracts.ErpConnector` and `DocumentCheck`.

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
        self._locations = tuple(locations)
        self._reader = PageReader(client, settings.page_rows)
        self._stock = StockReader(self._reader, mapper, locations, settings.stock_org_numbers)
        self._items = ItemReader(self._reader, mapper, settings)
        overlap = timedelta(seconds=settings.overlap_seconds)
        self._changes = ChangeReader(client, self._reader, mapper, settings.movement_forms, overlap)
        self._documents = DocumentReader(self._reader, mapper, settings.movement_forms)

    def check(self) -> Sequence[CheckResult]:
        """Ask the server whether sign-in, forms, fields, page size and time zone are all right."""
        return SelfCheck(self._client, self._reader, self._settings, tuple(self._forms())).run()

    @property
    def http(self) -> HttpClient:
        """Return what the requests go through."""
        return self._client.http

    @property
    def recording_rules(self) -> RecordingRules:
        """Return how exchanges with this system are recorded."""
        return make_rules(self._mapper, self._settings)

    def probe(self) -> Iterator[Observation]:
        """Look at what this tenant does otherwise than documented (`hub.probe.LiveProbe`)."""
        return self._make_probe().observe()

    def trace(self, item: str | None) -> Sequence[TracedRow]:
        """Read all stock rows of one article's material and say what becomes of each."""
        return self._make_probe().trace(item)

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

    def read_documents(self, documents: Collection[str]) -> Sequence[Posting]:
        """Return how the lines stand whose documents (`FORM/FID/ENTRYID`) are asked for; those gone are absent.

        Costs one request per form and some hundred bills, and one more for those of which something is absent.
        """
        return self._documents.read(documents)

    def movements(self, keys: Collection[StockKey], since: datetime) -> Sequence[Movement]:
        """Return the lines of bills that were changed or approved since a moment (aware) and moved one of `keys`.

        Costs one request per watched form and some hundred materials.
        """
        return self._documents.read_movements(keys, since, ZoneInfo(self._settings.time_zone))

    def get_items(self) -> Iterator[ItemPage]:
        """Read all articles: each variant that the barcode master names, else the material."""
        return self._items.pages()

    def get_locations(self) -> Sequence[LocationRecord]:
        """Read all usable warehouses."""
        return self._items.locations()

    def _make_probe(self) -> KingdeeProbe:
        fields = self._stock.fields
        return KingdeeProbe(self._client, self._mapper, self._settings, fields, self._items, self._locations)

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
