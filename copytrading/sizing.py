"""How much of a leader's trade one follower copies. Pure; the worked examples are `examples.md` 1 to 5 and 11 to 14.

Money is measured at the limit price, so that no fill can pass a cap; shares are floored to two decimals.
"""

from dataclasses import dataclass
from enum import StrEnum

from guardrails.intents import Reason, Refusal, Unit
from ledger.units import BPS, MAX_MICROS, Micros, Side, cost_up, floor_shares, ratio_down, share_down, size_for_cost

NOTHING = Micros(0)


class Sizing(StrEnum):
    """How a copy's size follows from the leader's."""

    PERCENTAGE = "PERCENTAGE"
    FIXED_AMOUNT = "FIXED_AMOUNT"
    RANGE = "RANGE"
    SHARES = "SHARES"
    TIERED = "TIERED"
    BANKROLL = "BANKROLL"
    PROPORTIONAL = "PROPORTIONAL"


class SellSizing(StrEnum):
    """How much of a holding is sold when the leader sells."""

    SAME_PERCENT = "SAME_PERCENT"
    FIXED_AMOUNT = "FIXED_AMOUNT"
    CUSTOM_PERCENT = "CUSTOM_PERCENT"


class BelowMinimum(StrEnum):
    """What happens with a copy under the venue's minimum; ACCUMULATE carries it to the next one."""

    SKIP = "SKIP"
    RAISE = "RAISE"
    ACCUMULATE = "ACCUMULATE"


OF_BANKROLL = frozenset({Sizing.BANKROLL, Sizing.PROPORTIONAL})
"""Sizings that look at what the follower has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingTerms:
    """A follower's choices; pUSD and shares in micros.

    The percentage is in bps of the leader's shares, and of the follower's bankroll for BANKROLL. A tier is
    (from how many micros of the leader's pUSD, bps of the leader's shares), ascending from 0.
    """

    sizing: Sizing
    percentage_bps: int
    amount_micros: int
    floor_micros: int
    cap_micros: int
    max_trade_micros: int | None
    below_minimum: BelowMinimum
    shares_micros: int = 0
    tiers: tuple[tuple[int, int], ...] = ()
    sell_sizing: SellSizing = SellSizing.SAME_PERCENT
    sell_amount_micros: int = 0
    sell_percentage_bps: int = BPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Already:
    """What earlier parts of a group made a follower decide: shares, pUSD at their limits, and whether one counts.

    Shares put aside for a later copy are decided; shares that an earlier part took from there are not of this group.
    """

    size_micros: Micros
    cost_micros: Micros
    counted: bool


NOTHING_YET = Already(size_micros=Micros(0), cost_micros=Micros(0), counted=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingFacts:
    """What sizing looks at beside the terms.

    `part_micros` is this signal, `total_micros` the group with it, `already` what earlier parts of
    the group made this follower decide; `held_micros` is the follower's free holding of the token;
    `leader_held_micros` the leader's known holding before this part, None when unknown; `leader_cost_micros`
    the leader's pUSD for the group, at its price; the bankrolls all that each of the two has, None when unknown;
    `carried_micros` the shares put aside by earlier copies, above zero to buy and below to sell.
    """

    side: Side
    part_micros: int
    total_micros: int
    already: Already
    limit_micros: int
    minimum_micros: int
    held_micros: int
    leader_held_micros: int | None
    leader_cost_micros: int = 0
    bankroll_micros: int | None = None
    leader_bankroll_micros: int | None = None
    carried_micros: int = 0


@dataclass(frozen=True, slots=True)
class Size:
    """A size in two decimals, greater than zero, with notes on how it was found.

    `taken_micros` of it are shares that earlier copies had put aside.
    """

    size_micros: Micros
    notes: tuple[Reason, ...] = ()
    taken_micros: Micros = NOTHING


@dataclass(frozen=True, slots=True)
class Aside:
    """Too small now: `size_micros` is put aside, beside what was carried before, for the next copy."""

    size_micros: Micros
    refusal: Refusal


def size_copy(terms: SizingTerms, facts: SizingFacts) -> Size | Aside | Refusal:
    """The size to copy, or the reason why there is none."""
    if facts.side is Side.SELL:
        return _size_sell(terms, facts)
    if terms.sizing is Sizing.PROPORTIONAL and facts.leader_bankroll_micros is None:
        return Refusal(Reason.FACT_MISSING, subject="leader's bankroll")
    remainder = _wanted(terms, facts) - facts.already.size_micros
    left = _money_left(terms, facts)
    # A row's column holds no more, and no order is so large.
    size = Size(Micros(min(remainder, left, MAX_MICROS)))
    return _at_least_minimum(terms, facts, size, most=Micros(min(left, MAX_MICROS)))


def size_exit(facts: SizingFacts) -> Size | Refusal:
    """All that a stopped follower still has of what was copied: the signal's size, or the holding if smaller."""
    size = floor_shares(min(facts.part_micros, facts.held_micros))
    if size <= 0:
        return Refusal(Reason.NOTHING_TO_SELL)
    if size < facts.minimum_micros:
        return Refusal(Reason.BELOW_MINIMUM, size, facts.minimum_micros, Unit.SHARES)
    return Size(size)


