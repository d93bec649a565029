"""Reads of copy trading, returned as frozen values; one query each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any

from django.db.models import F, Q, QuerySet

from copytrading.decide import SignalFacts
from copytrading.models import CarriedSize, CopyTrade, Leader, Signal, SignalCursor, SignalSourceTotal
from copytrading.shards import shard_of
from copytrading.sizing import NOTHING_YET, Already
from copytrading.states import ON_THE_VENUE, OPEN, Status
from execution.models import Position
from ledger.questions import Asked, Question, Row, together
from ledger.units import Micros, Side, cost_up


def signal_facts(signal: Signal, group_key: str) -> SignalFacts:
    """A signal row as the decisions see it."""
    return _signal_facts((*_columns_of(signal), group_key))


@dataclass(frozen=True, slots=True)
class OpenSignal:
    """A signal that some follower may still lack a copy of, and how often it was begun before."""

    facts: SignalFacts
    attempts: int


def open_signals(signal_ids: Sequence[int]) -> list[OpenSignal]:
    """The open ones among these signals, oldest first; one query."""
    return [OpenSignal(_signal_facts(row[1:]), row[0]) for row in _OPEN_SIGNALS.rows(set(signal_ids))]


_SIGNAL = (
    *("pk", "part", "leader_id", "side", "token_id", "condition_id", "size_micros", "total_size_micros"),
    *("price_micros", "leader_held_micros", "traded_at", "detected_at", "only_config_id", "group__key"),
)

_OPEN_SIGNALS = Question(
    lambda ids: (
        Signal.objects.filter(pk__among=ids, done_at__isnull=True).order_by("id").values_list("attempts", *_SIGNAL)
    )
)

_columns_of = attrgetter(*_SIGNAL[:-1])


def _signal_facts(row: tuple[Any, ...]) -> SignalFacts:
    pk, part, leader, side, token, condition, size, total, price, held, traded_at, detected_at, only, key = row
    return SignalFacts(
        signal_id=pk,
        group_key=key,
        part=part,
        leader_id=leader,
        side=Side(side),
        token_id=token,
        condition_id=condition,
        size_micros=Micros(size),
        total_size_micros=Micros(total),
        price_micros=Micros(price),
        leader_held_micros=None if held is None else Micros(held),
        traded_at=traded_at,
        detected_at=detected_at,
        only_config=only,
    )


def already_decided(
    signals: Sequence[SignalFacts], *, before: Mapping[tuple[int, str], int] | None = None
) -> dict[tuple[int, str], Already]:
    """What earlier parts of these groups made each config decide, by (config, group key).

    `before` names copies by the same keys that are decided anew: they and what was decided after them is left out.
    What was skipped was not decided, unless it was put aside; what failed was, so that a later part does not
    buy it again, but it no longer counts. Shares taken from what was put aside belong to the group that did.
    """
    keys = {signal.group_key for signal in signals if signal.part > 1}
    if not keys:
        return {}
    rows = CopyTrade.objects.filter(signal__group__key__in=keys).exclude(status=Status.SKIPPED, carried_micros=0)
    found: dict[tuple[int, str], Already] = {}
    for pk, config, key, size, carried, limit, status in rows.values_list(
        "pk", "config_id", "signal__group__key", "size_micros", "carried_micros", "limit_micros", "status"
    ):
        if before and pk >= before.get((config, key), pk + 1):
            continue
        known = found.get((config, key), NOTHING_YET)
        own = carried if status == Status.SKIPPED else size + carried
        found[config, key] = Already(
            size_micros=Micros(known.size_micros + own),
            cost_micros=Micros(known.cost_micros + cost_up(own, limit)),
            counted=known.counted or status not in (Status.FAILED, Status.SKIPPED),
        )
    return found


def carried(config_ids: Iterable[int], token_ids: Iterable[int]) -> dict[tuple[int, int], int]:
    """Shares put aside by (config, token): above zero to buy, below zero to sell."""
    rows = CarriedSize.objects.filter(config_id__in=set(config_ids), token_id__in=set(token_ids))
    return {(config, token): size for config, token, size in rows.values_list("config_id", "token_id", "size_micros")}


MarketKey = tuple[int, str]
"""(follower id, condition id)."""


def exposures(keys: Iterable[MarketKey]) -> dict[MarketKey, int]:
    """What these followers have in these markets: the cost of what they hold and what open buys reserve, in micros.

    Exact only while the followers' cash rows are locked. No key, no query.
    """
    wanted = set(keys)
    if not wanted:
        return {}
    found = dict.fromkeys(wanted, 0)
    among = {"follower_id__among": {key[0] for key in wanted}, "condition_id__among": {key[1] for key in wanted}}
    held = Position.objects.filter(**among).values_list("follower_id", "condition_id", "cost_micros")
    buys = CopyTrade.objects.filter(**among, status__in=[each.value for each in OPEN], side=Side.BUY.value)
    for follower, condition, micros in (*held, *buys.values_list("follower_id", "condition_id", "reserved_micros")):
        if (follower, condition) in wanted:
            found[follower, condition] += micros
    return found


def why_not_copied(*, signal_id: int, follower_id: int) -> list[dict[str, Any]] | None:
    """Every reason why a follower has no fill of a signal, with values and limits; None when there is no row yet."""
    rows = CopyTrade.objects.filter(signal_id=signal_id, follower_id=follower_id)
    return next(iter(rows.values_list("reasons", flat=True)), None)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `of` parts of the leaders."""

    index: int = 0
    of: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def leader_ids(self) -> list[int] | None:
        """The leaders of this shard; None when one shard has them all. Reads the leaders' wallets."""
        if self.of == 1:
            return None
        rows = Leader.objects.values_list("pk", "wallet")
        return [leader for leader, wallet in rows if shard_of(wallet, self.of) == self.index]

    def has(self, wallet: str) -> bool:
        """Whether what there must be one of for this wallet, in lower case, is this shard's."""
        return shard_of(wallet, self.of) == self.index


