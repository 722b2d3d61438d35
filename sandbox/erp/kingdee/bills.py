"""Writing bills: Save, Draft, Submit, Audit, UnAudit, Delete, and View, with the vendor's answers and refusals.

States: Z 暂存, A 创建, B 审核中, C 已审核, D 重新审核. Stock moves at Audit (the posting point 过账点 = 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.kingdee.forms import BillForm, bill_forms
from sandbox.erp.kingdee.model import ModelLine, Problem, lowered, missing_head, read_lines
from sandbox.erp.kingdee.stock import NegativeStockError
from sandbox.erp.kingdee.wire import BAD_REQUEST, REFUSED, ApiError, error_entry, is_true, status
from sandbox.erp.kingdee.world import dump_model, load_model

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from sandbox.erp.kingdee.world import World
    from sandbox.faults import Switchboard

NEGATIVE_FLAG: Final = "STK_InvCheckResult"
_EDITABLE: Final = frozenset("ZAD")
_STATE_NAMES: Final = {"Z": "暂存", "A": "创建", "B": "审核中", "C": "已审核", "D": "重新审核"}


class RefusedError(Exception):
    """Raised when one bill can't be written; carries ResponseStatus.Errors' entries."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Saved:
    """A bill after Save; `later` is what the automatic Submit or Audit met, after the Save itself was done."""

    bill_id: int
    number: str
    later: tuple[Problem, ...] = ()


