"""How the copies of one follower or one leader are going: outcomes, skips by reason, slippage and delays. Reads only.

Every read is bounded: the newest COPIES_MAX copies of the window, by the index of the person, and of these the newest
FILLS_MAX fills. What is left out is said.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.db.models import QuerySet

from copytrading.explain import finding
from copytrading.explain.reasons import explanation, title
from copytrading.models import CopyTrade
from copytrading.states import Status
from ledger.moments import keys_between
from ledger.units import Side

COPIES_MAX = 10_000
"""Newest copies of a person that a page looks at."""

FILLS_MAX = 500
"""Newest fills from which slippage and delays are taken."""

BPS = 10_000

WINDOWS: dict[str, tuple[str, timedelta | None]] = {
    "24h": ("the last 24 hours", timedelta(hours=24)),
    "7d": ("the last 7 days", timedelta(days=7)),
    "all": ("all time", None),
}
"""The windows of a page, by the name in its address."""

Who = Literal["follower", "leader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoned:
    """How many copies gave this reason, and what it means."""

    reason: str
    title: str
    means: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The middle and the slow end of some measurements; None without any."""

    median: int | None
    p90: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The milliseconds of one step."""

    name: str
    spread: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The copies of one person in one window. `cut` says that there are more than were looked at.

    `gone` are those whose leader's transaction is not in the chain; `gone_at` is when that was found last.
    """

    seen: int
    cut: bool
    by_status: tuple[tuple[str, int], ...]
    skips: tuple[Reasoned, ...]
    failures: tuple[Reasoned, ...]
    notes: tuple[Reasoned, ...]
    fills: int
    slippage_bps: Spread
    delays_ms: tuple[Delay, ...]
    gone: int
    gone_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Fill:
    side: str
    fill_price_micros: int
    leader_price_micros: int
    detected_at: datetime
    decided_at: datetime
    submitted_at: datetime | None
    executed_at: datetime | None


_FILL = ("side", "fill_price_micros", "leader_price_micros", "detected_at", "decided_at", "submitted_at", "executed_at")


def copies_of(who: Who, person_id: int, *, window: str, now: datetime) -> Copies:
    """The copies of a follower, or of everybody who copies a leader. At most seven queries beside the window's keys."""
    rows = CopyTrade.objects.filter(**{f"{who}_id": person_id})
    span = WINDOWS[window][1]
    if span is not None:
        keys = keys_between(CopyTrade, "decided_at", now - span, None)
        rows = rows.filter(pk__gte=keys.first, decided_at__gte=now - span)
    told = list(rows.order_by("-pk").values_list("status", "reasons")[: COPIES_MAX + 1])
    cut, told = len(told) > COPIES_MAX, told[:COPIES_MAX]
    filled = any(status == Status.EXECUTED for status, _reasons in told)
    newest = rows.filter(status=Status.EXECUTED).order_by("-pk").values_list(*_FILL)[:FILLS_MAX] if filled else ()
    fills = [_Fill(*row) for row in newest]
    outcomes = Counter(status for status, _reasons in told)
    gone = _gone(rows)
    return Copies(
        seen=len(told),
        cut=cut,
        by_status=tuple((status.value, outcomes[status]) for status in Status if outcomes[status]),
        skips=_counted(_said(told, {Status.SKIPPED}, note=False)),
        failures=_counted(_said(told, {Status.FAILED}, note=False)),
        notes=_counted(_said(told, set(Status), note=True)),
        fills=len(fills),
        slippage_bps=spread(slippage_bps(fill) for fill in fills),
        delays_ms=_delays(fills),
        gone=len(gone),
        gone_at=max(gone, default=None),
    )


def _gone(rows: QuerySet[CopyTrade]) -> list[datetime]:
    """For each of the newest of these copies whose leader's trade is gone: when that was found."""
    found = finding.signals_gone()
    if not found:
        return []
    named = rows.filter(signal_id__in=found).order_by("-pk").values_list("signal_id", flat=True)[:COPIES_MAX]
    return [found[signal_id] for signal_id in named]


def slippage_bps(fill: _Fill) -> int:
    """How much worse than the leader's price a fill was, in bps of it; below zero when it was better."""
    worse = fill.fill_price_micros - fill.leader_price_micros
    if fill.side == Side.SELL.value:
        worse = -worse
    return round(worse * BPS / fill.leader_price_micros)


def spread(values: Iterable[int]) -> Spread:
    """The median and the ninetieth percentile, by nearest rank."""
    found = sorted(values)
    if not found:
        return Spread(median=None, p90=None)
    return Spread(median=found[_rank(len(found), 50)], p90=found[_rank(len(found), 90)])


def _rank(count: int, percent: int) -> int:
    return -(-count * percent // 100) - 1


def _said(rows: Sequence[tuple[str, list[dict[str, object]]]], statuses: set[Status], *, note: bool) -> Counter[str]:
    return Counter(
        str(each.get("reason"))
        for status, reasons in rows
        if status in statuses
        for each in reasons
        if bool(each.get("note")) is note
    )


def _counted(counter: Counter[str]) -> tuple[Reasoned, ...]:
    return tuple(
        Reasoned(reason=reason, title=title(reason), means=explanation(reason), count=count)
        for reason, count in counter.most_common()
    )


def _delays(fills: Sequence[_Fill]) -> tuple[Delay, ...]:
    steps = (
        ("From seen to decided", "detected_at", "decided_at"),
        ("From decided to sent", "decided_at", "submitted_at"),
        ("From sent to filled", "submitted_at", "executed_at"),
        ("From seen to filled", "detected_at", "executed_at"),
    )
    return tuple(Delay(name=name, spread=spread(_between(fills, begin, end))) for name, begin, end in steps)


def _between(fills: Sequence[_Fill], begin: str, end: str) -> Iterable[int]:
    for fill in fills:
        first, second = getattr(fill, begin), getattr(fill, end)
        if first is not None and second is not None:
            yield round((second - first).total_seconds() * 1_000)