def open_signal_ids(*, before: datetime, limit: int, shard: Shard) -> list[int]:
    """Signals of a shard that some follower may still lack a copy of, oldest first."""
    rows = Signal.objects.filter(done_at__isnull=True, detected_at__lt=before)
    leaders = shard.leader_ids()
    if leaders is not None:
        rows = rows.filter(leader_id__in=leaders)
    return list(rows.order_by("detected_at", "id").values_list("pk", flat=True)[:limit])


@dataclass(frozen=True, slots=True)
class OpenId:
    """An open signal by its id; an exit reduces what a follower has at stake."""

    signal_id: int
    is_exit: bool


_EXIT = Q(side=Side.SELL.value)


def open_ids(*, before: datetime, limit: int, shard: Shard, entries_since: datetime | None = None) -> list[OpenId]:
    """As `open_signal_ids`, with which of them are exits; what was detected before `entries_since` only if it is."""
    rows = _open_between(before=before, shard=shard, entries_since=entries_since).order_by("detected_at", "id")
    return [OpenId(pk, side == Side.SELL) for pk, side in rows.values_list("pk", "side")[:limit]]


def earlier_open_ids(signals: Sequence[SignalFacts]) -> set[int]:
    """Open signals of the same leaders in the same markets that are older than one of these; none, no query."""
    if not signals:
        return set()
    newest: dict[tuple[int, str], int] = {}
    for each in signals:
        key = (each.leader_id, each.condition_id)
        newest[key] = max(each.signal_id, newest.get(key, 0))
    rows = Signal.objects.filter(
        done_at__isnull=True, leader_id__in={key[0] for key in newest}, condition_id__in={key[1] for key in newest}
    )
    found = rows.values_list("pk", "leader_id", "condition_id")
    return {pk for pk, leader, condition in found if pk < newest.get((leader, condition), 0)}


def overtaken_buys(signals: Sequence[SignalFacts], *, since: datetime, waited: bool = False) -> frozenset[int]:
    """Those of these buys after which, by the time of trading, the leader sold of the same, and that was heard first.

    Of buys that `waited` the sale may have been heard since. Sales detected before `since` are not looked at; no buy,
    no query.
    """
    return ask_overtaken_buys(signals, since=since, waited=waited).answer()


def ask_overtaken_buys(
    signals: Sequence[SignalFacts], *, since: datetime, waited: bool = False
) -> Asked[frozenset[int]]:
    """`overtaken_buys`, to be answered later."""
    buys = [each for each in signals if each.side is Side.BUY and each.only_config is None]
    leaders, tokens = {each.leader_id for each in buys}, {each.token_id for each in buys}
    return _SALES.ask(leaders, since, tokens, read=partial(_overtaken, buys, waited=waited))


def _overtaken(buys: Sequence[SignalFacts], sales: Sequence[Row], *, waited: bool) -> frozenset[int]:
    return frozenset(
        buy.signal_id
        for buy in buys
        for leader, token, pk, traded_at in sales
        if (leader, token) == (buy.leader_id, buy.token_id)
        and (waited or pk < buy.signal_id)
        and traded_at > buy.traded_at
    )


_SALES = Question(
    lambda leaders, since, tokens: Signal.objects.filter(
        leader_id__among=leaders,
        detected_at__gte=since,
        side=Side.SELL.value,
        only_config__isnull=True,
        token_id__among=tokens,
    ).values_list("leader_id", "token_id", "pk", "traded_at")
)


def open_on_the_venue() -> int:
    """How many orders stand on the venue, or may, or are not settled there."""
    return CopyTrade.objects.filter(mode=ON_THE_VENUE, status__in=OPEN).count()


