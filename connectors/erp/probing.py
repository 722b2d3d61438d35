"""What looks at any ERP have in common: number spelling, values that no file lists, refusals, headers, times."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from email.utils import parsedate_to_datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from connectors.spelling import Number
from hub.clock import utc_now
from hub.contracts import StockStatus
from hub.errors import OneshelfError
from hub.mapping.plan import make_reader
from hub.probe import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from connectors.http import Exchange
    from hub.contracts import Rejection, StockRow
    from hub.mapping import Mapping as MappingFile
    from hub.mapping.trace import Step

SERVER_CLOCK = "server clock"
_SLACK = timedelta(seconds=30)
_EXACT_DIGITS = 15
_MOST_NAMED = 8
_LIMIT_HEADER = re.compile(r"retry-after|rate-?limit|quota", re.IGNORECASE)
_EXPONENT = re.compile(r"\d[eE][+-]?\d")


def attempt(name: str, look: Callable[[], Iterable[Observation]]) -> Iterator[Observation]:
    """Yield what a look finds; when the system refuses it, or a setting forbids it, an observation that says so."""
    try:
        yield from look()
    except OneshelfError as error:
        yield Observation(name, str(error), "it answers", agrees=False, numbers_at_risk=True, advice="see the message")


def spelling_of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return in words how a quantity is written, for instance `text with zeros behind`."""
    if value is None or value == "":
        return "blank"
    if not isinstance(value, str):
        return type(value).__name__
    kind = "number" if isinstance(value, Number) else "text"
    text = value.strip().removesuffix("-")
    if _EXPONENT.search(text):
        return f"{kind} with an exponent"
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    if len(digits) > _EXACT_DIGITS:
        return f"{kind} with float noise"
    _, point, fraction = text.partition(".")
    return f"{kind} with zeros behind" if point and fraction.endswith("0") else kind


def observe_spelling(values: Iterable[Any], assumed: Sequence[str], where: str) -> Observation:
    """Say how quantities are spelled; the connector reads all spellings that it knows, refusals are seen elsewhere."""
    counts = Counter(map(spelling_of, values))
    agrees = counts.keys() <= set(assumed)
    return Observation(f"spelling of {where}", counted(counts), " or ".join(assumed), agrees)


def observe_unlisted(mapping: MappingFile, rows: Sequence[Mapping[str, Any]]) -> Iterator[Observation]:
    """Say for each looked-up field which of the rows' values the mapping file does not list, and how many have them."""
    file = mapping.version.partition("@")[0]
    for spec in mapping.spec.fields:
        if spec.lookup is None:
            continue
        unlisted: Counter[str] = Counter()
        readers = [make_reader(path) for path in spec.sources]
        seen = Counter(tuple(read(row) for read in readers) for row in rows)
        for inputs, count in seen.items():
            raw = dict(zip(spec.sources, inputs, strict=True))
            step = next(step for step in mapping.explain(raw) if step.field == spec.name)
            if not _is_listed(step, mapping.spec.tables[spec.lookup].entries):
                unlisted[" ".join(map(str, inputs))] += count
        yield Observation(
            f"{spec.name} values of {mapping.object}",
            counted(unlisted) + " not listed" if unlisted else f"{len(seen)} in {len(rows)} rows, all listed",
            f"all listed in {file}",
            agrees=not unlisted,
            numbers_at_risk=True,
            advice=f"add the values to the table {spec.lookup} of {file}" if unlisted else "",
        )


def observe_refusals(name: str, total: int, rejected: Sequence[Rejection]) -> Observation:
    """Say how many raw records their mapping file refuses, and why."""
    reasons = Counter(f"{entry.reason} ({entry.detail})" for entry in rejected)
    seen = counted(reasons) if reasons else f"none of {total}"
    advice = "oneshelf mappings explain shows each step of such a record" if reasons else ""
    return Observation(name, seen, "none", not reasons, numbers_at_risk=True, advice=advice)


