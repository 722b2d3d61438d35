"""From the rows of SAP's tables to hub records, through the mapping files; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.odata import exact_quotient
from connectors.erp.sap.records import ADDED, build_item, choose_name, map_barcodes, reject
from connectors.erp.sap.rfc.tables import DOCUMENTS, MATERIALS
from hub.errors import ConfigError, ProtocolViolation, RecordError
from hub.mapping import MovedKey, load_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from connectors.erp.sap.rfc.keys import MaterialNumbers
    from connectors.erp.sap.rfc.tables import Row, Table
    from hub.contracts import ItemRecord, LocationRecord, Rejection, StockRow
    from hub.mapping import ArticleRow
    from hub.mapping import Mapping as MappingFile

_FILES = ("stock", "batch", "article", "barcode", "movement", "location")
_QUANTITIES = "quantities"
_SAP_LANGUAGES = {
    "ZH": "1",
    "ZF": "M",
    "EN": "E",
    "DE": "D",
    "FR": "F",
    "JA": "J",
    "KO": "3",
    "ES": "S",
    "IT": "I",
    "PT": "P",
    "RU": "R",
    "NL": "N",
    "TH": "2",
}
"""SAP's one-letter language keys (table T002) of the languages that have one of their own."""


class RfcMapper:
    """The mapping files of this transport.

    Args:
        folder: holds the files, named as the tables' purpose.
        languages: of article names as ISO 639-1, the best first; any other comes after them.
        numbers: how material numbers are stored, to prove that the files read them back.

    Raises:
        MappingError: a file is refused.
        ConfigError: a stock file lacks its table of quantities.
    """

    def __init__(self, folder: Path, languages: Sequence[str], numbers: MaterialNumbers) -> None:
        files = [load_mapping(folder / f"{name}.yaml") for name in _FILES]
        self.stock, self.batch, self.article, self.barcode, self.movement, self.location = files
        self.version = " ".join(f"rfc/{mapping.version}" for mapping in files)
        self._languages = [_SAP_LANGUAGES.get(language, language) for language in languages]
        self._numbers = numbers
        for mapping in (self.stock, self.batch):
            if _QUANTITIES not in mapping.spec.tables:
                raise ConfigError(
                    "needs a table `quantities`: which field holds stock of which status", file=mapping.file
                )

    def parse_levels(self, rows: Iterable[Row], materials: Mapping[str, Row]) -> tuple[list[StockRow], list[Rejection]]:
        """Map rows of MARD: each quantity in a row becomes a record."""
        return self._parse_quantities(
            self.stock, ({**row, MATERIALS.name: materials.get(row["MATNR"], {})} for row in rows), {}
        )

    def parse_lots(
        self, rows: Iterable[Row], materials: Mapping[str, Row], expiry: Mapping[tuple[str, ...], str]
    ) -> tuple[list[StockRow], list[Rejection]]:
        """Map rows of MCHB: each quantity in a row becomes a record.

        Args:
            expiry: SAP's date text by (material, plant, batch).
        """
        return self._parse_quantities(
            self.batch, ({**row, MATERIALS.name: materials.get(row["MATNR"], {})} for row in rows), expiry
        )

    def parse_moved(self, header: Row, lines: Iterable[Row]) -> tuple[list[MovedKey], list[Rejection]]:
        """Map the lines of a material document.

        Of a transfer's other side only the key is told: SAP writes it as a line of its own, which says what it moved.

        Raises:
            ProtocolViolation: an item does not lead back to its material. Were it only left out, all changes might be
                missed without a word.
        """
        records: list[MovedKey] = []
        rejected: list[Rejection] = []
        for line in lines:
            for side in (line, *_other_sides(line)):
                raw = {**side, DOCUMENTS.name: header}
                try:
                    record: MovedKey | None = self.movement.apply(raw)
                except RecordError as error:
                    rejected.append(reject(self.movement, raw, error))
                    continue
                if record is not None:
                    self._prove_moved(record, side["MATNR"])
                    records.append(record if side is line else MovedKey(record.item, record.location))
        return records, rejected

    def parse_item(
        self, material: Row, names: Sequence[Row], units: Sequence[Row], codes: Sequence[Row]
    ) -> tuple[ItemRecord | None, list[Rejection]]:
        """Map one material with its names (MAKT), units (MARM) and further codes (MEAN)."""
        by_language = {row["SPRAS"]: row["MAKTX"] for row in names if row["MAKTX"].strip()}
        raw = {**material, ADDED: {"name": choose_name(by_language, self._languages)}}
        try:
            article: ArticleRow | None = self.article.apply(raw)
            self._prove(article.item if article else None, material["MATNR"])
        except RecordError as error:
            return None, [reject(self.article, raw, error)]
        if article is None:
            return None, []
        factors = {row["MEINH"]: exact_quotient(row["UMREZ"], row["UMREN"]) for row in units}
        # The base unit need not be among them.
        factors.setdefault(material["MEINS"], "1")
        added = [{**row, ADDED: {"factor": factors.get(row["MEINH"])}} for row in (*units, *codes)]
        barcodes, rejected = map_barcodes(self.barcode, article, added)
        return build_item(article, barcodes), rejected

    def parse_location(self, row: Row) -> LocationRecord | None:
        """Map a row of T001L; None when it can't be used."""
        try:
            record: LocationRecord | None = self.location.apply(row)
        except RecordError:
            return None
        return record

    def _parse_quantities(
        self, mapping: MappingFile, rows: Iterable[Mapping[str, Any]], expiry: Mapping[tuple[str, ...], str]
    ) -> tuple[list[StockRow], list[Rejection]]:
        return self.parse_unpivoted(mapping, [raw for row in rows for raw in self.unpivot(mapping, row, expiry)])

    def parse_unpivoted(
        self, mapping: MappingFile, raws: Sequence[Mapping[str, Any]]
    ) -> tuple[list[StockRow], list[Rejection]]:
        """Map what `unpivot` made of rows of MARD or MCHB."""
        records: list[StockRow] = []
        rejected: list[Rejection] = []
        for raw, outcome in zip(raws, mapping.apply_all(raws), strict=True):
            try:
                if isinstance(outcome, RecordError):
                    raise outcome
                if outcome is not None:
                    self._prove(outcome.item, raw["MATNR"])
                    records.append(outcome)
            except RecordError as error:
                rejected.append(reject(mapping, raw, error))
        return records, rejected

    @staticmethod
    def unpivot(
        mapping: MappingFile, row: Mapping[str, Any], expiry: Mapping[tuple[str, ...], str]
    ) -> Iterator[Mapping[str, Any]]:
        """Yield one raw record for each quantity of a row that is not zero.

        Args:
            row: with the material's row of MARA under that table's name.
            expiry: SAP's date text by (material, plant, batch).
        """
        place = (row["MATNR"], row["WERKS"], row["LGORT"], row.get("CHARG", ""))
        expires_on = expiry.get((row["MATNR"], row["WERKS"], place[3]))
        for column in quantity_columns(mapping):
            if is_zero(row[column]):
                continue
            row_id = "|".join((*place, column))
            added = {"row_id": row_id, "column": column, "quantity": row[column], "expires_on": expires_on}
            yield {**row, ADDED: added}

    def _prove_moved(self, record: MovedKey, material: str) -> None:
        try:
            self._prove(record.item, material)
        except RecordError as error:
            raise ProtocolViolation(error.message, system=SYSTEM, operation=f"document {record.document_id}") from error

    def _prove(self, item: str | None, material: str) -> None:
        """Refuse an item that does not lead back to its row: asked for by key, its stock would seem to be gone."""
        if item is not None and self._numbers.to_sap(item) != material:
            message = f"item: {item} is not {material} as SAP stores it; see material_length and material_zeros"
            raise RecordError(message, reason="bad_value", field="item")


