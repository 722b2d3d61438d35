"""What SAP gives this user over RFC: fields and their lengths, functions, how much at once. Every call is a read."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

from connectors.erp.probing import SERVER_CLOCK, attempt
from connectors.erp.sap.answers import SYSTEM
from connectors.erp.sap.rfc.checks import ECHO, ask_clock, judge_clock
from connectors.erp.sap.rfc.errors import explain
from connectors.erp.sap.rfc.ranges import KeyRange
from connectors.erp.sap.rfc.reading import TableReader
from connectors.erp.sap.rfc.tables import (
    DOCUMENT_LINES,
    DOCUMENTS,
    LEVELS,
    MATERIALS,
    NAMES,
    PLACES,
    ROW_LENGTH,
    identify,
    parse_columns,
    split_fields,
)
from hub.clock import utc_now
from hub.errors import ProtocolViolation, RemoteError
from hub.probe import Observation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectors.erp.sap.rfc.client import RfcClient
    from connectors.erp.sap.rfc.settings import RfcSettings
    from connectors.erp.sap.rfc.tables import Column, Row, Table

_PING = "RFC_PING"
_DICTIONARY = "DDIF_FIELDINFO_GET"
_FORMS = {
    "CHAR 1": "LVORM XCHPF SHKZG",
    "CHAR 4": "WERKS LGORT UMWRK UMLGO",
    "CHAR 9": "MATKL",
    "CHAR 10": "CHARG MBLNR SMBLN",
    "CHAR 16": "LGOBE XBLNR",
    "CHAR 18": "MATNR UMMAT EAN11",
    "CHAR 32": "GROES",
    "CHAR 40": "MAKTX",
    "LANG 1": "SPRAS",
    "UNIT 3": "MEINS MEINH",
    "DEC 5": "UMREZ UMREN",
    "NUMC 4": "MJAHR ZEILE SJAHR SMBLP",
    "NUMC 5": "LFNUM",
    "DATS 8": "CPUDT VFDAT",
    "TIMS 6": "CPUTM",
    "QUAN 13,3": (
        "LABST UMLME INSME EINME SPEME RETME KLABS KINSM KEINM KSPEM CLABS CUMLM CINSM CEINM CSPEM CRETM MENGE"
    ),
}
"""Type and length in the dictionary of ECC, of each field that the standard mapping files read."""
_KNOWN = {name: form for form, names in _FORMS.items() for name in names.split()}
_NEVER_EMPTY = frozenset({MATERIALS, LEVELS, NAMES, DOCUMENTS, DOCUMENT_LINES, PLACES})
_NEEDED: dict[str, dict[str, Any]] = {
    _PING: {},
    ECHO: {"REQUTEXT": "oneshelf"},
    _DICTIONARY: {"TABNAME": PLACES.name},
}
_LARGER = (
    "BBP_RFC_READ_TABLE",
    "/BODS/RFC_READ_TABLE",
    "/BODS/RFC_READ_TABLE2",
    "/SAPDS/RFC_READ_TABLE",
    "/SAPDS/RFC_READ_TABLE2",
)
_NOT_HERE = "FU_NOT_FOUND"
_TOO_WIDE = "DATA_BUFFER_EXCEEDED"
_PINGS = 5
_UNICODE = "2"
_S_RFC = "give the user S_RFC for it"


class AccessProbe:
    """Looks at log-on, tables, functions and limits of one SAP system."""

    def __init__(self, client: RfcClient, tables: TableReader, settings: RfcSettings) -> None:
        self._client = client
        self._tables = tables
        self._settings = settings

    def observe_log_on(self) -> Iterator[Observation]:
        """Log on once more, and say how long it took and what answered."""
        self._client.pool.close()
        started = monotonic()
        attributes = self._client.attributes()
        seconds, allowed = monotonic() - started, self._settings.logon_timeout
        system = f"{attributes.get('sysId', '?')}, release {attributes.get('partnerRel', '?')}"
        quick = seconds < allowed / 2
        yield Observation(
            "log-on time",
            f"{seconds * 1000:.0f} ms, to {system}",
            f"less than half of logon_timeout ({allowed:g} s)",
            quick,
            advice="" if quick else "raise logon_timeout, or name an application server that is nearer (ashost)",
        )
        width = str(attributes.get("partnerBytesPerChar", _UNICODE)).strip() or _UNICODE
        yield Observation(
            "characters",
            "Unicode" if width == _UNICODE else f"{width} byte each: not Unicode",
            "Unicode",
            width == _UNICODE,
            advice="" if width == _UNICODE else "a field behind a Chinese text would be shifted: texts must come last",
        )

    def observe_conversations(self) -> Iterator[Observation]:
        """Log on as often at once as the settings allow."""
        wanted, opened, refused = self._settings.conversations, 0, ""
        password = self._settings.password
        with ExitStack() as stack:
            for _ in range(wanted):
                try:
                    stack.enter_context(self._client.pool.lease())
                except Exception as error:  # noqa: BLE001 - each provider of pyrfc has its own classes
                    secrets = [password.get_secret_value()] if password else []
                    refused = f", then: {explain(error, 'log-on', secrets)}"
                    break
                opened += 1
        advice = f"set conversations = {max(opened, 1)}, or have SAP allow more (CPIC_MAX_CONV)" if refused else ""
        yield Observation(
            "conversations",
            f"{opened} at once{refused}",
            f"{wanted}, as set",
            not refused,
            numbers_at_risk=True,
            advice=advice,
        )

    def observe_tables(self, wanted: Mapping[Table, Sequence[str]]) -> Iterator[Observation]:
        """Say of each table whether the user may read it, and what the fields that the mapping files need look like."""
        for table, fields in wanted.items():
            names = tuple(dict.fromkeys([*table.key, *fields]))
            yield from attempt(f"table {table.name}", lambda t=table, n=names: [self._observe_table(t, n)])  # type: ignore[misc]

    def _observe_table(self, table: Table, names: Sequence[str]) -> Observation:
        name = f"table {table.name}"
        forms = self._forms(table)
        missing = [field for field in names if forms and field not in forms]
        if missing:
            advice = "take the fields out of the mapping files, or ask what this release calls them"
            seen = f"lacks {', '.join(missing)}"
            return Observation(name, seen, "all fields", agrees=False, numbers_at_risk=True, advice=advice)
        widths = self._tables.widths(table, names)
        parts = len(split_fields(widths, table.key))
        if table in _NEVER_EMPTY and not self._tables.read_some(table):
            advice = "is it the right client, and may the user see rows (read authorizations, DCL)?"
            return Observation(name, "no row", "some", agrees=False, numbers_at_risk=True, advice=advice)
        others = {field: _KNOWN[field] for field in names if forms and forms[field] != _KNOWN.get(field, forms[field])}
        told = ", ".join(f"{field} {forms.get(field, widths[field])}" for field in names)
        size = f"{sum(widths.values())} of {ROW_LENGTH} characters" + (f", in {parts} parts" if parts > 1 else "")
        known = ", ".join(f"{field} {form}" for field, form in others.items())
        return Observation(name, f"{told}; {size}", f"readable; {known or 'these lengths'}", not others)

    def _forms(self, table: Table) -> dict[str, str]:
        """Return type and length of a table's fields; nothing where the dictionary can't be asked."""
        try:
            answer = self._client.call(_DICTIONARY, {"TABNAME": table.name}, table.name)
            return {str(line["FIELDNAME"]).strip(): _form(line) for line in answer["DFIES_TAB"]}
        except (RemoteError, KeyError, TypeError, ValueError):
            return {}  # that it can't be asked is told of the function itself

    def observe_functions(self) -> Iterator[Observation]:
        """Say which of the small functions may be called, and whether rows could be had in order."""
        for name, parameters in _NEEDED.items():
            try:
                self._client.call(name, parameters)
            except RemoteError as error:
                yield Observation(f"function {name}", str(error), "may be called", agrees=False, advice=_S_RFC)
            else:
                yield Observation(f"function {name}", "may be called", "may be called")
        sorts = self._tables.knows_order()
        seen = "can be asked for" if sorts else "not on this release"
        yield Observation("GET_SORTED", seen, "not on this release; not needed", not sorts)

    def observe_width(self) -> Iterator[Observation]:
        """Say how wide a row may be, and which functions would give wider ones."""
        fits, wide = split_at(self._describe(MATERIALS), ROW_LENGTH)
        told = f"{ROW_LENGTH} characters, wider ones are refused"
        function = self._settings.read_function
        given = self._ask_width(function, fits)
        if given is not None:
            advice = "name another read_function: rows are asked for in parts of so many characters"
            yield Observation("row width", given, told, agrees=False, numbers_at_risk=True, advice=advice)
        else:
            refused = self._ask_width(function, wide)
            seen = told if refused is not None else "wider rows are given too"
            yield Observation("row width", seen, told, refused is not None)
        for name in _LARGER:
            yield self._observe_larger(name, wide)

    def _ask_width(self, function: str, fields: Sequence[str]) -> str | None:
        """Return how a row of so many fields is refused for its width, None when it is given."""
        try:
            self._call(function, MATERIALS, fields, 1)
        except RemoteError as error:
            if error.remote_code != _TOO_WIDE:
                raise
            return str(error)
        return None

    def _observe_larger(self, name: str, wide: Sequence[str]) -> Observation:
        assumed = "not here, and not needed"
        try:
            answer = self._call(name, MATERIALS, wide, 1)
        except RemoteError as error:
            here = error.remote_code != _NOT_HERE
            seen = f"refuses: {error}" if here else "not here"
            return Observation(f"function {name}", seen, assumed, not here)
        alike = isinstance(answer.get("DATA"), list) and bool(answer["DATA"])
        seen = f"gives rows of more than {ROW_LENGTH} characters" if alike else "answers in another form"
        advice = "" if alike else "; read_function can't name it"
        advice = f"where {self._settings.read_function} is withheld, read_function may name it" if alike else advice
        return Observation(f"function {name}", seen, assumed, agrees=False, advice=advice.removeprefix("; "))

    def observe_limits(self) -> Iterator[Observation]:
        """Say whether a number of rows is obeyed, rows are withheld, and ranges hold what they should."""
        asked = self._settings.page_rows + 1
        few = self._call(self._settings.read_function, LEVELS, LEVELS.key, 2).get("DATA") or []
        obeyed = len(few) <= 2  # noqa: PLR2004 - as many as asked for
        advice = "" if obeyed else "name another read_function: this one answers all rows at once"
        yield Observation("ROWCOUNT", f"{len(few)} rows for 2 asked for", "obeyed", obeyed, advice=advice)
        reader = TableReader(self._client, self._settings.read_function, self._settings.page_rows)
        whole = reader.read(LEVELS, ())
        materials = sorted({row["MATNR"] for row in whole.rows})
        if not materials:
            return
        middle = materials[(len(materials) - 1) // 2]
        lower = reader.read(LEVELS, (), KeyRange("MATNR", upto=middle).where()).rows
        upper = reader.read(LEVELS, (), KeyRange("MATNR", after=middle).where()).rows
        apart = all(row["MATNR"] <= middle for row in lower) and all(row["MATNR"] > middle for row in upper)
        yield Observation(
            "ranges of materials",
            "hold what they should" if apart else "hold materials of one another",
            "hold what they should",
            apart,
            numbers_at_risk=True,
            advice="" if apart else "the database orders texts otherwise than by their codes: do not read stock by RFC",
        )
        yield _observe_largest(whole.rows, [*lower, *upper], asked, cut=whole.cut)

    def observe_time(self) -> Iterator[Observation]:
        """Say how far the clocks are apart, and how long a call takes that does nothing."""
        yield self._observe_clock()
        yield from attempt("latency", self._latency)

    def _observe_clock(self) -> Observation:
        assumed = "within 60 s, but for the server's time zone"
        try:
            served = ask_clock(self._client)
        except RemoteError as error:
            return Observation(SERVER_CLOCK, f"SAP does not tell: {error}", assumed, agrees=False)
        if served is None:
            return Observation(SERVER_CLOCK, "SAP does not tell", assumed, agrees=False)
        judged = judge_clock(served, utc_now().replace(tzinfo=None))
        return Observation(SERVER_CLOCK, judged.detail, assumed, judged.ok, advice="" if judged.ok else judged.advice)

    def _latency(self) -> Iterator[Observation]:
        seconds: list[float] = []
        for _ in range(_PINGS):
            started = monotonic()
            self._client.call(_PING, {})
            seconds.append(monotonic() - started)
        seen = f"{median(seconds) * 1000:.0f} ms in the middle, {max(seconds) * 1000:.0f} ms at most"
        yield Observation("latency", seen, f"at most {self._settings.requests_per_minute} calls a minute, as set")

    def _describe(self, table: Table) -> list[Column]:
        parameters = {"QUERY_TABLE": table.name, "NO_DATA": "X", "ROWCOUNT": 1}
        answer = self._client.call(self._settings.read_function, parameters, table.name)
        try:
            return parse_columns(answer["FIELDS"])
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolViolation(
                "the answer does not describe its fields", system=SYSTEM, operation=f"fields of {table.name}"
            ) from error

    def _call(self, function: str, table: Table, fields: Sequence[str], count: int) -> dict[str, Any]:
        names = [{"FIELDNAME": name} for name in fields]
        parameters = {"QUERY_TABLE": table.name, "ROWCOUNT": count, "FIELDS": names}
        return self._client.call(function, parameters, table.name)


def split_at(columns: Sequence[Column], limit: int) -> tuple[list[str], list[str]]:
    """Return the first fields of a table that fit into a row, and the same with one more, which does not."""
    taken = count = 0
    for column in columns:
        if taken + column.length > limit:
            break
        taken += column.length
        count += 1
    names = [column.name for column in columns]
    return names[:count], names[: count + 1]


def _observe_largest(whole: Sequence[Row], parts: Sequence[Row], asked: int, *, cut: bool) -> Observation:
    name, assumed, given = "largest answer", f"{asked} rows, as many as asked for, or all there are", len(whole)
    if cut and given < asked:
        seen = f"{given} rows; of more SAP runs out of memory"
        advice = f"set page_rows = {given - 1}; that it is too much is found out anyway"
        return Observation(name, seen, assumed, agrees=False, advice=advice)
    if cut:
        return Observation(name, f"{given} rows, as many as asked for", assumed)
    hidden = {identify(row, LEVELS.key) for row in parts} - {identify(row, LEVELS.key) for row in whole}
    if not hidden:
        return Observation(name, f"{given} of {asked} asked for, which is all there is", assumed)
    seen = f"{given} rows; {len(hidden)} more show in parts of them"
    advice = f"rows are withheld without a word: set page_rows below {given}, or name another read_function"
    return Observation(name, seen, assumed, agrees=False, numbers_at_risk=True, advice=advice)


def _form(line: Mapping[str, Any]) -> str:
    decimals = int(line["DECIMALS"] or 0)
    return f"{line['DATATYPE']} {int(line['LENG'])}" + (f",{decimals}" if decimals else "")
