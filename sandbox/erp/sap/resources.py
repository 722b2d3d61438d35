"""Reading: from a resource path and query options to the JSON payload, page by page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from sandbox.erp.sap import model
from sandbox.erp.sap.errors import not_found
from sandbox.erp.sap.filters import Condition
from sandbox.erp.sap.odata import (
    GARBAGE_TOKEN,
    MOST_ROWS,
    SkipToken,
    build_shape,
    filter_condition,
    order_sql,
    parse_key,
    parse_options,
)
from sandbox.erp.sap.serialise import Dialect, write_entity, write_value
from sandbox.erp.sap.stirring import move_or_take_back, sell_below_zero

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.erp.sap.model import EntitySet, Navigation, Property, Service
    from sandbox.erp.sap.odata import QueryOptions, Segment
    from sandbox.erp.sap.serialise import Row
    from sandbox.erp.sap.world import World
    from sandbox.faults import Switchboard

_PATH_SAFE: Final = "/(),='$"
_BEHIND_A_KEY: Final = re.compile(r"\bMaterial gt '")
_NO_ROWS: Final = Condition("1 = 0")


@dataclass(frozen=True, slots=True)
class Target:
    """What a resource path leads to: rows of a set under conditions, or one row of it, or a part of that."""

    entity_set: EntitySet
    conditions: tuple[Condition, ...] = ()
    single: bool = False
    count: bool = False
    prop: Property | None = None
    raw_value: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows a page shows: from `offset`, `limit` of them; `remaining` is what $top allows (None: all)."""

    offset: int
    limit: int
    remaining: int | None


