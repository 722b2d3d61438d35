"""The decision rules: which class a difference is of. Pure; `docs/reconciliation.md` has them as a table.

What is found at a level is one of: another quantity than the base (`Change`), demand or supply that no document ended
(`Waiting`), documents that took another quantity than was sold under their number (`Surplus`), sums that disagree
(`Off`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from hub.reconcile.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from hub.contracts import Movement, StockKey

CLOCKS = timedelta(minutes=10)
"""How far the ERP's clock and the hub's may be apart where times are compared to find a posting that fits."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level: the hub's ids and the ERP's own words."""

    item_id: int
    location_id: int
    key: StockKey

    @property
    def ids(self) -> tuple[int, int]:
        """The hub's ids."""
        return self.item_id, self.location_id


@dataclass(frozen=True, slots=True)
class Change:
    """A read says another quantity than the base, and no look for changes has named the level.

    Quantities are own and sellable, lots near their expiry included: those leave what may be sold by the calendar.
    `base` is the tick at which the read in force began, `base_at` its time.
    """

    level: Level
    before: Decimal
    now: Decimal
    base: int
    base_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Demand or supply without its document: `quantity` of it still counts, `posted` was posted under its reference.

    `number` is its own, or the reference where several wait for the same document; `since`: the oldest of them. It is
    `late` once the newest of them is. `elsewhere` are documents with its number at other places; `brings`: it is
    supply.
    """

    level: Level
    kind: str
    number: str
    reference: str
    quantity: Decimal
    wanted: Decimal
    posted: Decimal
    since: datetime
    late: bool = True
    elsewhere: tuple[str, ...] = ()
    brings: bool = False


@dataclass(frozen=True, slots=True)
class Surplus:
    """Documents that stand under a number and took more than was sold under it, or settle less than the store has told.

    `wanted` is None for a number of which nothing is known and that looks like one of the store's own. `each` is what
    each of the documents took; `settles`: it is a store's day.
    """

    level: Level
    reference: str
    wanted: Decimal | None
    posted: Decimal
    documents: tuple[str, ...]
    each: tuple[Decimal, ...]
    settles: bool
    late: bool


@dataclass(frozen=True, slots=True)
class Off:
    """Sums of a level that disagree: by how much, by their name."""

    level: Level
    by: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Known:
    """A document that the hub's list holds: whether it stands there, and whether the base surely contains it."""

    document: str
    reference: str
    quantity: Decimal
    posted: bool
    in_base: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What the ERP and the hub's list tell of one level's documents.

    `asked` is False where the ERP was not asked, or did not answer; `refused` is why not, or why it told only a part.
    """

    movements: Sequence[Movement] = ()
    known: Mapping[str, Known] = field(default_factory=dict)
    gone: Collection[str] = ()
    sales: Collection[str] = ()
    """Those of the references that are numbers of store sales."""
    ours: Collection[str] = ()
    """Those of the references that are numbers of ours."""
    asked: bool = True
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference that is named.

    `subject` is the number it is about, `about` what was found to be so; `heals`: nothing is left to do.
    """

    level: Level
    kind: Kind
    subject: str
    evidence: Mapping[str, Any]
    heals: bool = False
    about: Change | Waiting | Surplus | None = None


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a document changed of the stock since the base was read, as far as that is known."""

    document: str
    reference: str
    change: Decimal
    entered_at: datetime | None
    entered_by: str
    why: str


def judge_change(change: Change, told: Told, factors: Collection[Decimal], mappings: tuple[str, str]) -> Finding:
    """Name the class of a changed quantity.

    Args:
        factors: how many base units the article's packages hold.
        mappings: the versions of the mapping files when the base was read, and now.
    """
    difference = change.now - change.before
    facts: dict[str, Any] = {"before": _text(change.before), "now": _text(change.now), "base_at": _time(change.base_at)}
    facts |= {"refused": told.refused} if told.refused else {}
    sure, unsure = _effects(change, told)
    if explained := _explain(difference, sure, unsure):
        references = {effect.reference for effect in explained}
        kind = Kind.LATE_POS if references <= set(told.sales) else Kind.MISSED_EVENT
        documents = [_describe(effect) for effect in explained]
        return Finding(change.level, kind, "", {**facts, "documents": documents}, heals=True, about=change)
    facts["documents"] = [_describe(effect) for effect in sure]
    moved = sum((effect.change for effect in sure), Decimal(0))
    if factor := _factor(change.before, change.now, factors) or _factor(moved, difference, factors):
        return Finding(change.level, Kind.UNIT_OR_MAPPING, "", {**facts, "factor": _text(factor)}, about=change)
    if mappings[0] != mappings[1]:
        facts |= {"mapping_before": mappings[0], "mapping_now": mappings[1]}
        return Finding(change.level, Kind.UNIT_OR_MAPPING, "", facts, about=change)
    return Finding(change.level, Kind.UNEXPLAINED, "", {**facts, "asked": told.asked}, about=change)


def judge_waiting(
    waiting: Waiting, told: Told, factors: Collection[Decimal], taken: set[tuple[tuple[int, int], str]]
) -> Finding | None:
    """Name the class of what is late, None where it is only late: an order that nobody has shipped yet.

    Args:
        taken: documents, by level, that stand for something else; the one that stands for this is added.
    """
    facts: dict[str, Any] = {
        "kind": waiting.kind,
        "number": waiting.number,
        "quantity": _text(waiting.wanted),
        "posted": _text(waiting.posted),
        "since": _time(waiting.since),
    }
    if waiting.brings and waiting.posted:
        return _case(waiting, Kind.MANUAL_POSTING, facts)
    return _judge_late(waiting, told, factors, taken, facts) if waiting.late else None


def _judge_late(
    waiting: Waiting,
    told: Told,
    factors: Collection[Decimal],
    taken: set[tuple[tuple[int, int], str]],
    facts: Mapping[str, Any],
) -> Finding | None:
    if factor := _factor(waiting.posted, waiting.wanted, factors):
        return _case(waiting, Kind.UNIT_OR_MAPPING, {**facts, "factor": _text(factor)})
    if waiting.kind == "sale":
        return _case(waiting, Kind.LATE_POS, facts)
    if waiting.elsewhere:
        return _case(waiting, Kind.MANUAL_POSTING, {**facts, "documents": list(waiting.elsewhere)})
    if by_hand := [effect for effect in _by_hand(waiting, told) if (waiting.level.ids, effect.document) not in taken]:
        taken.add((waiting.level.ids, by_hand[0].document))
        documents = [_describe(effect) for effect in by_hand]
        return _case(waiting, Kind.MANUAL_POSTING, {**facts, "documents": documents})
    return None


def judge_surplus(surplus: Surplus, factors: Collection[Decimal]) -> Finding | None:
    """Name the class of documents that took another quantity than was sold; None while the store may yet tell of it."""
    wanted = surplus.wanted or Decimal(0)
    facts = {"sold": _text(wanted), "posted": _text(surplus.posted), "documents": list(surplus.documents)}
    if surplus.settles or surplus.wanted is None:
        return _case(surplus, Kind.LATE_POS, facts) if surplus.late else None
    factor = _factor(wanted, surplus.posted, factors)
    if factor and wanted not in surplus.each:
        return _case(surplus, Kind.UNIT_OR_MAPPING, {**facts, "factor": _text(factor)})
    if wanted and len(surplus.documents) > 1:
        return _case(surplus, Kind.DUPLICATE, facts)
    return _case(surplus, Kind.MANUAL_POSTING, facts)


def unnamed(case: Waiting | Surplus) -> Kind:
    """Return the class that a case was named as, if it was, and still is while nothing names it now."""
    if isinstance(case, Waiting) and case.kind != "sale":
        return Kind.MANUAL_POSTING
    return Kind.LATE_POS


def judge_sums(off: Off) -> Finding:
    """Sums of ours that disagree are a fault of ours, whatever the ERP says."""
    return Finding(off.level, Kind.OUR_BUG, "", {"off_by": {name: _text(by) for name, by in sorted(off.by.items())}})


def _case(about: Waiting | Surplus, kind: Kind, evidence: Mapping[str, Any]) -> Finding:
    return Finding(about.level, kind, about.reference, evidence, about=about)


def _effects(change: Change, told: Told) -> tuple[list[_Effect], list[_Effect]]:
    """Return what documents surely changed since the base, and what those changed that the base may contain.

    A document carries the time when it was begun, and may show long after that: one that seems older than the base
    may yet be new, unless the list held it before the base was read.
    """
    sure: list[_Effect] = []
    unsure: list[_Effect] = []
    for movement in told.movements:
        known = told.known.get(movement.document)
        in_base = known is not None and known.posted and known.in_base
        if movement.posted and not in_base:
            later = movement.entered_at >= change.base_at
            why = "entered since" if later else "entered before, seen late"
            (sure if later else unsure).append(_effect(movement, -movement.quantity, why))
        elif in_base and not movement.posted:
            sure.append(_effect(movement, movement.quantity, "taken back"))
    for document in told.gone:
        known = told.known[document]
        if known.in_base:
            sure.append(_Effect(document, known.reference, known.quantity, None, "", "deleted"))
    return _by_document(sure), _by_document(unsure)


def _by_document(effects: Iterable[_Effect]) -> list[_Effect]:
    """Put the lines of a document together: a quantity may come from several lots."""
    found: dict[tuple[str, str], _Effect] = {}
    for effect in effects:
        number = effect.document.rpartition("/")[0] or effect.document
        known = found.get((number, effect.why))
        change = effect.change + (known.change if known else 0)
        found[number, effect.why] = replace(effect, document=number, change=change)
    return list(found.values())


def _explain(difference: Decimal, sure: Sequence[_Effect], unsure: Sequence[_Effect]) -> Sequence[_Effect]:
    """Return the documents that make up the difference exactly; none: nothing does.

    Of those that the base may contain, one alone may be missing in it, or the newest of them together.
    """
    left = difference - sum(effect.change for effect in sure)
    if not left:
        return sure
    newest_first = sorted(unsure, key=lambda effect: str(effect.entered_at), reverse=True)
    for effect in newest_first:
        if effect.change == left:
            return [*sure, effect]
    sums = accumulate(effect.change for effect in newest_first)
    for count, total in enumerate(sums, start=1):
        if total == left:
            return [*sure, *newest_first[:count]]
    return ()


def _by_hand(waiting: Waiting, told: Told) -> list[_Effect]:
    """Return the documents without a number of ours that moved exactly what is missing, since it was sold or usable."""
    reversed_lines = {movement.reverses for movement in told.movements if movement.reverses}
    candidates = _by_document(
        _effect(movement, -movement.quantity, "same quantity, not our number")
        for movement in told.movements
        if movement.posted
        and not movement.reverses
        and movement.document not in reversed_lines
        and movement.reference.upper() not in told.ours
        and movement.entered_at >= waiting.since - CLOCKS
    )
    change = waiting.quantity if waiting.brings else -waiting.quantity
    return [effect for effect in candidates if effect.change == change]


def _factor(one: Decimal, other: Decimal, factors: Iterable[Decimal]) -> Decimal | None:
    """Return the content of a package by which one quantity is a multiple of the other."""
    if not one or not other:
        return None
    return next((f for f in factors if f != 1 and (one * f == other or other * f == one)), None)


def _effect(movement: Movement, change: Decimal, why: str) -> _Effect:
    who = movement.entered_by
    return _Effect(movement.document, movement.reference.upper(), change, movement.entered_at, who, why)


def _describe(effect: _Effect) -> dict[str, str]:
    facts = {
        "document": effect.document,
        "reference": effect.reference,
        "change": _text(effect.change),
        "entered_at": _time(effect.entered_at) if effect.entered_at else "",
        "entered_by": effect.entered_by,
        "why": effect.why,
    }
    return {name: value for name, value in facts.items() if value}


def _text(quantity: Decimal) -> str:
    return format(quantity.normalize(), "f")


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