def _size_sell(terms: SizingTerms, facts: SizingFacts) -> Size | Aside | Refusal:
    if facts.held_micros <= 0:
        return Refusal(Reason.NOTHING_TO_SELL)
    size = _part_to_sell(terms, facts)
    if isinstance(size, Refusal):
        return size
    return _at_least_minimum(terms, facts, size, most=floor_shares(facts.held_micros))


def _part_to_sell(terms: SizingTerms, facts: SizingFacts) -> Size | Refusal:
    # What waits to be sold already is no longer part of what the leader's next sell divides.
    waiting = max(0, -facts.carried_micros) if terms.below_minimum is BelowMinimum.ACCUMULATE else 0
    kept = max(0, facts.held_micros - waiting)
    if terms.sell_sizing is not SellSizing.SAME_PERCENT:
        if facts.already.size_micros > 0:
            return Refusal(Reason.ALREADY_COPIED)
        if terms.sell_sizing is SellSizing.CUSTOM_PERCENT:
            return Size(floor_shares(share_down(kept, terms.sell_percentage_bps)))
        return Size(floor_shares(min(size_for_cost(terms.sell_amount_micros, facts.limit_micros), facts.held_micros)))
    known = facts.leader_held_micros
    if known is not None and known >= facts.part_micros > 0:
        return Size(floor_shares(ratio_down(kept, facts.part_micros, known)))
    # A partial history is never divided by: fall back on the size that a buy of this group would have.
    if terms.sizing is Sizing.PROPORTIONAL and facts.leader_bankroll_micros is None:
        return Refusal(Reason.FACT_MISSING, subject="leader's bankroll")
    part = Micros(_sized(terms, facts) - facts.already.size_micros)
    return Size(floor_shares(min(part, facts.held_micros)), (Reason.LEADER_POSITION_UNKNOWN,))


def _wanted(terms: SizingTerms, facts: SizingFacts) -> Micros:
    size = _sized(terms, facts)
    cap = terms.max_trade_micros
    if cap is not None and cost_up(size, facts.limit_micros) > cap:
        return size_for_cost(cap, facts.limit_micros)
    return size


def _money_left(terms: SizingTerms, facts: SizingFacts) -> Micros:
    """The most shares that the money of this group still buys: its parts may have other prices."""
    bounds = (bound for bound in (_fixed_money(terms, facts), _cap(terms)) if bound is not None)
    bound = min(bounds, default=None)
    if bound is None:
        return Micros(MAX_MICROS)
    return size_for_cost(max(0, bound - facts.already.cost_micros), facts.limit_micros)