def quantity_columns(mapping: MappingFile) -> tuple[str, ...]:
    """Return the fields that hold quantities: one row holds several, each of its own status."""
    return tuple(mapping.spec.tables[_QUANTITIES].entries)


def needed_fields(mapping: MappingFile) -> tuple[str, ...]:
    """Return the fields of its own table that a mapping file reads, quantities included."""
    own = [name for name in mapping.source_fields if "." not in name]
    return tuple(dict.fromkeys([*own, *(quantity_columns(mapping) if _QUANTITIES in mapping.spec.tables else ())]))


def fields_of(table: Table, *mappings: MappingFile) -> tuple[str, ...]:
    """Return the fields of another table that mapping files read as `TABLE.FIELD`."""
    prefix = f"{table.name}."
    found = [
        name.removeprefix(prefix) for mapping in mappings for name in mapping.source_fields if name.startswith(prefix)
    ]
    return tuple(dict.fromkeys(found))


def is_zero(text: str) -> bool:
    """Tell whether a quantity as SAP writes it is zero; a blank one is not: its row was cut off."""
    return "0" in text and not text.strip("0., -")


def _other_sides(line: Row) -> Iterator[Row]:
    """Yield the other side of a document's line where goods went to, or came from, another storage location."""
    if line.get("UMLGO"):
        yield {
            **line,
            "MATNR": line.get("UMMAT") or line["MATNR"],
            "WERKS": line.get("UMWRK") or line["WERKS"],
            "LGORT": line["UMLGO"],
        }