def entries_before(signal_ids: Sequence[int], moment: datetime) -> set[int]:
    """Those of these signals that are no exits and were detected before the moment."""
    rows = Signal.objects.filter(pk__in=list(signal_ids), detected_at__lt=moment).exclude(_EXIT)
    return set(rows.values_list("pk", flat=True))


@dataclass(frozen=True, slots=True)
class Backlog:
    """Undecided signals, and since when the oldest 5 % of them wait; None when there are none."""

    depth: int
    p95_since: datetime | None


def backlog(*, before: datetime, shard: Shard, entries_since: datetime | None = None) -> Backlog:
    """What a shard has still to decide, old entries left out that are put off until the load has passed."""
    rows = _open_between(before=before, shard=shard, entries_since=entries_since)
    depth = rows.count()
    oldest = rows.order_by("detected_at", "id").values_list("detected_at", flat=True)
    place = depth * 5 // 100
    return Backlog(depth, next(iter(oldest[place : place + 1]), None))


def _open_between(*, before: datetime, shard: Shard, entries_since: datetime | None) -> QuerySet[Signal]:
    rows = Signal.objects.filter(done_at__isnull=True, detected_at__lt=before)
    leaders = shard.leader_ids()
    if leaders is not None:
        rows = rows.filter(leader_id__in=leaders)
    return rows if entries_since is None else rows.filter(_EXIT | Q(detected_at__gte=entries_since))


def source_position(source: str, keys: Sequence[str]) -> str | None:
    """The position of the first of these cursors that exists."""
    found = dict(SignalCursor.objects.filter(source=source, key__in=keys).values_list("key", "position"))
    return next((found[key] for key in keys if key in found), None)


def cursors_of(source: str, *, prefix: str, since: datetime) -> dict[str, str]:
    """The positions of a source's cursors whose keys begin so, by key, of those that were moved since then."""
    rows = SignalCursor.objects.filter(source=source, key__startswith=prefix, updated_at__gte=since)
    return dict(rows.values_list("key", "position"))


def heard_transactions(source: str, *, since: datetime) -> tuple[str, ...]:
    """Transactions of which a source has shown something that was traded since then."""
    rows = SignalSourceTotal.objects.filter(source=source, group__traded_at__gte=since, size_micros__gt=0)
    return tuple(rows.order_by("group__tx_hash").values_list("group__tx_hash", flat=True).distinct())


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Which orders rescue asks about now: of its shard, open since before a moment, at most so many of each kind.

    `modes` are those whose venue can be asked. `besides` are left out: in a pause of the venue they are more than the
    limit, and would keep all others waiting.
    """

    open_since: datetime
    now: datetime
    limit: int
    shard: Shard
    modes: frozenset[str]
    besides: frozenset[int] = frozenset()


def to_rescue(due: Due) -> list[CopyTrade]:
    """Orders without an outcome for too long, and watched orders that ended and whose next question is due.

    Those asked about longest ago come first, so that many cannot starve the rest.
    """
    with together():
        any_stuck = _ANY_STUCK.ask(due.open_since, due.now, read=bool)
        any_watched = _ANY_WATCHED.ask(due.now, read=bool)
    is_stuck, is_watched = any_stuck.answer(), any_watched.answer()
    if not is_stuck and not is_watched:
        return []
    rows = CopyTrade.objects.filter(mode__in=due.modes).exclude(pk__in=due.besides)
    leaders = due.shard.leader_ids()
    if leaders is not None:
        rows = rows.filter(leader_id__in=leaders)
    oldest_first = _stuck(rows, due.open_since, due.now).order_by(F("next_retry_at").asc(nulls_first=True), "id")
    watched = _watched(rows, due.now).order_by("next_retry_at")
    return [*oldest_first[: due.limit], *watched[: due.limit]]


def _stuck(rows: QuerySet[CopyTrade], open_since: datetime, now: datetime) -> QuerySet[CopyTrade]:
    open_states = Q(status__in=[Status.UNKNOWN, Status.LIVE, Status.MATCHED])
    unanswered = Q(status=Status.PENDING, decided_at__lt=open_since)
    return rows.filter(open_states | unanswered).exclude(next_retry_at__gt=now)


def _watched(rows: QuerySet[CopyTrade], now: datetime) -> QuerySet[CopyTrade]:
    # An executed copy is watched only where some of its trades were not final, or never shown.
    return rows.filter(status__in=[Status.FAILED, Status.EXECUTED], next_retry_at__lte=now)


# Most of the time nobody is due, and to say the whole question takes longer than to look.
_ANY_STUCK = Question(lambda open_since, now: _stuck(CopyTrade.objects.all(), open_since, now).values_list("pk")[:1])
_ANY_WATCHED = Question(lambda now: _watched(CopyTrade.objects.all(), now).values_list("pk")[:1])
