"""The limit price of a copy and whether the market has run away from the leader's price. Pure."""

from guardrails.intents import Reason, Refusal, Unit
from ledger.units import BPS, ONE, Micros, Side, bps_up, ceil_to_tick, floor_to_tick


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
