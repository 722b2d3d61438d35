"""The URL conventions of OData V2: resource paths, key predicates, system query options and skip tokens."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sandbox.erp.sap.errors import bad_request, not_found
from sandbox.erp.sap.filters import Condition, parse_filter, property_named
from sandbox.erp.sap.literals import LITERAL, parse_literal, stored_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.erp.sap.model import EntitySet, Navigation, Property, Service

# A Gateway answers at most this many rows however large $top is.
MOST_ROWS: Final = 5000
# What the fault `next-loop` hands out: it leads to the first page again.
GARBAGE_TOKEN: Final = "R0FSQkFHRQ"
_SEGMENT: Final = re.compile(r"(?P<name>\$?\w+)(?:\((?P<key>.*)\))?")
_KEY_PART: Final = re.compile(rf"\s*(?:(?P<name>\w+)\s*=\s*)?(?P<literal>{LITERAL.pattern})\s*(?P<end>,|$)")
_OPTIONS: Final = frozenset(
    ("$filter", "$select", "$orderby", "$top", "$skip", "$skiptoken", "$inlinecount", "$expand", "$format"),
)


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a resource path: a name, and the raw key predicate where it has one."""

    name: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class SkipToken:
    """Where the next page begins, and how many rows $top still allows (None: all)."""

    offset: int
    remaining: int | None

    def encode(self) -> str:
        """Return the token as opaque text."""
        content = json.dumps([self.offset, self.remaining]).encode()
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    @staticmethod
    def decode(text: str) -> SkipToken:
        """Read a token back.

        Raises:
            ODataError: it is none of ours (status 400).
        """
        try:
            offset, remaining = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return SkipToken(int(offset), None if remaining is None else int(remaining))
        except (binascii.Error, ValueError, TypeError):
            raise bad_request("Invalid skip token") from None


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """The system query options of one request, as far as they do not depend on an entity set."""

    filter: str | None = None
    orderby: str | None = None
    select: str | None = None
    expand: str | None = None
    top: int | None = None
    skip: int = 0
    token: SkipToken | None = None
    count_all: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """Which properties of an entity are answered, and which navigations are inlined or only linked."""

    entity_set: EntitySet
    properties: tuple[Property, ...]
    expanded: Mapping[str, Shape] = field(default_factory=dict)
    deferred: tuple[Navigation, ...] = ()


def split_path(path: str) -> list[Segment]:
    """Split a decoded resource path at its slashes, except those inside quotes.

    Raises:
        ODataError: a segment is malformed (status 404, like any unknown resource).
    """
    parts = re.findall(r"(?:'(?:[^']|'')*'|[^/'])+", path)
    segments = []
    for part in parts:
        match = _SEGMENT.fullmatch(part)
        if match is None:
            raise not_found(part)
        segments.append(Segment(match["name"], match["key"]))
    return segments


def parse_key(text: str, entity_set: EntitySet) -> Condition:
    """Turn a key predicate, `'A'` or `Name='A',Other='B'`, into a condition.

    Raises:
        ODataError: the predicate does not name each key property once (status 400).
    """
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _KEY_PART.match(text, position)
        if match is None:
            break
        name = match["name"] or (entity_set.keys[0].name if len(entity_set.keys) == 1 else "")
        found[name] = match["literal"]
        position = match.end()
    if position < len(text) or set(found) != {prop.name for prop in entity_set.keys}:
        raise bad_request(
            f"Invalid key predicate for type '{entity_set.type_name}'",
            f"类型 '{entity_set.type_name}' 的键谓词无效",
        )
    values = []
    for prop in entity_set.keys:
        value = stored_value(parse_literal(found[prop.name]), prop)
        # SAP shows the initial value of a digits-only field as '' or '0', depending on the release.
        values.append("" if prop.numeric and value == "0" else value)
    sql = " AND ".join(f'"{prop.name}" = ?' for prop in entity_set.keys)
    return Condition(sql, tuple(values))


