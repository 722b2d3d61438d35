"""The classes of differences, and what they say to people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """Why the hub and an ERP differ. The names stand in the database, in reports and in the ledger's causes."""

    OUR_BUG = "our_bug"
    MISSED_EVENT = "missed_event"
    LATE_POS = "late_pos"
    DUPLICATE = "duplicate"
    UNIT_OR_MAPPING = "unit_or_mapping"
    MANUAL_POSTING = "manual_posting"
    UNEXPLAINED = "unexplained"

    @property
    def cause(self) -> str:
        """What a correction of this class is called in the ledger."""
        return f"reconcile: {self.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class Words:
    """A class in words: what is so, and what a person should do."""

    english: str
    chinese: str
    severity: Literal["notice", "warning", "critical"]


KINDS: Mapping[Kind, Words] = MappingProxyType(
    {
        Kind.OUR_BUG: Words(
            "The hub's own sums disagree: a fault of ours. Keep the evidence and report it. The base follows the ERP"
            " all the same; the sums stay as they are until somebody has them made anew.",
            "中台自身的合计不一致，属于程序缺陷。请保留证据并上报。账面数仍按 ERP 更新；合计在人工重算之前保持不变。",
            "critical",
        ),
        Kind.MISSED_EVENT: Words(
            "The ERP holds documents that explain the difference and that no look for changes named. Corrected.",
            "ERP 中有凭证可以解释差异，但没有被变更轮询发现。已自动更正。",
            "notice",
        ),
        Kind.LATE_POS: Words(
            "A store's sale reached the hub and the ERP at different times, or only one of them, or its day was settled"
            " with less. Ask the store for its upload.",
            "门店销售到达中台和 ERP 的时间不一致，或只到了一方，或日结数量偏少。请联系门店核对上传。",
            "warning",
        ),
        Kind.DUPLICATE: Words(
            "Several documents of the ERP stand for one number of ours and took more than was sold. Cancel the surplus"
            " one.",
            "同一单号在 ERP 中有多张有效凭证，出库数量超过销售数量。请冲销多余的凭证。",
            "warning",
        ),
        Kind.UNIT_OR_MAPPING: Words(
            "The quantities differ by the content of a package, or since a mapping file was changed. Check unit and"
            " mapping.",
            "数量相差一个装箱数，或在映射文件变更之后出现差异。请检查单位和映射。",
            "warning",
        ),
        Kind.MANUAL_POSTING: Words(
            "Somebody seems to have posted this by hand at the ERP: without our number, with another quantity, at"
            " another place, or after it was cancelled. Compare, then resolve.",
            "疑似有人在 ERP 中手工过账：没有带我方单号、数量不同、地点不同，或订单已取消。请核对后处理。",
            "warning",
        ),
        Kind.UNEXPLAINED: Words(
            "The ERP says another quantity, and none of its documents explain it. The level follows the ERP; find out"
            " why.",
            "ERP 的数量不同，且没有凭证可以解释。库存已按 ERP 更新，请查明原因。",
            "warning",
        ),
    }
)
