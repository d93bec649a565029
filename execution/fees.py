"""The venue's taker fee and its upper bound. Pure, integers only.

Source: shared/reference/polymarket.md section 2.6 for the formula, data-profile.md section 4 for the rounding
seen on chain; the tests hold both against recorded fills.
"""

from dataclasses import dataclass

from ledger.units import BPS, ONE, Micros

FEE_STEP = 10
"""Fees have five decimals: ten micros. A fee above zero is at least one step (polymarket.md 2.6)."""


class FeeTermsError(ValueError):
    """Fee terms that the venue does not use; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTerms:
    """A market's taker fee: `shares * rate * (price * (1 - price)) ** exponent`, pUSD; 500 bps is a rate of 0.05."""

    rate_bps: int
    exponent: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rate_bps <= BPS:
            raise FeeTermsError(f"A fee rate of {self.rate_bps} basis points is not between 0 and {BPS}.")
        if self.exponent not in (1, 2):
            raise FeeTermsError(f"A fee exponent of {self.exponent} is neither 1 nor 2.")


NO_FEE = FeeTerms(rate_bps=0)


def taker_fee(size_micros: int, price_micros: int, *, terms: FeeTerms) -> Micros:
    """The fee of one fill in pUSD micros, truncated to five decimals as on chain, at least 0.00001 when above zero.

    `price_micros` is the average price of the whole fill, which is what the chain charges on (recorded taker
    fills over several levels reproduce with it). The references disagree on amounts below one step; charging the
    step costs the follower at most 0.00001 and never makes paper look better than the venue.
    """
    exact = size_micros * terms.rate_bps * _curve(price_micros, terms.exponent)
    if exact == 0:
        return Micros(0)
    return Micros(max(exact // _step_divisor(terms.exponent), 1) * FEE_STEP)


def max_fee(size_micros: int, limit_micros: int, *, terms: FeeTerms) -> Micros:
    """The highest fee, in pUSD micros, of a BUY that fills up to this size at any price up to its limit; rounded up.

    The fee is highest at 0.50 and falls on both sides, so a limit above 0.50 is bounded by the fee at 0.50.
    """
    exact = size_micros * terms.rate_bps * _curve(min(limit_micros, ONE // 2), terms.exponent)
    return Micros(-(-exact // _step_divisor(terms.exponent)) * FEE_STEP)


def fee_bps(price_micros: int, *, of_micros: int, terms: FeeTerms) -> int:
    """The fee of a share at a price, in basis points of another price (the leader's), rounded up.

    `of_micros` is positive.
    """
    exact = terms.rate_bps * _curve(price_micros, terms.exponent)
    return -(-exact // (int(ONE ** (2 * terms.exponent - 1)) * of_micros))


def _curve(price_micros: int, exponent: int) -> int:
    """(p * (1 - p)) ** exponent, in units of 10^(-12 * exponent)."""
    product = price_micros * (ONE - price_micros)
    return product if exponent == 1 else product * product


def _step_divisor(exponent: int) -> int:
    return int(BPS * ONE ** (2 * exponent) * FEE_STEP)