class Reader:
    """Answers read requests of all services from the books, with the faults of paging and payload."""

    def __init__(self, world: World, faults: Switchboard, page_size: int) -> None:
        self._world = world
        self._store = world.store
        self._faults = faults
        self._page_size = page_size

    def read(
        self,
        service: Service,
        path: str,
        segments: Sequence[Segment],
        query: Mapping[str, str],
        base: str,
    ) -> dict[str, Any] | str:
        """Return the JSON payload for a path, or plain text for `$count` and `$value`.

        `base` is the service's absolute URL without a slash at its end, `path` the decoded path below it.

        Raises:
            ODataError: the path or an option is wrong, or the entity does not exist.
        """
        target = self._resolve(service, segments)
        options = parse_options(query)
        if target.count:
            return str(self._count(target, options))
        if not target.single:
            return {"d": self._page(service, target, options, base, _address(base, path, query))}
        row = self._one(target)
        if target.prop is not None:
            value = write_value(target.prop, row[target.prop.name], self.dialect())
            return str(value) if target.raw_value else {"d": {target.prop.name: value}}
        return {"d": self._write(service, [row], target, options, base)[0]}

    def entity(self, service: Service, entity_set: EntitySet, key: Condition, base: str, expand: str = "") -> Row:
        """Return one entity as JSON, for the answers of writing requests."""
        target = Target(entity_set, (key,), single=True)
        options = parse_options({"$expand": expand})
        return self._write(service, [self._one(target)], target, options, base)[0]

    def dialect(self) -> Dialect:
        """Ask the payload faults how this answer is to be written."""
        offset = self._faults.strike("date-with-offset")
        return Dialect(
            decimal_as_number=self._faults.strike("decimal-as-number") is not None,
            decimal_noise=self._faults.strike("decimal-noise") is not None,
            decimal_exponent=self._faults.strike("decimal-exponent") is not None,
            decimal_zeros=self._faults.strike("decimal-trailing-zeros") is not None,
            null_for_empty=self._faults.strike("null-for-empty") is not None,
            numeric_zero=self._faults.strike("numc-zero") is not None,
            date_offset=None if offset is None else int(offset.get("minutes", 480)),
        )

    def _resolve(self, service: Service, segments: Sequence[Segment]) -> Target:
        first, *rest = segments
        entity_set = service.set_by_name.get(first.name)
        if entity_set is None:
            raise not_found(first.name)
        target = _keyed(Target(entity_set), first)
        for index, segment in enumerate(rest):
            last = index == len(rest) - 1
            if last and segment.name == "$count" and not target.single:
                return Target(target.entity_set, target.conditions, count=True)
            if last and segment.name == "$value" and target.prop is not None:
                return Target(target.entity_set, target.conditions, single=True, prop=target.prop, raw_value=True)
            target = self._step(service, target, segment)
        return target

    def _step(self, service: Service, target: Target, segment: Segment) -> Target:
        navigation = target.entity_set.navigation_by_name.get(segment.name)
        prop = target.entity_set.by_name.get(segment.name)
        if not target.single or target.prop is not None or (navigation is None and prop is None):
            raise not_found(segment.name)
        if navigation is None:
            return Target(target.entity_set, target.conditions, single=True, prop=prop)
        condition = _joined_to(navigation, self._one(target))
        entity_set = service.set_by_name[navigation.target]
        return _keyed(Target(entity_set, (condition,), single=not navigation.many), segment)

    def _one(self, target: Target) -> Row:
        rows = self._select(target, target.conditions)
        if not rows:
            raise not_found(target.entity_set.type_name)
        return rows[0]

    def _select(self, target: Target, conditions: Sequence[Condition], tail: str = "") -> list[Row]:
        sql, parameters = _where(conditions)
        rows: list[Any] = self._store.rows(f"SELECT * FROM {target.entity_set.table}{sql}{tail}", parameters)
        return rows

    def _count(self, target: Target, options: QueryOptions) -> int:
        sql, parameters = _where(self._conditions(target, options))
        return self._store.number(f"SELECT COUNT(*) FROM {target.entity_set.table}{sql}", parameters)

    def _conditions(self, target: Target, options: QueryOptions) -> list[Condition]:
        conditions = list(target.conditions)
        wanted = filter_condition(options, target.entity_set)
        if wanted is not None:
            conditions.append(wanted)
        if self._strike("empty-answer", target) is not None:
            conditions.append(_NO_ROWS)
        shrunk = self._strike("shrunk-answer", target)
        if shrunk is not None:
            conditions.append(_without_share(target, float(shrunk.get("share", 0.5))))
        return conditions

    def _strike(self, fault_id: str, target: Target) -> Mapping[str, Any] | None:
        return self._faults.strike(fault_id, set=target.entity_set.name)

    def _stir(self, target: Target, options: QueryOptions) -> None:
        """Let people work in the ERP before a page is read."""
        if target.entity_set not in (model.STOCK, model.HEADER):
            return
        if self._strike("documents-taken-back", target) is not None:
            move_or_take_back(self._world)
        if target.entity_set is model.HEADER:
            return
        if self._faults.strike("negative-quantity") is not None:
            sell_below_zero(self._world)
        later_page = options.token is not None or options.skip or _BEHIND_A_KEY.search(options.filter or "")
        moved = self._faults.strike("rows-move-between-pages") if later_page else None
        if moved is not None:
            self._world.shift_rows(str(moved.get("change", "vanish")))

    def _page(
        self,
        service: Service,
        target: Target,
        options: QueryOptions,
        base: str,
        address: str,
    ) -> dict[str, Any]:
        self._stir(target, options)
        window = self._window(service, target, options)
        conditions = self._conditions(target, options)
        withheld = self._strike("rows-withheld", target)
        shown = conditions
        if withheld is not None:
            shown = [*conditions, _without_share(target, float(withheld.get("share", 0.3)))]
        order = order_sql(options.orderby, target.entity_set)
        # One row more than the page shows whether there is a next page.
        rows = self._select(target, shown, f" ORDER BY {order} LIMIT {window.limit + 1} OFFSET {window.offset}")
        more = len(rows) > window.limit and (window.remaining is None or window.remaining > window.limit)
        payload: dict[str, Any] = {}
        if options.count_all:
            payload["__count"] = self._written_count(target, conditions)
        payload["results"] = self._write(service, rows[: window.limit], target, options, base)
        token = self._next_token(target, window) if more else None
        if token is not None:
            payload["__next"] = f"{address}$skiptoken={token}"
        return payload

    def _written_count(self, target: Target, conditions: Sequence[Condition]) -> str | int:
        sql, parameters = _where(conditions)
        count = self._store.number(f"SELECT COUNT(*) FROM {target.entity_set.table}{sql}", parameters)
        return count if self._faults.strike("count-as-number") is not None else str(count)

    def _window(self, service: Service, target: Target, options: QueryOptions) -> Window:
        page = self._page_size
        if options.top is None and service.default_page is not None:
            page = min(page, service.default_page)
        if options.token is not None:
            offset, remaining = options.token.offset, options.token.remaining
        else:
            offset = options.skip
            remaining = None if options.top is None else min(options.top, MOST_ROWS)
            capped = self._strike("top-capped", target) if options.top is not None else None
            if capped is not None and remaining is not None:
                remaining = min(remaining, int(capped.get("cap", 50)))
        limit = page if remaining is None else min(page, remaining)
        return Window(offset, limit, remaining)

    def _next_token(self, target: Target, window: Window) -> str | None:
        if self._strike("snapshot-truncated", target) is not None:
            return None
        if self._strike("next-loop", target) is not None:
            return GARBAGE_TOKEN
        remaining = None if window.remaining is None else window.remaining - window.limit
        return SkipToken(window.offset + window.limit, remaining).encode()

    def _write(
        self,
        service: Service,
        rows: Sequence[Row],
        target: Target,
        options: QueryOptions,
        base: str,
    ) -> list[dict[str, Any]]:
        def related(navigation: Navigation, row: Row) -> list[Row]:
            inner = Target(service.set_by_name[navigation.target])
            tail = f" ORDER BY {order_sql(None, inner.entity_set)}"
            return self._select(inner, (_joined_to(navigation, row),), tail)

        shape = build_shape(service, target.entity_set, options)
        dialect = self.dialect()
        return [write_entity(row, shape, base, dialect, related) for row in rows]


