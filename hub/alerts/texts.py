"""What alerts say, in Chinese and English: what is so, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from hub.alerts.rules import Kind
from hub.contracts import Alert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hub.contracts import AlertPhase
    from hub.settings import AdapterSettings

Severity = Literal["warning", "critical"]
SEVERITIES: Mapping[str, Severity] = {
    Kind.FEED_STALE: "critical",
    Kind.LIVE_DEAD: "critical",
    Kind.WATCH_LATE: "critical",
    Kind.SNAPSHOT_REFUSED: "warning",
    Kind.QUARANTINE_GROWTH: "warning",
    Kind.SUMS_DISAGREE: "critical",
    Kind.STOCK_LOW: "warning",
}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one kind: its title, what is so, what to do, and what is so once it is over."""

    title: str
    summary: str
    advice: str
    over: str


@dataclass(frozen=True, slots=True)
class Tongue:
    """One language: words by kind, and the small words around them."""

    kinds: Mapping[str, Words]
    phases: Mapping[str, str]
    severities: Mapping[str, str]
    never: str
    began: str
    over_at: str
    loop: Mapping[bool, str]
    title: str
    low: str
    offer: str
    offer_days: str
    no_offer: str


CHINESE = Tongue(
    kinds={
        Kind.FEED_STALE: Words(
            "库存数据过期：{subject}",
            "{subject} 的库存数据已过期，最近一次成功读取：{read_at}。商城和门店看到的是旧数字。",
            "请在运维页查看 {subject} 的错误，确认 ERP 可以访问、账号和权限没有变化。恢复后会自动补读，无需手工操作。",
            "{subject} 的库存数据已恢复更新。",
        ),
        Kind.SNAPSHOT_REFUSED: Words(
            "整库快照被拒：{subject}",
            "{subject} 的整库快照不完整、为空或明显变小，没有采用。库存保持原来的数字。",
            "请核对 ERP 的数据和接口账号的权限。若数据确实如此，运行 "
            "oneshelf sync inventory --source {subject} --full --accept-shrink。",
            "{subject} 的整库快照已重新采用。",
        ),
        Kind.QUARANTINE_GROWTH: Words(
            "隔离区增长：{subject}",
            "最近 {minutes} 分钟，{subject} 新增 {new} 条无法使用的记录，共 {waiting} 条待处理。相关库存保持旧数字。",
            "请在运维页查看原因，多为 ERP 新增的编码、单位或字段变化。改正 ERP 数据或映射文件后，下次读取会自动处理。",
            "{subject} 的隔离区不再快速增长，还有 {waiting} 条待处理。",
        ),
        Kind.SUMS_DISAGREE: Words(
            "库存合计不一致：{subject}",
            "{subject} 有 {count} 项库存，中台自身的合计与明细不一致。这是程序缺陷，合计未作改动，可能不准。",
            "请运行 oneshelf stock differences，保留证据并上报。更正后用 --resolve 关闭；若仍不一致，会再次发现。",
            "{subject} 的库存合计没有待处理的不一致。",
        ),
        Kind.LIVE_DEAD: Words(
            "近实时同步停止",
            "近实时同步{loop}，最近一次轮询：{polled_at}。ERP 的库存变化没有进入商城和门店。",
            "请在 Prefect 页面查看 live-sync 的运行和 worker；不使用 Prefect 时，请检查 oneshelf live 服务。",
            "近实时同步已恢复。",
        ),
        Kind.WATCH_LATE: Words(
            "定时检查停止",
            "定时检查 {subject} 没有按时运行，最近一次：{looked_at}。定时的整库读取很可能也停了。",
            "请检查 Prefect 服务和 worker 是否在运行，以及部署 {subject} 是否被暂停。",
            "定时检查已恢复。",
        ),
        Kind.STOCK_LOW: Words(
            "库存低于安全库存：{count} 项",
            "{count} 项库存低于安全库存，通知 {subject}。",
            "请按下列建议采购；全部清单见 oneshelf stock low。供应商不能供货时，运行 oneshelf suppliers unavailable。",
            "这 {count} 项库存已回到安全库存。",
        ),
    },
    phases={"raised": "告警", "repeated": "告警仍在持续", "resolved": "告警解除", "test": "测试"},
    severities={"critical": "严重", "warning": "注意"},
    never="从未",
    began="开始于",
    over_at="结束于",
    loop={True: "在运行但没有轮询", False: "没有运行"},
    title="Oneshelf {phase}·{severity}·{title}",
    low="{sku} @ {location}：现有 {stock}，安全库存 {safety_stock}，建议采购 {quantity}；{offer}",
    offer="供应商 {supplier} {supplier_name} {article_no}",
    offer_days="，{lead_time_days} 天到货",
    no_offer="没有可用的供应商",
)
ENGLISH = Tongue(
    kinds={
        Kind.FEED_STALE: Words(
            "stock of {subject} is out of date",
            "The stock of {subject} is out of date. Last read with success: {read_at}. "
            "Shops and stores see old numbers.",
            "See the error of {subject} on the operations page; check that the ERP can be reached and that account and "
            "permissions have not changed. It catches up by itself afterwards.",
            "The stock of {subject} is up to date again.",
        ),
        Kind.SNAPSHOT_REFUSED: Words(
            "full read of {subject} refused",
            "A full read of {subject} was incomplete, empty or sharply smaller and was not applied. The numbers stay.",
            "Check the ERP's data and the permissions of the interface user. If the data really is so, run "
            "oneshelf sync inventory --source {subject} --full --accept-shrink.",
            "A full read of {subject} was applied again.",
        ),
        Kind.QUARANTINE_GROWTH: Words(
            "quarantine of {subject} grows",
            "In the last {minutes} min {subject} sent {new} new records that can't be used; {waiting} wait in all. "
            "The stock they are about keeps its old numbers.",
            "See the reasons on the operations page: mostly new codes, units or fields at the ERP. Correct them "
            "there or in the mapping file; the next read takes them in.",
            "The quarantine of {subject} no longer grows fast; {waiting} records still wait.",
        ),
        Kind.SUMS_DISAGREE: Words(
            "the hub's sums of {subject} disagree",
            "At {count} levels of {subject} a sum of the hub is not the sum of its rows: a fault of ours. The sums "
            "were not changed; what is offered there may be wrong.",
            "Run oneshelf stock differences, keep the evidence and report it. Close it with --resolve once the sum is "
            "right; if it is not, it is found again.",
            "No sums of {subject} that disagree are open any more.",
        ),
        Kind.LIVE_DEAD: Words(
            "near-real-time sync stands still",
            "The near-real-time sync {loop}. Last poll: {polled_at}. "
            "Changes at the ERPs do not reach shops and stores.",
            "See the runs of live-sync and the worker in the Prefect UI; without Prefect, the service oneshelf live.",
            "The near-real-time sync works again.",
        ),
        Kind.WATCH_LATE: Words(
            "scheduled check stands still",
            "The scheduled check {subject} did not run when it should. Last time: {looked_at}. "
            "The scheduled full reads have probably stopped as well.",
            "Check that Prefect's server and worker run and that the deployment {subject} is not paused.",
            "The scheduled check runs again.",
        ),
        Kind.STOCK_LOW: Words(
            "{count} levels below their safety stock",
            "{count} levels have fallen below their safety stock ({subject}).",
            "Buy as proposed below; oneshelf stock low lists them all. When a supplier can't deliver, run oneshelf "
            "suppliers unavailable.",
            "These {count} levels are at their safety stock again.",
        ),
    },
    phases={"raised": "alert", "repeated": "alert goes on", "resolved": "alert over", "test": "test"},
    severities={"critical": "critical", "warning": "attention"},
    never="never",
    began="since",
    over_at="until",
    loop={True: "runs but polls nothing", False: "does not run"},
    title="Oneshelf {phase} · {severity} · {title}",
    low="{sku} @ {location}: {stock} there, safety stock {safety_stock}, buy {quantity}; {offer}",
    offer="supplier {supplier} {supplier_name} {article_no}",
    offer_days=", {lead_time_days} days",
    no_offer="no supplier is available",
)
TONGUES: Mapping[str, Tongue] = {"zh": CHINESE, "en": ENGLISH}
_TEST = {
    "zh": "这是一条测试消息，没有任何故障。能看到它，说明告警通道配置正确。",
    "en": "This is a test and nothing is wrong. That you see it means that the channel is set up well.",
}


