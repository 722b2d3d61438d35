"""Read what Save is given: the Model's head and lines, in whatever case their names come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.kingdee.database import to_units
from sandbox.erp.kingdee.world import Line

if TYPE_CHECKING:
    import sqlite3

    from sandbox.erp.kingdee.forms import BillForm
    from sandbox.erp.kingdee.world import World

_COLOUR: Final = "ff100001"
_SIZE: Final = "ff100002"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a Model can't be saved: the field and the message."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A line to write, and the entry it replaces (0: a new one)."""

    entry_id: int
    line: Line


def lowered(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON data with every object's keys in lower case."""
    if isinstance(value, Mapping):
        return {str(name).lower(): lowered(part) for name, part in value.items()}
    if isinstance(value, list):
        return [lowered(part) for part in value]
    return value


def reference(value: object) -> str:
    """Return the number of a base-data reference: {"FNumber": "x"} or plain text; '' when there is none."""
    if isinstance(value, Mapping):
        value = value.get("fnumber", value.get("fbillno"))
    return "" if value is None else str(value).strip()


def missing_head(form: BillForm, model: Mapping[str, Any]) -> list[Problem]:
    """Return the required head fields that a (lower-case) model lacks."""
    return [Problem(name, f"字段“{name}”是必填项，不能为空") for name in form.required if not _present(model, name)]


def _present(model: Mapping[str, Any], dotted: str) -> bool:
    value: object = model
    for name in dotted.lower().split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return bool(reference(value)) if not isinstance(value, list) else bool(value)


def read_lines(
    world: World, form: BillForm, model: Mapping[str, Any], existing: Mapping[int, sqlite3.Row]
) -> tuple[list[ModelLine], list[Problem]]:
    """Return a model's lines and what is wrong with them; `existing` are the bill's entries so far, by id."""
    entries = model.get(form.entry_key.lower())
    if not isinstance(entries, list):
        return [], [] if existing else [Problem(form.entry_key, "单据分录不能为空")]
    lines: list[ModelLine] = []
    problems: list[Problem] = []
    for number, entry in enumerate(entries, start=1):
        entry_id = int(entry.get("fentryid") or 0)
        before = existing.get(entry_id)
        line = _read_line(form, entry, before)
        problems += [Problem(name, f"第{number}行：{text}") for name, text in _wrong(world, form, line)]
        if before is None:
            problems += [
                Problem(name, f"第{number}行：字段“{name}”是必填项，不能为空")
                for name in form.required_in_entry
                if not _present(entry, name)
            ]
        lines.append(ModelLine(entry_id if before is not None else 0, line))
    if not lines and not existing:
        problems.append(Problem(form.entry_key, "单据分录不能为空"))
    return lines, problems


def _read_line(form: BillForm, entry: Mapping[str, Any], before: sqlite3.Row | None) -> Line:
    """Return one line; fields that an update does not name keep their value."""
    line = Line("", "", "", 0) if before is None else Line(**{name: before[name] for name in Line.__slots__})
    texts: dict[str, str] = {}
    if "fmaterialid" in entry:
        texts["material"] = reference(entry["fmaterialid"])
    properties = entry.get("fauxpropid")
    if isinstance(properties, Mapping):
        texts["colour"] = _property(properties, _COLOUR)
        texts["size"] = _property(properties, _SIZE)
    if "flot" in entry:
        texts["lot"] = reference(entry["flot"])
    for name, field in ((form.source_field, "source"), (form.target_field, "target")):
        # transfers are seen with both spellings, FSrcStockId and FSrcStockID: names are lower-case here
        if name and name.lower() in entry:
            texts[field] = reference(entry[name.lower()])
    status = reference(entry.get("fstockstatusid") or entry.get("fsrcstockstatusid"))
    if status:
        texts["from_status" if form.takes else "to_status"] = status
    target_status = reference(entry.get("fdeststockstatusid"))
    if target_status:
        texts["to_status"] = target_status
    line = replace(line, **texts)  # type: ignore[arg-type]  # only text fields are named
    for name in (form.quantity.lower(), "fqty"):
        if name in entry:
            return replace(line, quantity=_quantity(entry[name]) * line.factor)
    return line


def _property(properties: Mapping[str, Any], code: str) -> str:
    """Return one auxiliary property: Save spells its key FAUXPROPID__FF100001, other writers FF100001."""
    return reference(properties.get(f"fauxpropid__{code}", properties.get(code)))


def _quantity(value: object) -> int:
    try:
        return to_units(value)
    except ValueError:
        return 0


def _wrong(world: World, form: BillForm, line: Line) -> list[tuple[str, str]]:
    """Return what a line lacks; base data that does not exist reads as empty, as on the real server."""
    wrong = []
    if not world.database.rows("SELECT 1 FROM material WHERE number = ?", (line.material,)):
        wrong.append(("FMaterialId", "字段“物料编码”是必填项，不能为空"))
    elif not world.variant_exists(line.material, line.colour, line.size):
        wrong.append(("FAuxPropId", "物料启用了辅助属性，字段“辅助属性”不能为空或该组合不存在"))
    if line.quantity <= 0:
        wrong.append((form.quantity, "字段“数量”必须大于0，不能为空"))
    for name, value in ((form.source_field, line.source), (form.target_field, line.target)):
        if name and not world.database.rows("SELECT 1 FROM warehouse WHERE number = ?", (value,)):
            wrong.append((name, "字段“仓库”是必填项，不能为空"))
    return wrong