def _keyed(target: Target, segment: Segment) -> Target:
    if segment.key is None or (not segment.key.strip() and target.single):
        return target
    if target.single:
        raise not_found(segment.name)
    key = parse_key(segment.key, target.entity_set)
    return Target(target.entity_set, (*target.conditions, key), single=True)


def _without_share(target: Target, share: float) -> Condition:
    """Return the condition that leaves out a share of the rows, the same ones each time."""
    key = " || '/' || ".join(f'"{prop.name}"' for prop in target.entity_set.keys)
    return Condition(f"bucket({key}) >= ?", (int(share * 1000),))


def _joined_to(navigation: Navigation, row: Row) -> Condition:
    sql = " AND ".join(f'"{theirs}" = ?' for _, theirs in navigation.on)
    return Condition(sql, tuple(row[own] for own, _ in navigation.on))


def _where(conditions: Sequence[Condition]) -> tuple[str, tuple[str | int | None, ...]]:
    if not conditions:
        return "", ()
    sql = " AND ".join(f"({condition.sql})" for condition in conditions)
    return f" WHERE {sql}", tuple(value for condition in conditions for value in condition.parameters)


def _address(base: str, path: str, query: Mapping[str, str]) -> str:
    """Return the request's own address, ready for another skip token to be put at its end."""
    options = [(name, value) for name, value in query.items() if name != "$skiptoken"]
    text = urlencode(options, quote_via=quote, safe="$'(),")
    address = f"{base}/{quote(path, safe=_PATH_SAFE)}?"
    return f"{address}{text}&" if text else address
