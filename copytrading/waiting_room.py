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
from copytrading.tracking.settling import SETTLED_WITHIN
from copytrading.under_way import UnderWay
from guardrails.intents import Reason, Refusal
from ledger.clock import Clock
from ledger.units import Micros, Side

BUY_WAIT_MAX = SETTLED_WITHIN + timedelta(minutes=2)
"""A sale waits so long at most for what was bought before it to settle; then what is held is sold. Until the bound of
settlement, and for the question that applies it: sold earlier, nobody would sell what is confirmed a moment later."""

HELD_WAIT_MAX = timedelta(minutes=1)
"""A sale whose follower holds at least what is still to come waits so long at most: settlement takes 10 to 50 s, and a
match that never settles must not keep him in what he has."""

LOOK_AGAIN = timedelta(milliseconds=200)
"""How often a copy that waits is looked at."""

LOOK_SELDOM = timedelta(seconds=2)
"""How often, when it has waited for longer than settlement usually takes."""

OLDER_BY_MAX = BUY_WAIT_MAX + timedelta(minutes=1)
"""So much older than others a sale may be that waited for its purchase, and then perhaps for the limit on orders."""

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

    @property
    def waits_for_buy(self) -> bool:
        """It waits for a purchase, and has not been decided without it."""
        return Reason.WAITED_FOR_BUY in self.waited and Reason.UNSOLD not in self.waited

    def is_late(self, now: datetime) -> bool:
        """It has waited for its purchase for longer than settlement usually takes."""
        return self.waits_for_buy and now >= self.until - BUY_WAIT_MAX + HELD_WAIT_MAX


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
        if _meets_a_buy(decision, there, turn):
            mine = turn.queued if turn.queued is not None and turn.queued.waits_for_buy else None
            until = mine.until if mine else turn.now + BUY_WAIT_MAX
            late = mine is not None and mine.is_late(turn.now)
            if turn.now < until and not (late and decision.plan and _holds_enough(decision, gathered, there, turn)):
                again_at = turn.now + (LOOK_SELDOM if late else LOOK_AGAIN)
                return _waiting(decision, Reason.WAITED_FOR_BUY, until=until, again_at=again_at)
            # From here on it is decided without that purchase.
            decision = replace(decision, waited=(*decision.waited, Reason.UNSOLD))
        if decision.plan is None or decision.refusals:
            return decision
        wait = self._wait(decision, gathered, there, turn)
        if not wait:
            turn.line.admitted.add(_pair(decision), decision.config.follower_id)
            return decision
        turn.line.held.add(decision.config.follower_id)
        until, again_at = self._fresh_until(decision, turn), turn.now + wait
        if again_at > until:
            return replace(decision, plan=None, budgets=(), refusals=(Refusal(Reason.RATE_LIMITED),))
        return _waiting(decision, Reason.RATE_LIMITED, until=until, again_at=again_at)

    def _fresh_until(self, decision: Decision, turn: "_Turn") -> datetime:
        """Until when an order may wait for the limit; that of a sale that waited for its purchase, from then on."""
        waited = turn.queued.waited if turn.queued else ()
        if turn.queued is None or Reason.WAITED_FOR_BUY not in waited:
            return decision.signal.traded_at + self._fresh
        return turn.queued.until if Reason.RATE_LIMITED in waited else turn.now + self._fresh

    def _wait(self, decision: Decision, gathered: Gathered, there: UnderWay, turn: "_Turn") -> timedelta:
        """For how long the limit holds this order back; none where it may go now."""
        account = gathered.account_of(decision.config)
        if self._rates is None or account is None:
            return timedelta(0)
        follower = decision.config.follower_id
        line = turn.line
        ahead, of_all = line.outgoing.of(follower) + line.admitted.of(follower), len(line.outgoing) + len(line.admitted)
        wait_ms = self._rates.peek_ms(account.signer, account.tier, ahead=ahead, ahead_of_all=of_all)
        wait = timedelta(milliseconds=wait_ms)
        behind = follower in line.held or there.queued.get(follower, (LATER_NEVER,))[0] < turn.place
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

    @property
    def place(self) -> int:
        """Among the follower's copies by their ids; one without an id comes last."""
        return self.queued.trade_id if self.queued else LATER_NEVER


def _pair(decision: Decision) -> PairKey:
    return (decision.config.config_id, decision.signal.signal_id)


def _meets_a_buy(decision: Decision, there: UnderWay, turn: _Turn) -> bool:
    """A sale that is wanted, or refused only because what it sells has not arrived."""
    if decision.signal.is_exit:
        # It sells what its own config has, none of which is under way when it begins, and is tried again by itself.
        return False
    if decision.signal.side is not Side.SELL or not there.buys_before(_sold_by(decision), turn.place):
        return False
    # Once it was decided without what is under way, it does not wait for that again.
    if Reason.UNSOLD in decision.waited:
        return False
    return all(refusal.reason in _FOR_SHARES for refusal in decision.refusals)


def _holds_enough(decision: Decision, gathered: Gathered, there: UnderWay, turn: _Turn) -> bool:
    key = _sold_by(decision)
    return gathered.holdings.get(key, 0) >= there.bought_micros(key, before=turn.place)


def _sold_by(decision: Decision) -> tuple[int, int]:
    return (decision.config.follower_id, decision.signal.token_id)


def _waiting(decision: Decision, why: Reason, *, until: datetime, again_at: datetime) -> Decision:
    waits = Waits(why=why, until=until, again_at=min(again_at, until))
    return replace(
        decision, plan=None, refusals=(), budgets=(), fee_max_micros=Micros(0), aside_micros=Micros(0), waits=waits
    )