@dataclass(frozen=True, slots=True)
class Voice:
    """In which language, time zone and with which link alerts speak."""

    language: str
    time_zone: str
    link: str

    @classmethod
    def of(cls, settings: AdapterSettings) -> Voice:
        """Return the shop's own voice."""
        return cls(settings.default_language, settings.time_zone, f"{settings.public_url.rstrip('/')}/staff/ops")

    def time(self, moment: datetime | None) -> str:
        """Return date and minute in the shop's time zone, or the word for never."""
        if moment is None:
            return TONGUES[self.language].never
        return moment.astimezone(ZoneInfo(self.time_zone)).strftime("%Y-%m-%d %H:%M")

    def words(self, kind: str, subject: str, facts: Mapping[str, Any]) -> Words:
        """Return the words of an alert, filled in."""
        tongue = TONGUES[self.language]
        values = {name: self._spoken(name, value) for name, value in facts.items()}
        values |= {"subject": subject, "loop": tongue.loop[bool(facts.get("followed"))]}
        words = tongue.kinds[kind]
        filled = (text.format_map(values) for text in (words.title, words.summary, words.advice, words.over))
        return Words(*filled)

    def _spoken(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any fact
        return self.time(datetime.fromisoformat(value) if value else None) if name.endswith("_at") else value


def compose(
    voice: Voice,
    *,
    message_id: str,
    kind: str,
    subject: str,
    phase: AlertPhase,
    facts: Mapping[str, Any],
    began_at: datetime,
    raised_at: datetime,
    said_at: datetime,
    resolved_at: datetime | None,
) -> Alert:
    """Return the message about an alert in the shop's own words."""
    tongue, words, severity = TONGUES[voice.language], voice.words(kind, subject, facts), SEVERITIES[kind]
    details = [f"{tongue.began} {voice.time(began_at)} ({voice.time_zone})"]
    if resolved_at is not None:
        details.append(f"{tongue.over_at} {voice.time(resolved_at)} ({voice.time_zone})")
    over = phase == "resolved"
    if not over:
        details[:0] = [_low(tongue, line) for line in facts.get("lines", ())]
    return Alert(
        message_id=message_id,
        kind=kind,
        subject=subject,
        phase=phase,
        severity=severity,
        title=_title(tongue, phase, severity, words.title),
        summary=words.over if over else words.summary,
        details=details,
        advice="" if over else words.advice,
        link=voice.link,
        began_at=began_at,
        raised_at=raised_at,
        said_at=said_at,
        resolved_at=resolved_at,
        facts=facts,
    )


def compose_test(voice: Voice, message_id: str, now: datetime) -> Alert:
    """Return a message that is marked as a test."""
    tongue = TONGUES[voice.language]
    return Alert(
        message_id=message_id,
        kind="test",
        subject="test",
        phase="test",
        severity="warning",
        title=f"Oneshelf {tongue.phases['test']}",
        summary=_TEST[voice.language],
        details=[],
        advice="",
        link=voice.link,
        began_at=now,
        raised_at=now,
        said_at=now,
    )


def _low(tongue: Tongue, line: Mapping[str, Any]) -> str:
    """Return the words about a level below its safety stock."""
    offer = tongue.no_offer
    if line["supplier"] is not None:
        days = "" if line["lead_time_days"] is None else tongue.offer_days.format_map(line)
        offer = tongue.offer.format_map(line).rstrip() + days
    return tongue.low.format_map({**line, "offer": offer})


def _title(tongue: Tongue, phase: str, severity: str, title: str) -> str:
    return tongue.title.format(phase=tongue.phases[phase], severity=tongue.severities[severity], title=title)
