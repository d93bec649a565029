"""The limit price of a copy and whether the market has run away from the leader's price. Pure."""

from collections.abc import Sequence
from enum import StrEnum

from execution.books import Book, Level
from execution.fees import FeeTerms, fee_bps
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import BPS, ONE, Micros, Side, bps_up, ceil_to_tick, floor_to_tick


class Slippage(StrEnum):
    """FIXED: a limit as far from the leader's price as the bound allows. AUTO: only as far as the book asks for."""

    FIXED = "FIXED"
    AUTO = "AUTO"


def limit_price(leader_price_micros: int, side: Side, *, slippage_bps: int, tick_micros: int) -> Micros | None:
    """The worst price a follower takes, on the tick and in [tick, 1 - tick]; None when no safe price exists.

    A BUY is floored and lowered to 1 - tick, a SELL raised to the tick above and at least to one tick: the
    slippage bound is never passed. `slippage_bps` is not negative.
    """
    if side is Side.BUY:
        highest = floor_to_tick(leader_price_micros * (BPS + slippage_bps) // BPS, tick_micros)
        return None if highest < tick_micros else Micros(min(highest, ONE - tick_micros))
    lowest = ceil_to_tick(-(-leader_price_micros * (BPS - slippage_bps) // BPS), tick_micros)
    return None if lowest > ONE - tick_micros else Micros(max(lowest, tick_micros))


def deviation_refusal(
    best_micros: int | None, leader_price_micros: int, *, side: Side, slippage_bps: int
) -> Refusal | None:
    """Refuse when the best price against the order is worse than the leader's by more than the bound (example 17).

    The deviation is in basis points of the leader's price, rounded up; a better price never refuses. No best
    price is no liquidity; a leader's price outside (0, 1) is compared with nothing and refused.
    """
    if best_micros is None:
        return Refusal(Reason.NO_LIQUIDITY)
    if not 0 < leader_price_micros < ONE:
        passed = ONE if leader_price_micros >= ONE else 0
        return Refusal(Reason.PRICE_OUT_OF_RANGE, leader_price_micros, passed, Unit.PRICE)
    worse_by = best_micros - leader_price_micros if side is Side.BUY else leader_price_micros - best_micros
    deviation_bps = bps_up(worse_by, leader_price_micros)
    if deviation_bps <= slippage_bps:
        return None
    return Refusal(Reason.PRICE_DEVIATION, deviation_bps, slippage_bps, Unit.BPS)


def auto_limit(
    book: Book, levels: Sequence[Level], *, side: Side, size_micros: int, bound_micros: int, tick_micros: int
) -> Micros:
    """The limit that spread and depth ask for, on the tick and never beyond `bound_micros`, which is on it.

    reach + cushion for a BUY, reach - cushion for a SELL, where reach is the worst price of the `levels` that filling
    the size takes (the bound when they do not hold so much), and the cushion is half the book's spread, at least one
    tick: a book moves by about its spread between the look at it and the order's arrival. A BUY whose money would
    fall below the venue's minimum of one pUSD goes so far as to reach it.
    """
    reach = _reach(levels, size_micros=size_micros)
    if reach is None:
        return Micros(bound_micros)
    cushion = _cushion(book, tick_micros)
    if side is Side.SELL:
        return Micros(max(bound_micros, floor_to_tick(reach - cushion, tick_micros)))
    for_minimum = -(-ONE * ONE // size_micros)
    return Micros(min(bound_micros, ceil_to_tick(max(reach + cushion, for_minimum), tick_micros)))


def fee_refusal(price_micros: int, leader_price_micros: int, *, terms: FeeTerms, fee_bps_max: int) -> Refusal | None:
    """Refuse a taker fee of more basis points of the leader's price than the follower bears; prices are positive."""
    asked = fee_bps(price_micros, of_micros=leader_price_micros, terms=terms)
    return None if asked <= fee_bps_max else Refusal(Reason.FEE_TOO_HIGH, asked, fee_bps_max, Unit.BPS)


def _reach(levels: Sequence[Level], *, size_micros: int) -> int | None:
    left = size_micros
    for level in levels:
        left -= level.size_micros
        if left <= 0:
            return level.price_micros
    return None


def _cushion(book: Book, tick_micros: int) -> int:
    if not book.bids or not book.asks:
        return tick_micros
    return max(tick_micros, -(-(book.asks[0].price_micros - book.bids[0].price_micros) // 2))
