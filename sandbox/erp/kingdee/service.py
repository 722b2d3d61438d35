"""Which service method does what: from a parsed call to its answer, before the answer becomes text."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from sandbox.erp.kingdee.bills import BillService
from sandbox.erp.kingdee.inventory_service import inventory_data
from sandbox.erp.kingdee.query import QueryEngine
from sandbox.erp.kingdee.view import business_info, view
from sandbox.erp.kingdee.wire import BAD_REQUEST, ApiError, Call, ServerFailure, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.erp.kingdee.world import World
    from sandbox.faults import Switchboard

_RUNNING: Final = 1
_COMPLETE: Final = 2
_MOST_TASKS: Final = 500
# Both spellings are in use: the SDKs say Excute, a field report says that the server's own name is Execute.
_OPERATION_METHODS: Final = frozenset({"excuteoperation", "executeoperation"})


class Services:
    """DynamicFormService and InventoryQueryService."""

    def __init__(self, world: World, faults: Switchboard, max_rows: int) -> None:
        self._world = world
        self._faults = faults
        self._queries = QueryEngine(world, faults, max_rows)
        self._bills = BillService(world, faults)
        self._tasks: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Any:  # noqa: ANN401 - JSON
        """Return a call's answer, with refusals in the vendor's error form.

        Raises:
            ServerFailure: no such method, or data that the real server would stumble over.
        """
        try:
            answer = self._dispatch(call)
        except ApiError as error:
            answer = refusal(call.method, error)
        except sqlite3.Error as error:
            answer = refusal(call.method, ApiError(f"数据库执行失败：{error}", BAD_REQUEST))
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            # a model of an unexpected shape: the vendor lets its own exception escape
            raise ServerFailure("未将对象引用设置到对象的实例。") from error
        return self._begin(answer) if call.begins_task else answer

    def _dispatch(self, call: Call) -> Any:  # noqa: ANN401 - JSON
        method, data = call.method, call.data
        if method == "executebillquery":
            return self._queries.lists(data)
        if method == "billquery":
            return self._queries.objects(data)
        if method == "getinventorydata":
            return inventory_data(self._world, self._faults, data)
        if method == "querybusinessinfo":
            return business_info(data)
        if method == "queryasyncresult":
            return self._finish(data)
        return self._write(call)

    def _write(self, call: Call) -> Any:  # noqa: ANN401 - JSON
        method, form_id, data = call.method, call.form_id, call.data
        if method == "view":
            return view(self._world, form_id, data)
        if method in {"save", "draft"}:
            return self._bills.save(form_id, data, draft=method == "draft")
        if method == "batchsave":
            return self._bills.batch_save(form_id, data)
        operation = call.operation.lower() if method in _OPERATION_METHODS else method
        if self._bills.knows(operation):
            if operation == "audit":
                self._bills.audit_first(form_id, data)
            return self._bills.operate(form_id, operation, data)
        if method in _OPERATION_METHODS:
            raise ApiError(f"操作{call.operation}不存在。", BAD_REQUEST)
        raise ServerFailure(f"未找到服务方法：{method}")

    # --- calls that are begun and asked for later: the answer is there at the first question
    def _begin(self, answer: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        task_id = str(uuid.uuid4())
        with self._lock:
            self._tasks[task_id] = answer
            while len(self._tasks) > _MOST_TASKS:
                self._tasks.popitem(last=False)
        return {"Status": _RUNNING, "TaskId": task_id, "Result": None, "Successful": False}

    def _finish(self, data: Mapping[str, Any]) -> dict[str, Any]:
        task_id = str(data.get("TaskId") or "")
        with self._lock:
            if task_id not in self._tasks:
                raise ServerFailure(f"任务{task_id}不存在")
            answer = self._tasks[task_id]
        return {"Status": _COMPLETE, "TaskId": task_id, "Result": answer, "Successful": True}
