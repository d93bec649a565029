"""How much of a leader's trade one follower copies. Pure; the worked examples are `examples.md` 1 to 5 and 11 to 14.

Money is measured at the limit price, so that no fill can pass a cap; shares are floored to two decimals.
"""

from dataclasses import dataclass
from enum import StrEnum

from guardrails.intents import Reason, Refusal, Unit
from ledger.units import MAX_MICROS, Micros, Side, cost_up, floor_shares, ratio_down, share_down, size_for_cost


class Sizing(StrEnum):
    """How a copy's size follows from the leader's."""

    PERCENTAGE = "PERCENTAGE"
    FIXED_AMOUNT = "FIXED_AMOUNT"
    RANGE = "RANGE"


class BelowMinimum(StrEnum):
    """What happens with a copy under the venue's minimum."""

    SKIP = "SKIP"
    RAISE = "RAISE"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingTerms:
    """A follower's choices; pUSD in micros, the percentage in bps of the leader's shares."""

    sizing: Sizing
    percentage_bps: int
    amount_micros: int
    floor_micros: int
    cap_micros: int
    max_trade_micros: int | None
    below_minimum: BelowMinimum


@dataclass(frozen=True, slots=True, kw_only=True)
class Already:
    """What earlier parts of a group made a follower decide: shares, pUSD at their limits, and whether one counts."""

    size_micros: Micros
    cost_micros: Micros
    counted: bool


NOTHING_YET = Already(size_micros=Micros(0), cost_micros=Micros(0), counted=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingFacts:
    """What sizing looks at beside the terms.

    `part_micros` is this signal, `total_micros` the group with it, `already` what earlier parts of
    the group made this follower decide; `held_micros` is the follower's free holding of the token;
    `leader_held_micros` the leader's known holding before this part, None when unknown.
    """

    side: Side
    part_micros: int
    total_micros: int
    already: Already
    limit_micros: int
    minimum_micros: int
    held_micros: int
    leader_held_micros: int | None


@dataclass(frozen=True, slots=True)
class Size:
    """A size in two decimals, greater than zero, with notes on how it was found."""

    size_micros: Micros
    notes: tuple[Reason, ...] = ()


def size_copy(terms: SizingTerms, facts: SizingFacts) -> Size | Refusal:
    """The size to copy, or the reason why there is none."""
    if facts.side is Side.SELL:
        return _size_sell(terms, facts)
    remainder = _wanted(terms, facts) - facts.already.size_micros
    bound = _money_bound(terms)
    if bound is not None:
        # Parts may have other prices: what is left of the money bounds them too.
        left = size_for_cost(max(0, bound - facts.already.cost_micros), facts.limit_micros)
        remainder = min(remainder, left)
    # A row's column holds no more, and no order is so large.
    return _at_least_minimum(terms, facts, Size(Micros(min(remainder, MAX_MICROS))))


def _size_sell(terms: SizingTerms, facts: SizingFacts) -> Size | Refusal:
    if facts.held_micros <= 0:
        return Refusal(Reason.NOTHING_TO_SELL)
    known = facts.leader_held_micros
    if known is not None and known >= facts.part_micros > 0:
        part = floor_shares(ratio_down(facts.held_micros, facts.part_micros, known))
        return _at_least_minimum(terms, facts, Size(part))
    # A partial history is never divided by: fall back on the size that a buy of this group would have.
    part = Micros(_sized(terms, facts) - facts.already.size_micros)
    bounded = floor_shares(min(part, facts.held_micros))
    return _at_least_minimum(terms, facts, Size(bounded, (Reason.LEADER_POSITION_UNKNOWN,)))


def _wanted(terms: SizingTerms, facts: SizingFacts) -> Micros:
    size = _sized(terms, facts)
    cap = terms.max_trade_micros
    if cap is not None and cost_up(size, facts.limit_micros) > cap:
        return size_for_cost(cap, facts.limit_micros)
    return size


def _money_bound(terms: SizingTerms) -> int | None:
    """The most pUSD that a whole group may cost; None for a percentage without a cap."""
    fixed = terms.amount_micros if terms.sizing is Sizing.FIXED_AMOUNT else None
    return min((bound for bound in (fixed, _cap(terms)) if bound is not None), default=None)


def _cap(terms: SizingTerms) -> int | None:
    """The pUSD that nothing may pass, not even a raise to the minimum."""
    own = terms.cap_micros if terms.sizing is Sizing.RANGE else None
    return min((bound for bound in (own, terms.max_trade_micros) if bound is not None), default=None)


def _sized(terms: SizingTerms, facts: SizingFacts) -> Micros:
    limit = facts.limit_micros
    if terms.sizing is Sizing.FIXED_AMOUNT:
        return size_for_cost(terms.amount_micros, limit)
    size = floor_shares(share_down(facts.total_micros, terms.percentage_bps))
    if terms.sizing is Sizing.PERCENTAGE:
        return size
    cost = cost_up(size, limit)
    if cost > terms.cap_micros:
        return size_for_cost(terms.cap_micros, limit)
    return size_for_cost(terms.floor_micros, limit) if cost < terms.floor_micros else size


def _at_least_minimum(terms: SizingTerms, facts: SizingFacts, size: Size) -> Size | Refusal:
    if size.size_micros <= 0 and facts.already.size_micros > 0:
        return Refusal(Reason.ALREADY_COPIED)
    if size.size_micros >= facts.minimum_micros:
        return size
    refusal = Refusal(Reason.BELOW_MINIMUM, size.size_micros, facts.minimum_micros, Unit.SHARES)
    # A later part is not raised: the first one already was, and raising each part would pass the wish.
    if terms.below_minimum is BelowMinimum.SKIP or facts.already.size_micros > 0:
        return refusal
    if facts.side is Side.SELL and facts.held_micros < facts.minimum_micros:
        return refusal
    cap = _cap(terms)
    if facts.side is Side.BUY and cap is not None and cost_up(facts.minimum_micros, facts.limit_micros) > cap:
        return refusal
    return Size(Micros(facts.minimum_micros), size.notes)
