"""Records what sources have shown: totals by source, the increase as a signal, and the leader's known holdings.

One transaction for a batch of groups; groups are locked in key order, so two readers of the same trade agree.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from django.db import transaction

from copytrading.decide import SignalFacts
from copytrading.groups import NOTHING_ACTED, ActedTotals, GroupTotal, Increase, Overcount, increase
from copytrading.models import Leader, Signal, SignalGroup, SignalSourceTotal
from copytrading.operations.holdings import HeardLeader, HoldingsBook
from copytrading.queries import signal_facts
from copytrading.signals import ActionKind, GroupKey
from execution.operations import ask_named_markets, learn_markets
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events
from ledger.questions import Question, Row, together
from ledger.rows import new_row
from ledger.sql import insert_missing, insert_rows, set_rows, upsert_rows
from ledger.units import Micros

AUTHORITATIVE = "chain-logs"
"""The source whose total is the truth once it has spoken: logs are exact (data-profile.md section 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a batch added: new signals in their order, and the size that the signals of its groups hold now.

    `first`, `increases` and `overcounts` count by source: actions it showed before every other, parts it added to
    known ones, and actions of which more was acted on than the chain has.
    """

    signals: tuple[SignalFacts, ...]
    group_sizes_micros: Mapping[str, int]
    first: Mapping[str, int]
    increases: Mapping[str, int]
    overcounts: Mapping[str, int]


def digest_of(key: str) -> str:
    """The 32 hexadecimal digits under which a group's natural key is stored."""
    return blake2b(key.encode(), digest_size=16).hexdigest()


def record_signals(totals: Sequence[GroupTotal], *, now: datetime) -> Recorded:
    """Raise the totals and write a signal for each increase. Groups of wallets that nobody follows are left out.

    Running it again with the same totals changes nothing. Returns the signals that this call has written.
    """
    with transaction.atomic():
        with together():
            heard = _LEADERS.ask({total.wallet for total in totals}, read=_heard)
            markets = ask_named_markets(totals)
        leaders = heard.answer()
        known = [total for total in totals if total.wallet in leaders]
        keys = {total.key: digest_of(total.key) for total in known}
        learn_markets(known, markets.answer())
        groups = _lock_groups(known, leaders, keys=keys)
        holdings = HoldingsBook(leaders.values())
        with together():
            raised = _raise_totals(known, groups, keys=keys)
            holdings.lock(known, leaders)
        signals: list[tuple[Signal, str]] = []
        overcounts: list[tuple[GroupTotal, Overcount]] = []
        first, increases = Counter[str](), Counter[str]()
        for total in known:
            group = groups[keys[total.key]]
            news = increase(_acted(group), total, authoritative_total=raised.authoritative.get(group.group_id))
            if isinstance(news, Overcount):
                overcounts.append((total, news))
            elif news is not None or _empties(total, parts=group.parts):
                (increases if group.parts else first)[total.source] += 1
                signals += _act(total, group, leaders[total.wallet], holdings=holdings, news=news, now=now)
        _save(groups, [signal for signal, _key in signals], holdings)
        told = [(groups[keys[total.key]], total, overcount) for total, overcount in overcounts]
        incidents = _record_overcounts(told, raised.changed, now=now)
        _mined_after_all(groups.values(), raised.changed)
    return Recorded(
        signals=tuple(signal_facts(signal, key) for signal, key in signals),
        group_sizes_micros={total.key: groups[keys[total.key]].acted_size_micros for total in known},
        first=first,
        increases=increases,
        overcounts=incidents,
    )


_LEADERS = Question(
    lambda wallets: Leader.objects.filter(wallet__among=wallets).values_list(
        "pk", "wallet", "holdings_complete", "holdings_read_at"
    )
)


def _heard(rows: Sequence[Row]) -> dict[str, HeardLeader]:
    return {row.wallet: row for row in (HeardLeader(*each) for each in rows)}


@dataclass(slots=True)
class _Group:
    """A locked group as far as recording changes it; `stored` is what its row says it acted on."""

    group_id: int
    key: str
    leader_id: int
    acted_size_micros: int = 0
    acted_notional_micros: int = 0
    parts: int = 0
    withdrawn_at: datetime | None = None
    new: bool = False
    stored: tuple[int, int, int] = (0, 0, 0)

    @property
    def acted(self) -> tuple[int, int, int]:
        """What it acted on: size, notional, parts."""
        return self.acted_size_micros, self.acted_notional_micros, self.parts


_ACTED = ("acted_size_micros", "acted_notional_micros", "parts")
_GROUP = ("pk", "key", "leader_id", *_ACTED, "withdrawn_at")


@dataclass(frozen=True, slots=True)
class _Raised:
    """Groups (by id) whose total at some source rose now, and totals of the authoritative source by group."""

    changed: frozenset[tuple[int, str]]
    authoritative: Mapping[int, Micros]


def _lock_groups(
    totals: Sequence[GroupTotal], leaders: Mapping[str, HeardLeader], *, keys: Mapping[GroupKey, str]
) -> dict[str, _Group]:
    first = {keys[total.key]: total for total in reversed(totals)}
    # A row says at once what its first total makes it act on: most have no other.
    stored = {key: _first_acted(total) for key, total in first.items()}
    new = [
        new_row(
            SignalGroup,
            key=key,
            leader_id=leaders[total.wallet].pk,
            kind=total.kind.value,
            tx_hash=total.tx_hash,
            condition_id=total.condition_id,
            token_id=total.token_id,
            side=total.side.value if total.side else "",
            traded_at=total.traded_at,
            **dict(zip(_ACTED, stored[key], strict=True)),
        )
        for key, total in sorted(first.items())
    ]
    # No models, and nothing is read that was just written: a signal with one follower bears all of this alone.
    made = insert_missing(SignalGroup, new, unique="key")
    found = {
        row.key: _Group(made[row.key], row.key, row.leader_id, new=True, stored=stored[row.key])
        for row in new
        if row.key in made
    }
    old = [_Group(*row) for row in _GROUPS.rows(first.keys() - made.keys())]
    for group in old:
        group.stored = group.acted
    return found | {group.key: group for group in old}


def _first_acted(total: GroupTotal) -> tuple[int, int, int]:
    """What a new group acts on by its first total: size, notional, parts."""
    news = increase(NOTHING_ACTED, total, authoritative_total=_truth_of(total))
    if isinstance(news, Increase):
        return news.size_micros, max(0, news.notional_micros), 1
    return 0, 0, int(news is None and _empties(total, parts=0))


def _truth_of(total: GroupTotal) -> Micros | None:
    return total.size_micros if total.source == AUTHORITATIVE else None


_GROUPS = Question(
    lambda keys: SignalGroup.objects.select_for_update().filter(key__among=keys).order_by("key").values_list(*_GROUP)
)


def _raise_totals(
    totals: Iterable[GroupTotal], groups: Mapping[str, _Group], *, keys: Mapping[GroupKey, str]
) -> _Raised:
    ids = {group.group_id for group in groups.values() if not group.new}
    stored = {(group, source): size for group, source, size in _TOTALS.rows(ids)}
    changed: dict[tuple[int, str], GroupTotal] = {}
    for total in totals:
        name = (groups[keys[total.key]].group_id, total.source)
        if total.size_micros > stored.get(name, -1):
            stored[name], changed[name] = total.size_micros, total
    rows = [
        new_row(
            SignalSourceTotal,
            group_id=group,
            source=source,
            size_micros=total.size_micros,
            notional_micros=total.notional_micros,
        )
        for (group, source), total in changed.items()
    ]
    upsert_rows(SignalSourceTotal, rows, unique=("group", "source"), update=("size_micros", "notional_micros"))
    truth = {group: Micros(size) for (group, source), size in stored.items() if source == AUTHORITATIVE}
    return _Raised(frozenset(changed), truth)


_TOTALS = Question(
    lambda groups: SignalSourceTotal.objects.filter(group_id__among=groups).values_list(
        "group_id", "source", "size_micros"
    )
)


def _acted(group: _Group) -> ActedTotals:
    return ActedTotals(size_micros=Micros(group.acted_size_micros), notional_micros=Micros(group.acted_notional_micros))


def _empties(total: GroupTotal, *, parts: int) -> bool:
    # A lost bet is redeemed with size 0 and still empties the holding; once is enough.
    return total.kind is ActionKind.REDEEM and parts == 0


def _act(
    total: GroupTotal,
    group: _Group,
    leader: HeardLeader,
    *,
    holdings: HoldingsBook,
    news: Increase | None,
    now: datetime,
) -> list[tuple[Signal, str]]:
    size = news.size_micros if news else 0
    held = holdings.apply(leader, total, size)
    group.parts += 1
    if news is None:
        return []
    group.acted_size_micros += news.size_micros
    group.acted_notional_micros = max(0, group.acted_notional_micros + news.notional_micros)
    if total.kind is not ActionKind.TRADE or total.side is None or total.token_id is None:
        return []
    signal = new_row(
        Signal,
        group_id=group.group_id,
        leader_id=leader.pk,
        part=group.parts,
        source=total.source,
        side=total.side.value,
        token_id=total.token_id,
        condition_id=total.condition_id,
        size_micros=news.size_micros,
        total_size_micros=group.acted_size_micros,
        price_micros=news.price_micros,
        leader_held_micros=held,
        traded_at=total.traded_at,
        detected_at=now,
    )
    return [(signal, group.key)]


def _save(groups: Mapping[str, _Group], signals: Sequence[Signal], holdings: HoldingsBook) -> None:
    values = [(group.group_id, *group.acted) for group in groups.values() if group.acted != group.stored]
    with together(when=len(signals) == 1):
        set_rows(SignalGroup, match=("id",), assign=_ACTED, rows=values)
        holdings.save()
        insert_rows(Signal, signals)


def _record_overcounts(
    overcounts: Sequence[tuple[_Group, GroupTotal, Overcount]],
    changed: frozenset[tuple[int, str]],
    *,
    now: datetime,
) -> Counter[str]:
    """Write the incidents; how often each source had shown more than the chain has."""
    sources = Counter[str]()
    # Once for each new word of the authoritative source: whoever reads the same trade again is no new incident.
    for group, total, overcount in overcounts:
        if total.source == AUTHORITATIVE and (group.group_id, total.source) in changed:
            refusal = Refusal(Reason.OVERCOUNT, overcount.value_micros, overcount.limit_micros, Unit.SHARES)
            record_events([(None, refusal)], now=now, subject=f"group {group.key} of leader {group.leader_id}")
            more = SignalSourceTotal.objects.filter(group_id=group.group_id, size_micros__gt=overcount.limit_micros)
            sources.update(more.values_list("source", flat=True))
    return sources


def _mined_after_all(groups: Iterable[_Group], changed: frozenset[tuple[int, str]]) -> None:
    """A transaction that was withdrawn and is shown again is marked no longer; its parts were acted on once."""
    risen = {group for group, _source in changed}
    back = [group.group_id for group in groups if group.withdrawn_at is not None and group.group_id in risen]
    if back:
        SignalGroup.objects.filter(pk__in=back).update(withdrawn_at=None)