def _fixed_money(terms: SizingTerms, facts: SizingFacts) -> int | None:
    """The pUSD of a group where the sizing speaks in money; None where it speaks in shares."""
    if terms.sizing is Sizing.FIXED_AMOUNT:
        return terms.amount_micros
    if terms.sizing is Sizing.BANKROLL:
        return share_down(facts.bankroll_micros or 0, terms.percentage_bps)
    if terms.sizing is Sizing.PROPORTIONAL and facts.leader_bankroll_micros is not None:
        return ratio_down(facts.bankroll_micros or 0, facts.leader_cost_micros, facts.leader_bankroll_micros)
    return None


def _cap(terms: SizingTerms) -> int | None:
    """The pUSD that nothing may pass, not even a raise to the minimum."""
    own = terms.cap_micros if terms.sizing is Sizing.RANGE else None
    return min((bound for bound in (own, terms.max_trade_micros) if bound is not None), default=None)


def _sized(terms: SizingTerms, facts: SizingFacts) -> Micros:
    limit = facts.limit_micros
    money = _fixed_money(terms, facts)
    if money is not None:
        return size_for_cost(money, limit)
    if terms.sizing is Sizing.SHARES:
        return floor_shares(terms.shares_micros)
    size = floor_shares(share_down(facts.total_micros, _percentage(terms, facts)))
    if terms.sizing is not Sizing.RANGE:
        return size
    cost = cost_up(size, limit)
    if cost > terms.cap_micros:
        return size_for_cost(terms.cap_micros, limit)
    return size_for_cost(terms.floor_micros, limit) if cost < terms.floor_micros else size


def _percentage(terms: SizingTerms, facts: SizingFacts) -> int:
    if terms.sizing is not Sizing.TIERED:
        return terms.percentage_bps
    reached = [bps for from_micros, bps in terms.tiers if facts.leader_cost_micros >= from_micros]
    return reached[-1] if reached else 0


def _at_least_minimum(terms: SizingTerms, facts: SizingFacts, size: Size, *, most: Micros) -> Size | Aside | Refusal:
    """Hold a size against the minimum; `most` bounds what it may become with what was carried."""
    if size.size_micros <= 0 and facts.already.size_micros > 0:
        return Refusal(Reason.ALREADY_COPIED)
    if terms.below_minimum is BelowMinimum.ACCUMULATE:
        return _accumulated(facts, size, most=most)
    if size.size_micros >= facts.minimum_micros:
        return size
    refusal = Refusal(Reason.BELOW_MINIMUM, size.size_micros, facts.minimum_micros, Unit.SHARES)
    # A later part is not raised: the first one already was, and raising each part would pass the wish. What is
    # nothing at all is not wanted.
    if terms.below_minimum is BelowMinimum.SKIP or facts.already.size_micros > 0 or size.size_micros <= 0:
        return refusal
    if facts.side is Side.SELL and facts.held_micros < facts.minimum_micros:
        return refusal
    cap = _cap(terms)
    if facts.side is Side.BUY and cap is not None and cost_up(facts.minimum_micros, facts.limit_micros) > cap:
        return refusal
    return Size(Micros(facts.minimum_micros), size.notes)


def _accumulated(facts: SizingFacts, size: Size, *, most: Micros) -> Size | Aside | Refusal:
    """The size with what was carried in its direction, or put aside beside it; the money bounds both."""
    own = max(0, size.size_micros)
    if most < facts.minimum_micros:
        # What can never become a copy is not carried either: it would grow for ever.
        return Refusal(Reason.BELOW_MINIMUM, own, facts.minimum_micros, Unit.SHARES)
    carried = max(0, facts.carried_micros if facts.side is Side.BUY else -facts.carried_micros)
    whole = min(own + carried, most)
    if whole >= facts.minimum_micros:
        return Size(Micros(whole), size.notes, Micros(whole - own))
    refusal = Refusal(Reason.ACCUMULATED, own + carried, facts.minimum_micros, Unit.SHARES)
    return Aside(Micros(own), refusal)