def observe_signs(quantities: Iterable[Any]) -> Observation:
    """Say how many rows are below zero, which both vendors allow and the hub counts as they are."""
    values = [str(value).strip() for value in quantities]
    negative = sum(value.startswith("-") or value.endswith("-") for value in values)
    return Observation("rows below zero", f"{negative} of {len(values)}", "legal, counted as they are")


def observe_clock(exchange: Exchange) -> Observation:
    """Compare the header Date of an answer with our own clock; nothing in the hub depends on the two being equal."""
    told = date_header(exchange)
    if told is None:
        return Observation(SERVER_CLOCK, "no header Date", "a header Date", agrees=False)
    ahead = round((told - utc_now()).total_seconds())
    agrees = abs(ahead) <= _SLACK.total_seconds()
    advice = "" if agrees else "nothing breaks, but times in the log will not match: set both clocks by NTP"
    return Observation(SERVER_CLOCK, f"{ahead:+d} s against ours", "within 30 s", agrees, advice=advice)


def date_header(exchange: Exchange) -> datetime | None:
    """Return the time of an answer by its server's own clock, None where it does not say."""
    try:
        return parsedate_to_datetime(exchange.response.headers.get("Date", ""))
    except (TypeError, ValueError):
        return None


def observe_traffic(exchanges: Sequence[Exchange], per_minute: int) -> Iterator[Observation]:
    """Say what the calls of a look cost and what their headers hint at."""
    seconds = [exchange.seconds for exchange in exchanges]
    middle = f"{median(seconds) * 1000:.0f} ms in the middle, {max(seconds) * 1000:.0f} ms at most"
    yield Observation("latency", f"{len(seconds)} calls, {middle}", f"at most {per_minute} calls a minute, as set")
    hints = {
        f"{name}: {value}"
        for exchange in exchanges
        for name, value in exchange.response.headers.items()
        if _LIMIT_HEADER.search(name)
    }
    advice = "set requests_per_minute below what the headers allow" if hints else ""
    seen = "; ".join(sorted(hints)[:_MOST_NAMED]) or "no header tells"
    yield Observation("quota", seen, "no header tells", not hints, advice=advice)
    packed = Counter(exchange.response.headers.get("Content-Encoding", "none") for exchange in exchanges)
    large = [e for e in exchanges if len(e.response.content) > _WORTH_PACKING]
    plain = sum("Content-Encoding" not in e.response.headers for e in large)
    advice = "have the server or its proxy compress answers: reads take a fraction of the bytes" if plain else ""
    yield Observation("compression", counted(packed), "any; packed answers are faster", advice=advice)


_WORTH_PACKING = 20_000


def describe_steps(mapping: MappingFile, raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in words how each field of a record was made."""
    return tuple(_describe(step) for step in mapping.explain(raw) if step.inputs)


def explain_destination(row: StockRow) -> str:
    """Say where the quantity of a mapped row goes."""
    if row.owner:
        return f"consigned by {row.owner}: never ours to sell"
    if row.status is StockStatus.SELLABLE:
        return "on hand" + (", unless it expires too soon" if row.expires_on else "")
    return f"kept apart as {row.status}"


def _describe(step: Step) -> str:
    read = ", ".join(
        f"{path}={str(value) if isinstance(value, Number) else repr(value)}" for path, value in step.inputs
    )
    return f"{step.field}: {read} -> {step.error or step.value}"


def _is_listed(step: Step, entries: Mapping[str, str]) -> bool:
    """Tell whether the look-up of a step found its value; a blank one needs no entry."""
    if step.error is not None:
        return step.error.reason != "unmapped_value"
    values = [step.inputs[0][1], *(value for name, value in step.results if not name.startswith("lookup "))]
    return values[-1] in {None, ""} or str(values[-1]) in entries


def counted(counts: Counter[str]) -> str:
    """Return the most frequent words, each with its count."""
    named = [f"{word} ({count})" for word, count in counts.most_common(_MOST_NAMED)]
    more = len(counts) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
