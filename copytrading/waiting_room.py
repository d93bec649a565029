"""Which copies must wait before they are sent: for the venue's limit on orders, or a sale for what it sells.

Asked before the prewrite: a copy that waits is written READY, without an order, so that nothing of it can have been
sent. It is decided anew when its time has come (`copytrading.tracking.waiting`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from copytrading.facts import ON_THE_VENUE, Gathered
from copytrading.models import CopyTrade
from copytrading.operations.decisions import Decision, Waits
from copytrading.states import Status
from guardrails.intents import Reason, Refusal
from ledger.clock import Clock
from ledger.db import Database
from ledger.units import Micros, Side

BUY_WAIT_MAX = timedelta(seconds=30)
"""A sale waits so long at most for what was bought before it to settle; then what is held is sold."""

LOOK_AGAIN = timedelta(milliseconds=200)
"""How often a copy that waits is looked at."""

LATER_NEVER = 1 << 62

_UNSETTLED = (Status.READY, Status.PENDING, Status.UNKNOWN, Status.LIVE, Status.MATCHED)
_FOR_SHARES = frozenset({Reason.NOTHING_TO_SELL, Reason.BELOW_MINIMUM, Reason.ACCUMULATED})
"""What a sale is refused for when its shares have not arrived yet."""


class OrderRates(Protocol):
    """The venue's limits on orders, as `execution.clob.rates` keeps them."""

    def peek_ms(self, signer: str, tier: str = ...) -> float:
        """For how long an order of this signer would have to wait now; takes nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """What these followers have open on the venue, or waiting for it.

    `buys` by (follower, token): purchases that are not settled. `queued`: followers with a copy that waits for the
    limit, and the id of their oldest.
    """

    buys: frozenset[tuple[int, int]] = frozenset()
    queued: Mapping[int, int] = field(default_factory=dict)


NOTHING_UNDER_WAY = UnderWay()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A READY copy that is decided anew: its id, until when it may wait, and what it has waited for."""

    trade_id: int
    until: datetime
    waited: tuple[Reason, ...] = ()


PairKey = tuple[int, int]
"""(config id, signal id)."""


class WaitingRoom:
    """Holds back what cannot be sent now. Without `rates` nothing waits for a limit.

    `fresh_s` after the leader's trade what waits for a limit is too old.
    """

    def __init__(self, database: Database, clock: Clock, *, rates: OrderRates | None, fresh_s: int) -> None:
        self._database, self._clock, self._rates, self._fresh = database, clock, rates, timedelta(seconds=fresh_s)

    async def hold_back(
        self, decisions: Sequence[Decision], gathered: Gathered, *, again: Mapping[PairKey, Queued] | None = None
    ) -> list[Decision]:
        """The decisions, with those that must wait as such; `again` are those that have waited, by their pair.

        Orders of one account keep their order: behind one that waits for the limit the later ones wait too.
        """
        mine = {each.config.follower_id for each in decisions if each.config.mode == ON_THE_VENUE}
        if not mine:
            return list(decisions)
        known = again or {}
        own = {each.trade_id for each in known.values()}
        there = await self._database.run(under_way, mine, own)
        now, held = self._clock.now(), set[int]()
        found = []
        for each in decisions:
            decision = each
            if each.config.mode == ON_THE_VENUE:
                decision = self._admit(each, gathered, there, _Turn(now, held, known.get(_pair(each))))
            found.append(decision)
        return found

    def _admit(self, decision: Decision, gathered: Gathered, there: UnderWay, turn: "_Turn") -> Decision:
        if turn.queued is not None:
            decision = replace(decision, waited=turn.queued.waited)
        if _meets_a_buy(decision, there):
            until = turn.queued.until if turn.queued else turn.now + BUY_WAIT_MAX
            if turn.now < until:
                return _waiting(decision, Reason.WAITED_FOR_BUY, until=until, again_at=turn.now + LOOK_AGAIN)
        if decision.plan is None or decision.refusals:
            return decision
        wait = self._wait(decision, gathered, there, turn)
        if not wait:
            return decision
        turn.held.add(decision.config.follower_id)
        until, again_at = decision.signal.traded_at + self._fresh, turn.now + wait
        if again_at > until:
            return replace(decision, plan=None, budgets=(), refusals=(Refusal(Reason.RATE_LIMITED),))
        return _waiting(decision, Reason.RATE_LIMITED, until=until, again_at=again_at)

    def _wait(self, decision: Decision, gathered: Gathered, there: UnderWay, turn: "_Turn") -> timedelta:
        """For how long the limit holds this order back; none where it may go now."""
        account = gathered.account_of(decision.config)
        if self._rates is None or account is None:
            return timedelta(0)
        follower = decision.config.follower_id
        place = turn.queued.trade_id if turn.queued else LATER_NEVER
        wait = timedelta(milliseconds=self._rates.peek_ms(account.signer, account.tier))
        behind = follower in turn.held or there.queued.get(follower, LATER_NEVER) < place
        return max(wait, LOOK_AGAIN) if wait or behind else wait


@dataclass(frozen=True, slots=True)
class _Turn:
    """One decision's turn: the moment, whose orders wait already, and what is known of it from before."""

    now: datetime
    held: set[int]
    queued: Queued | None


def under_way(follower_ids: Collection[int], but: Collection[int]) -> UnderWay:
    """What these followers have open or waiting, one query; `but` are copies that do not count."""
    rows = CopyTrade.objects.filter(
        follower_id__in=follower_ids, status__in=[each.value for each in _UNSETTLED], mode=ON_THE_VENUE
    ).order_by("pk")
    buys: set[tuple[int, int]] = set()
    queued: dict[int, int] = {}
    for pk, follower, token, side, status, reasons in rows.values_list(
        "pk", "follower_id", "token_id", "side", "status", "reasons"
    ):
        if side == Side.BUY.value and pk not in but:
            buys.add((follower, token))
        if status == Status.READY and pk not in but and _waits_for_the_limit(reasons):
            queued.setdefault(follower, pk)
    return UnderWay(buys=frozenset(buys), queued=queued)


def _waits_for_the_limit(reasons: Sequence[Mapping[str, object]]) -> bool:
    return any(each.get("reason") == Reason.RATE_LIMITED.value for each in reasons)


def _pair(decision: Decision) -> PairKey:
    return (decision.config.config_id, decision.signal.signal_id)


def _meets_a_buy(decision: Decision, there: UnderWay) -> bool:
    """A sale that is wanted, or refused only because what it sells has not arrived."""
    signal = decision.signal
    if signal.side is not Side.SELL or (decision.config.follower_id, signal.token_id) not in there.buys:
        return False
    return all(refusal.reason in _FOR_SHARES for refusal in decision.refusals)


def _waiting(decision: Decision, why: Reason, *, until: datetime, again_at: datetime) -> Decision:
    waits = Waits(why=why, until=until, again_at=min(again_at, until))
    return replace(
        decision, plan=None, refusals=(), budgets=(), fee_max_micros=Micros(0), aside_micros=Micros(0), waits=waits
    )