class BillService:
    """The writing half of DynamicFormService."""

    def __init__(self, world: World, faults: Switchboard) -> None:
        self._world = world
        self._faults = faults
        self._operations: dict[str, Callable[[BillForm, sqlite3.Row, bool], None]] = {
            "submit": self._submit,
            "audit": self._audit,
            "unaudit": self._unaudit,
            "delete": self._delete,
        }

    # --- Save, Draft, BatchSave
    def save(self, form_id: str, data: Mapping[str, Any], *, draft: bool = False) -> dict[str, Any]:
        """Save one bill (draft: without checking required fields, state Z)."""
        form, options = _bill_form(form_id), lowered(data)
        try:
            saved = self._save_one(form, options, options.get("model"), draft=draft)
        except RefusedError as error:
            return _answer(errors=_entries(error.problems, 0))
        entity = {"Id": saved.bill_id, "Number": saved.number, "DIndex": 0}
        if saved.later:
            return _answer(errors=_entries(saved.later, 0), saved=entity)
        return _answer(entities=[entity], saved=entity)

    def batch_save(self, form_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Save several bills; each succeeds or fails by itself."""
        form, options = _bill_form(form_id), lowered(data)
        models = options.get("model")
        if not isinstance(models, list):
            raise ApiError("批量保存的Model应为数组。", BAD_REQUEST)
        partial = self._faults.strike("partial-batch", form=form.form_id) is not None
        errors: list[dict[str, Any]] = []
        entities: list[dict[str, Any]] = []
        for index, model in enumerate(models[:-1] if partial else models):
            try:
                saved = self._save_one(form, options, model, draft=False)
            except RefusedError as error:
                errors += _entries(error.problems, index)
                continue
            errors += _entries(saved.later, index)
            if not saved.later:
                entities.append({"Id": saved.bill_id, "Number": saved.number, "DIndex": index})
        return _answer(errors=errors, entities=entities)

    def _save_one(self, form: BillForm, options: Mapping[str, Any], model: object, *, draft: bool) -> Saved:
        if not isinstance(model, dict):
            raise RefusedError(Problem("Model", "Model不能为空"))
        self._meet_lock(form, str(model.get("fbillno") or ""))
        with self._world.database.savepoint():
            bill_id, number = self._write(form, options, model, draft=draft)
        if draft or not is_true(options.get("isautosubmitandaudit"), default=False):
            return Saved(bill_id, number)
        try:
            for operation in (self._submit, self._audit):
                self._operate(form, bill_id, operation, options)
        except RefusedError as error:
            # the Save stays done: only what came after it failed
            return Saved(bill_id, number, error.problems)
        return Saved(bill_id, number)

    def _write(
        self, form: BillForm, options: Mapping[str, Any], model: Mapping[str, Any], *, draft: bool
    ) -> tuple[int, str]:
        bill = self._bill_to_update(form, model)
        rows = self._world.database.rows(
            "SELECT * FROM entry WHERE bill = ? ORDER BY line", (bill["id"] if bill else 0,)
        )
        existing = {int(row["id"]): row for row in rows}
        lines, problems = read_lines(self._world, form, model, existing)
        head = load_model(bill["model"]) | dict(model) if bill else dict(model)
        head.pop(form.entry_key.lower(), None)
        if not draft:
            problems = [*missing_head(form, head), *problems]
        forced = self._faults.strike("required-field", form=form.form_id)
        if forced is not None:
            field = str(forced.get("field", "FSalerId"))
            problems.insert(0, Problem(field, f"字段“{field}”是必填项，不能为空"))
        if problems:
            raise RefusedError(*problems)
        state = "Z" if draft else "A"
        date = str(head.get("fdate") or "")[:10]
        if bill is None:
            posted = self._world.create_bill(
                form,
                [line.line for line in lines],
                status=state,
                number=str(model.get("fbillno") or ""),
                model=head,
                date=f"{date}T00:00:00.000" if date else "",
            )
            return posted.bill_id, posted.bill_no
        delete = is_true(options.get("isdeleteentry"), default=True)
        delete = self._faults.strike("delete-entry", form=form.form_id) is not None or delete
        named = form.entry_key.lower() in model
        self._update(bill, head, lines, existing, delete=delete and named)
        return int(bill["id"]), str(bill["number"])

    def _bill_to_update(self, form: BillForm, model: Mapping[str, Any]) -> sqlite3.Row | None:
        bill_id = int(model.get("fid") or 0)
        number = str(model.get("fbillno") or "")
        if not bill_id:
            if self._world.is_taken(form.form_id, number):
                raise RefusedError(Problem("FBillNo", f"单据编号“{number}”已存在，请重新录入"))
            return None
        bill = self._world.find_bill(form.form_id, bill_id=bill_id)
        if bill is None:
            raise RefusedError(Problem("FID", f"内码为“{bill_id}”的数据不存在"))
        if bill["status"] not in _EDITABLE:
            raise RefusedError(Problem("", f"单据“{bill['number']}”{_STATE_NAMES[bill['status']]}，不允许修改"))
        return bill

    def _update(
        self,
        bill: sqlite3.Row,
        head: Mapping[str, Any],
        lines: Sequence[ModelLine],
        existing: Mapping[int, sqlite3.Row],
        *,
        delete: bool,
    ) -> None:
        """Rewrite a bill: listed entries change or are added; the others go, unless IsDeleteEntry is false."""
        listed = {line.entry_id for line in lines}
        with self._world.database.transaction() as connection:
            if delete:
                for entry_id in existing.keys() - listed:
                    connection.execute("DELETE FROM entry WHERE id = ?", (entry_id,))
            for line in (line for line in lines if line.entry_id):
                self._world.change_line(line.entry_id, line.line)
            last = max((row["line"] for row in existing.values()), default=0)
            self._world.write_lines(bill["id"], [line.line for line in lines if not line.entry_id], first=last + 1)
            connection.execute("UPDATE bill SET model = ? WHERE id = ?", (dump_model(head), bill["id"]))
            self._world.set_status(bill["id"], "D" if bill["status"] == "D" else "A")

    # --- Submit, Audit, UnAudit, Delete
    def knows(self, operation: str) -> bool:
        """Return whether there is such an operation (lower-case)."""
        return operation in self._operations

    def operate(self, form_id: str, operation: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Run one operation on the bills of Numbers (an array) or Ids (text with commas); each by itself."""
        form, options = _bill_form(form_id), lowered(data)
        wanted = _wanted(options)
        if not wanted:
            raise ApiError("Numbers和Ids不能同时为空。", BAD_REQUEST)
        partial = len(wanted) > 1 and self._faults.strike("partial-batch", form=form.form_id) is not None
        errors: list[dict[str, Any]] = []
        entities: list[dict[str, Any]] = []
        for index, (number, bill_id) in enumerate(wanted[:-1] if partial else wanted):
            try:
                bill = self._world.find_bill(form.form_id, number=number, bill_id=bill_id)
                if bill is None:
                    raise RefusedError(Problem("", f"编码为“{number or bill_id}”的数据不存在"))  # noqa: TRY301
                self._meet_lock(form, bill["number"])
                self._operate(form, bill["id"], self._operations[operation], options)
            except RefusedError as error:
                errors += _entries(error.problems, index)
            else:
                entities.append({"Id": bill["id"], "Number": bill["number"], "DIndex": index})
        return _answer(errors=errors, entities=entities)

    def _operate(
        self,
        form: BillForm,
        bill_id: int,
        operation: Callable[[BillForm, sqlite3.Row, bool], None],
        options: Mapping[str, Any],
    ) -> None:
        allow_negative = NEGATIVE_FLAG.lower() in str(options.get("interationflags") or "").lower()
        with self._world.database.savepoint():
            bill = self._world.find_bill(form.form_id, bill_id=bill_id)
            if bill is not None:
                operation(form, bill, allow_negative)

    def _meet_lock(self, form: BillForm, number: str) -> None:
        if self._faults.strike("locked", form=form.form_id) is not None:
            text = f"网控：单据“{number}”已被其他用户修改或正在被用户“张三”操作，请稍后重试"
            raise RefusedError(Problem("", text))

    def _submit(self, form: BillForm, bill: sqlite3.Row, _allow_negative: bool) -> None:  # noqa: FBT001
        if self._faults.strike("submit-fails", form=form.form_id) is not None:
            raise RefusedError(Problem("", f"单据“{bill['number']}”提交失败：工作流未找到合适的审批人"))
        _require(bill, "AD", "提交")
        self._world.set_status(bill["id"], "B")

    def _audit(self, _form: BillForm, bill: sqlite3.Row, allow_negative: bool) -> None:  # noqa: FBT001
        _require(bill, "B", "审核")
        try:
            self._world.audit(bill["id"], allow_negative=allow_negative)
        except NegativeStockError as error:
            text = f"单据“{bill['number']}”审核失败：更新库存时出现可以忽略的负库存数据（{error}），{NEGATIVE_FLAG}"
            raise RefusedError(Problem("", text)) from error

    def _unaudit(self, _form: BillForm, bill: sqlite3.Row, _allow_negative: bool) -> None:  # noqa: FBT001
        _require(bill, "C", "反审核")
        self._world.unaudit(bill["id"])

    def _delete(self, _form: BillForm, bill: sqlite3.Row, _allow_negative: bool) -> None:  # noqa: FBT001
        _require(bill, "ZAD", "删除")
        self._world.delete(bill["id"])

    def audit_first(self, form_id: str, data: Mapping[str, Any]) -> None:
        """Let somebody else audit the submitted bills of a call before it, if that fault is on."""
        form = bill_forms().get(form_id.lower())
        if form is None or self._faults.strike("already-audited", form=form.form_id) is None:
            return
        for number, bill_id in _wanted(lowered(data)):
            bill = self._world.find_bill(form.form_id, number=number, bill_id=bill_id)
            if bill is not None and bill["status"] == "B":
                self._world.audit(bill["id"], allow_negative=True)


def _bill_form(form_id: str) -> BillForm:
    form = bill_forms().get(form_id.strip().lower())
    if form is None:
        raise ApiError(f"业务对象{form_id}不存在，请检查FormId。", BAD_REQUEST)
    return form


def _wanted(options: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return (number, id) pairs: Numbers is an array, Ids is text with commas; either may come the other way too."""

    def parts(value: object) -> list[str]:
        pieces = value if isinstance(value, list) else str(value or "").split(",")
        return [str(piece).strip() for piece in pieces if str(piece).strip()]

    numbers = [(number, 0) for number in parts(options.get("numbers"))]
    return numbers + [("", int(piece)) for piece in parts(options.get("ids")) if piece.isdigit()]


def _require(bill: sqlite3.Row, states: str, doing: str) -> None:
    state = str(bill["status"])
    if state in states:
        return
    if state == "C":
        text = f"单据“{bill['number']}”已审核，不能{doing}，单据状态非草稿"
    else:
        text = f"单据“{bill['number']}”的状态为{_STATE_NAMES[state]}，不能{doing}"
    raise RefusedError(Problem("", text))


def _entries(problems: Sequence[Problem], index: int) -> list[dict[str, Any]]:
    return [error_entry(problem.message, problem.field or None, index) for problem in problems]


def _answer(
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    entities: Sequence[Mapping[str, Any]] = (),
    saved: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ResponseStatus": status(errors=errors, entities=entities, msg_code=REFUSED if errors else 0)
    }
    if saved is not None:
        result |= {"Id": saved["Id"], "Number": saved["Number"]}
    return {"Result": result | {"NeedReturnData": [{}]}}
