"""What one follower or leader has, owes, may spend and is held by: the money side of their pages. Reads only.

Sums go over the rows of one person, by its index; lists are bounded and say how much they leave out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, Sum

from copytrading.breaker_watch import VENUES
from copytrading.explain.reasons import title
from copytrading.explain.stories import outcome_of
from copytrading.explain.summaries import summary_of
from copytrading.models import CopiedPosition, CopyConfig, CopyTrade, Follower, Leader, LeaderPosition, Signal, Standing
from copytrading.prices import worths_without_books
from execution.models import Market, Position
from execution.queries import markets as facts_of_markets
from guardrails.models import Breaker, Budget, Scope, SpendingLimits, Switch
from ledger.models import CashBalance, CommissionLog
from ledger.units import ONE

POSITIONS_MAX = 500
"""Open positions that are valued; a page lists the largest LISTED_MAX of them."""

LISTED_MAX = 50
SIGNALS_LISTED = 20
CONFIGS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Shares of one token, what they cost, and what they are worth where the market's price is known."""

    market: str
    outcome: str
    token_id: int
    size_micros: int
    cost_micros: int
    worth_micros: int | None

    @property
    def profit_micros(self) -> int | None:
        """What selling them at that price would earn."""
        return None if self.worth_micros is None else self.worth_micros - self.cost_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """A follower's money. `unrealised_micros` counts the positions with a known price; `unpriced` have none."""

    cash_micros: int
    reserved_micros: int
    realised_micros: int
    fees_micros: int
    unrealised_micros: int
    unpriced: int
    open_positions: int
    holdings: tuple[Holding, ...]
    earned_micros: int
    caused_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a window has granted, beside its bound; None is no bound, and then nothing is counted."""

    name: str
    unit: str
    spent: int
    limit: int | None

    @property
    def percent(self) -> int:
        """How much of the bound is used."""
        return 0 if not self.limit else min(100, self.spent * 100 // self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """One config: who copies whom, in words, and where it stands."""

    config_id: int
    follower_id: int
    follower: str
    leader_id: int
    leader: str
    active: bool
    words: str
    profit_micros: int | None
    peak_micros: int | None
    stopped_reason: str
    stopped_at: datetime | None
    exiting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One signal of a leader, and how its copies went. `gone_at`: when its transaction was found not in the chain."""

    signal_id: int
    at: datetime
    side: str
    market: str
    outcome: str
    size_micros: int
    price_micros: int
    state: str
    by_status: tuple[tuple[str, int], ...]
    gone_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Something that holds a person's copies: a switch or a breaker."""

    words: str
    why: str
    who: str
    since: datetime | None


def money_of(follower_id: int) -> Money:
    """Cash, profit, fees, positions and commissions of a follower; ten queries, POSITIONS_MAX positions at most."""
    cash = CashBalance.objects.filter(follower_id=follower_id).first()
    sums = Position.objects.filter(follower_id=follower_id).aggregate(
        realised=Sum("realised_micros"), fees=Sum("fees_micros"), open=Count("pk", filter=Q(size_micros__gt=0))
    )
    rows = Position.objects.filter(follower_id=follower_id, size_micros__gt=0).order_by("-cost_micros")[:POSITIONS_MAX]
    holdings = _valued([(row.condition_id, row.token_id, row.size_micros, row.cost_micros) for row in rows])
    priced = [each.profit_micros for each in holdings if each.profit_micros is not None]
    return Money(
        cash_micros=cash.cash_micros if cash else 0,
        reserved_micros=cash.reserved_micros if cash else 0,
        realised_micros=sums["realised"] or 0,
        fees_micros=sums["fees"] or 0,
        unrealised_micros=sum(priced),
        unpriced=sums["open"] - len(priced),
        open_positions=sums["open"],
        holdings=holdings[:LISTED_MAX],
        earned_micros=_commission(referrer_id=follower_id),
        caused_micros=_commission(follower_id=follower_id),
    )


def holdings_of(leader_id: int) -> tuple[Holding, ...]:
    """What a leader is known to hold, the largest first; what it cost is not known."""
    rows = LeaderPosition.objects.filter(leader_id=leader_id, known=True, size_micros__gt=0).order_by("-size_micros")
    return _valued([(row.condition_id, row.token_id, row.size_micros, 0) for row in rows[:LISTED_MAX]])


