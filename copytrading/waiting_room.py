"""Which copies must wait before they are sent: for the venue's limit on orders, or a sale for what it sells.

Asked before the prewrite: a copy that waits is written READY, without an order, so that nothing of it can have been
sent. It is decided anew when its time has come (`copytrading.tracking.waiting`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from copytrading.facts import Gathered
from copytrading.operations.decisions import Decision, Waits
from copytrading.outgoing import Outgoing
from copytrading.states import ON_THE_VENUE
from copytrading.under_way import UnderWay
from guardrails.intents import Reason, Refusal
from ledger.clock import Clock
from ledger.units import Micros, Side

BUY_WAIT_MAX = timedelta(seconds=30)
"""A sale waits so long at most for what was bought before it to settle; then what is held is sold."""

LOOK_AGAIN = timedelta(milliseconds=200)
"""How often a copy that waits is looked at."""

LATER_NEVER = 1 << 62

_FOR_SHARES = frozenset({Reason.NOTHING_TO_SELL, Reason.BELOW_MINIMUM, Reason.ACCUMULATED})
"""What a sale is refused for when its shares have not arrived yet."""


class OrderRates(Protocol):
    """The venue's limits on orders, as `execution.clob.rates` keeps them."""

    def peek_ms(self, signer: str, tier: str = ..., *, ahead: int = ..., ahead_of_all: int = ...) -> float:
        """For how long an order of this signer would have to wait behind so many of its own and of all; takes none."""
        ...


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

    def __init__(self, clock: Clock, *, rates: OrderRates | None, fresh_s: int) -> None:
        self._clock, self._rates, self._fresh = clock, rates, timedelta(seconds=fresh_s)

    def hold_back(
        self,
        decisions: Sequence[Decision],
        gathered: Gathered,
        *,
        outgoing: Outgoing,
        again: Mapping[PairKey, Queued] | None = None,
    ) -> list[Decision]:
        """The decisions, with those that must wait as such; `again` are those that have waited, by their pair.

        Orders of one account keep their order: behind one that waits for the limit the later ones wait too. What is
        `outgoing`, and what goes before in this batch, uses up the limit first.
        """
        known = again or {}
        there = gathered.under_way.without({each.trade_id for each in known.values()})
        now, line = self._clock.now(), _Line(outgoing)
        found = []
        for each in decisions:
            decision = each
            if each.config.mode == ON_THE_VENUE:
                decision = self._admit(each, gathered, there, _Turn(now, line, known.get(_pair(each))))
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
            turn.line.admitted.add(_pair(decision), decision.config.follower_id)
            return decision
        turn.line.held.add(decision.config.follower_id)
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
        line = turn.line
        ahead, of_all = line.outgoing.of(follower) + line.admitted.of(follower), len(line.outgoing) + len(line.admitted)
        wait_ms = self._rates.peek_ms(account.signer, account.tier, ahead=ahead, ahead_of_all=of_all)
        wait = timedelta(milliseconds=wait_ms)
        behind = follower in line.held or there.queued.get(follower, (LATER_NEVER,))[0] < place
        return max(wait, LOOK_AGAIN) if wait or behind else wait


@dataclass(slots=True)
class _Line:
    """Who goes before: what is outgoing, what of this batch goes by follower, and whose orders wait already."""

    outgoing: Outgoing
    admitted: Outgoing = field(default_factory=Outgoing)
    held: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One decision's turn: the moment, who goes before, and what is known of it from before."""

    now: datetime
    line: _Line
    queued: Queued | None


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