def parse_options(query: Mapping[str, str]) -> QueryOptions:
    """Read the system query options; the garbage skip token counts as none, which means the first page.

    Raises:
        ODataError: an unknown option or a malformed value (status 400).
    """
    unknown = [name for name in query if name.startswith("$") and name not in _OPTIONS]
    if unknown:
        raise bad_request(f"Invalid system query option '{unknown[0]}'")
    count = query.get("$inlinecount", "none")
    if count not in {"none", "allpages"}:
        raise bad_request(f"Invalid value '{count}' of $inlinecount")
    text = query.get("$skiptoken", GARBAGE_TOKEN)
    token = None if text == GARBAGE_TOKEN else SkipToken.decode(text)
    return QueryOptions(
        filter=query.get("$filter") or None,
        orderby=query.get("$orderby") or None,
        select=query.get("$select") or None,
        expand=query.get("$expand") or None,
        top=_whole_number(query, "$top"),
        skip=_whole_number(query, "$skip") or 0,
        token=token,
        count_all=count == "allpages",
    )


def _whole_number(query: Mapping[str, str], option: str) -> int | None:
    text = query.get(option)
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,9}", text):
        raise bad_request(f"Invalid value '{text}' of {option}")
    return int(text)


def filter_condition(options: QueryOptions, entity_set: EntitySet) -> Condition | None:
    """Return the condition of $filter, None without one."""
    return parse_filter(options.filter, entity_set) if options.filter else None


def order_sql(orderby: str | None, entity_set: EntitySet) -> str:
    """Return the ORDER BY list: what $orderby wants, then the key, so that pages never depend on chance.

    Raises:
        ODataError: an unknown property or direction (status 400).
    """
    terms = []
    for term in (orderby or "").split(","):
        if not term.strip() and not orderby:
            continue
        match = re.fullmatch(r"\s*(\w+)(?:\s+(asc|desc))?\s*", term)
        if match is None:
            raise bad_request(f"Invalid $orderby term '{term.strip()}'")
        prop = property_named(match[1], entity_set)
        terms.append(f'"{prop.name}" {(match[2] or "asc").upper()}')
    terms.extend(f'"{prop.name}" ASC' for prop in entity_set.keys)
    return ", ".join(terms)


def build_shape(service: Service, entity_set: EntitySet, options: QueryOptions) -> Shape:
    """Work out from $select and $expand what an entity's answer contains.

    Raises:
        ODataError: a path names no property or navigation (status 400).
    """
    selects = _paths(options.select)
    return _shape(service, entity_set, selects if options.select else None, _paths(options.expand))


def _paths(text: str | None) -> list[list[str]]:
    return [path.strip().split("/") for path in text.split(",")] if text else []


def _shape(
    service: Service,
    entity_set: EntitySet,
    selects: Sequence[list[str]] | None,
    expands: Sequence[list[str]],
) -> Shape:
    navigations = entity_set.navigation_by_name
    for path in expands:
        if path[0] not in navigations:
            raise bad_request(f"Invalid $expand: type '{entity_set.type_name}' has no navigation '{path[0]}'")
    if selects is None or any(path == ["*"] for path in selects):
        properties, wanted = entity_set.properties, set(navigations)
    else:
        names = {path[0] for path in selects}
        wanted = names & set(navigations)
        chosen = {property_named(name, entity_set).name for name in names - wanted}
        properties = tuple(prop for prop in entity_set.properties if prop.name in chosen)
    expanded = {}
    for name in sorted({path[0] for path in expands} & wanted):
        target = service.set_by_name[navigations[name].target]
        inner_selects = [path[1:] for path in selects or () if path[0] == name and path[1:]]
        inner_expands = [path[1:] for path in expands if path[0] == name and path[1:]]
        expanded[name] = _shape(service, target, inner_selects or None, inner_expands)
    deferred = tuple(nav for nav in entity_set.navigations if nav.name in wanted and nav.name not in expanded)
    return Shape(entity_set, properties, expanded, deferred)