def spending_of(scope: Scope, key: str, limits: SpendingLimits, *, now: datetime) -> tuple[Spending, ...]:
    """What this hour and this UTC day have granted to somebody, beside the bounds; one query."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    rows = Budget.objects.filter(scope=scope, key=key, starts_at__in=[hour, day])
    spent = {(row.period, row.starts_at): row for row in rows}
    found = []
    for name, period, start, money, count in (
        ("This hour", "HOUR", hour, limits.hourly_limit_micros, limits.hourly_limit_count),
        ("This UTC day", "DAY", day, limits.daily_limit_micros, limits.daily_limit_count),
    ):
        row = spent.get((period, start))
        found.append(Spending(name=name, unit="money", spent=row.spent_micros if row else 0, limit=money))
        found.append(Spending(name=name, unit="count", spent=row.count if row else 0, limit=count))
    return tuple(found)


def configs_of(**person: int) -> tuple[Copying, ...]:
    """The configs of a follower or leader (`follower_id` or `leader_id`) with their standing; active ones first."""
    rows = CopyConfig.objects.filter(**person).select_related("follower", "leader", "standing")
    return tuple(_copying(row) for row in rows.order_by("-active", "pk")[:CONFIGS_MAX])


def profit_of_leader(leader_id: int) -> tuple[int | None, int]:
    """What all copies of a leader have earned as last measured (None: never), and of how many configs; one query."""
    rows = Standing.objects.filter(config__leader_id=leader_id)
    sums = rows.aggregate(profit=Sum("profit_micros"), configs=Count("pk"))
    return sums["profit"], sums["configs"]


def realised_by_leader(leader_id: int) -> tuple[int, int]:
    """What sells of the copies of a leader have realised before fees, and all their fees, in micros; one query.

    Sums what each config's copies did token by token, not the copies.
    """
    sums = CopiedPosition.objects.filter(config__leader_id=leader_id).aggregate(
        realised=Sum("realised_micros"), fees=Sum("fees_micros")
    )
    return sums["realised"] or 0, sums["fees"] or 0


def newest_signals(leader_id: int) -> tuple[Heard, ...]:
    """A leader's newest signals and how many followers copied each; three queries."""
    rows = Signal.objects.filter(leader_id=leader_id).select_related("group").order_by("-detected_at")
    signals = list(rows[:SIGNALS_LISTED])
    markets = _markets({row.condition_id for row in signals})
    counts = CopyTrade.objects.filter(signal_id__in=[row.pk for row in signals]).values_list("signal_id", "status")
    found: dict[int, list[tuple[str, int]]] = {}
    for signal_id, status, count in counts.annotate(number=Count("pk")).order_by("signal_id", "status"):
        found.setdefault(signal_id, []).append((status, count))
    return tuple(
        Heard(
            signal_id=row.pk,
            at=row.detected_at,
            side=row.side,
            market=_title(row.condition_id, markets),
            outcome=outcome_of(row.token_id, markets.get(row.condition_id)),
            size_micros=row.size_micros,
            price_micros=row.price_micros,
            state=row.dropped_reason or ("open" if row.done_at is None else "decided"),
            by_status=tuple(found.get(row.pk, ())),
            gone_at=row.group.withdrawn_at,
        )
        for row in signals
    )


def holds_on(scope: Scope, key: str) -> tuple[Hold, ...]:
    """The switches and breakers that hold this person, its venue or everybody; three queries at most."""
    mine = Q(scope=scope, key=key) | Q(scope=Scope.GLOBAL)
    mode = Follower.objects.filter(pk=key).values_list("mode", flat=True).first() if scope == Scope.FOLLOWER else None
    of_venue = Q(scope=Breaker.Scope.VENUE, key=VENUES.get(mode or "", ""))
    switches = [
        Hold(words=f"{row} is on", why=row.why, who=row.changed_by, since=row.changed_at)
        for row in Switch.objects.filter(mine, on=True).order_by("scope", "kind")
    ]
    breakers = [
        Hold(
            words=f"{row} is {title(row.state).lower()}",
            why=row.why,
            who=row.changed_by,
            since=row.opened_at,
        )
        for row in Breaker.objects.filter(mine | of_venue).exclude(state=Breaker.State.CLOSED).order_by("scope", "kind")
    ]
    return (*switches, *breakers)


def person_of(who: str, person_id: int) -> Follower | Leader | None:
    """The row of a follower or leader."""
    model: type[Follower] | type[Leader] = Follower if who == "follower" else Leader
    return model._default_manager.filter(pk=person_id).first()


def _commission(**person: int) -> int:
    rows = CommissionLog.objects.filter(**person).exclude(state=CommissionLog.State.REVERSED)
    return rows.aggregate(amount=Sum("amount_micros"))["amount"] or 0


def _valued(rows: Sequence[tuple[str, int, int, int]]) -> tuple[Holding, ...]:
    conditions = {token: condition for condition, token, _size, _cost in rows}
    markets = _markets(conditions.values())
    prices = worths_without_books(conditions, facts_of_markets(conditions.values()))
    return tuple(
        Holding(
            market=_title(condition, markets),
            outcome=outcome_of(token, markets.get(condition)),
            token_id=token,
            size_micros=size,
            cost_micros=cost,
            worth_micros=size * prices[token] // ONE if token in prices else None,
        )
        for condition, token, size, cost in rows
    )


def _markets(conditions: Iterable[str]) -> dict[str, Market]:
    return {row.condition_id: row for row in Market.objects.filter(condition_id__in=set(conditions))}


def _title(condition: str, markets: dict[str, Market]) -> str:
    return str(markets[condition]) if condition in markets else condition


def _copying(row: CopyConfig) -> Copying:
    standing: Standing | None = getattr(row, "standing", None)
    return Copying(
        config_id=row.pk,
        follower_id=row.follower_id,
        follower=str(row.follower),
        leader_id=row.leader_id,
        leader=str(row.leader),
        active=row.active,
        words=summary_of(row, str(row.leader)),
        profit_micros=standing.profit_micros if standing else None,
        peak_micros=standing.peak_micros if standing else None,
        stopped_reason=standing.stopped_reason if standing else "",
        stopped_at=standing.stopped_at if standing else None,
        exiting=bool(standing and standing.exiting),
    )
