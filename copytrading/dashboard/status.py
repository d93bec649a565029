"""Who runs and what is switched off now: the part of the page that is rows, not events. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, QuerySet

from copytrading.models import CopyConfig, CopyTrade, Leader, ShardLease
from copytrading.states import Status as CopyStatus
from guardrails.models import Breaker, Scope, Switch
from ledger.sql import database_now

LEASES_MAX = 64
SWITCHES_MAX = 100
BREAKERS_MAX = 100

WAITING_MAX = 1_000
"""Orders that are counted in each state; a page says "at least" when there are so many."""

WAITING_FOR_ANSWER = (CopyStatus.UNKNOWN, CopyStatus.PENDING, CopyStatus.LIVE, CopyStatus.MATCHED)
"""The states of an order whose end is not known yet, what wants a person's look first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Who runs a shard. `held` is false when nobody does or the heartbeat stopped for longer than the lease."""

    shard: str
    holder: str
    term: int
    held: bool
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOn:
    """A switch that is on, and who turned it on."""

    kind: str
    scope: str
    key: str
    why: str
    who: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOpen:
    """A breaker that refuses, or lets only a few probes through; it comes back by itself at `probe_at`."""

    kind: str
    scope: str
    key: str
    state: str
    why: str
    who: str
    at: datetime | None
    probe_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingOrders:
    """Orders without an end, in one state: how many (at most WAITING_MAX are counted), and since when the oldest is."""

    status: str
    count: int
    more: bool
    oldest_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Who runs and what is switched off now, by the database's clock. The last two say what a newcomer lacks."""

    now: datetime
    paused: bool
    switches: tuple[SwitchOn, ...]
    breakers: tuple[BreakerOpen, ...]
    waiting: tuple[WaitingOrders, ...]
    shards: tuple[Shard, ...]
    has_leaders: bool
    has_configs: bool


def status() -> Status:
    """The status now; six small queries, whatever the rows."""
    found = switches_on()
    now, has_leaders, has_configs = _now_and_people()
    return Status(
        now=now,
        paused=any(each.kind == Switch.Kind.PAUSE and each.scope == Scope.GLOBAL for each in found),
        switches=found,
        breakers=breakers_open(),
        waiting=orders_waiting(),
        shards=_shards(now),
        has_leaders=has_leaders,
        has_configs=has_configs,
    )


def switches_on() -> tuple[SwitchOn, ...]:
    """The switches that are on, newest change first."""
    rows = Switch.objects.filter(on=True).order_by("-changed_at")[:SWITCHES_MAX]
    return tuple(
        SwitchOn(kind=row.kind, scope=row.scope, key=row.key, why=row.why, who=row.changed_by, at=row.changed_at)
        for row in rows
    )


def breakers_open() -> tuple[BreakerOpen, ...]:
    """The breakers that are not closed: those of venues and of everybody, then those of accounts, the newest first."""
    # By their names that is the order of the alphabet, backwards.
    rows = Breaker.objects.exclude(state=Breaker.State.CLOSED).order_by("-scope", "-opened_at")[:BREAKERS_MAX]
    return tuple(
        BreakerOpen(
            kind=row.kind,
            scope=row.scope,
            key=row.key,
            state=row.state,
            why=row.why,
            who=row.changed_by,
            at=row.opened_at,
            probe_at=row.probe_at,
        )
        for row in rows
    )


def orders_waiting() -> tuple[WaitingOrders, ...]:
    """The orders without an end by state, those that are being asked about first; one query.

    Each part reads at most WAITING_MAX rows, in the order of `trade_status_expires`: the oldest are always among them.
    """
    first, *others = (_waiting_in(status) for status in WAITING_FOR_ANSWER)
    found = {status: (count, oldest) for status, count, oldest in first.union(*others, all=True)}
    return tuple(
        WaitingOrders(status=status, count=count, more=count == WAITING_MAX, oldest_at=oldest)
        for status in WAITING_FOR_ANSWER
        for count, oldest in [found.get(status, (0, None))]
        if oldest is not None
    )


def _waiting_in(status: CopyStatus) -> QuerySet[CopyTrade, tuple[str, int, datetime]]:
    oldest = CopyTrade.objects.filter(status=status).order_by("expires_at").values("pk")[:WAITING_MAX]
    rows = CopyTrade.objects.filter(pk__in=oldest).values_list("status")
    return rows.annotate(count=Count("pk"), oldest=Min("decided_at"))


def _now_and_people() -> tuple[datetime, bool, bool]:
    now = database_now()
    has_configs = CopyConfig.objects.filter(active=True).exists()
    return now, has_configs or Leader.objects.exists(), has_configs


def _shards(now: datetime) -> tuple[Shard, ...]:
    return tuple(
        Shard(
            shard=f"{row.shard}/{row.of}",
            holder=row.holder,
            term=row.term,
            held=bool(row.holder) and row.expires_at > now,
            heartbeat_at=row.renewed_at,
        )
        for row in ShardLease.objects.order_by("of", "shard")[:LEASES_MAX]
    )
