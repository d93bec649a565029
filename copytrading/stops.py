"""When the copies of one leader have earned or lost enough to stop. Pure.

Profit is measured from a baseline, what it was when copying last began, so that a config that a person starts
again is not stopped by what stopped it before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from guardrails.intents import Reason, Refusal, Unit
from ledger.units import ONE, Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTerms:
    """A follower's three stops in micros of pUSD, each above zero; None is no stop."""

    take_profit_micros: int | None = None
    stop_loss_micros: int | None = None
    max_drawdown_micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Profit now and its highest since copying began, in micros of pUSD."""

    profit_micros: int
    peak_micros: int


def profit_of(money_micros: int, shares: Iterable[tuple[int, int]], prices: Mapping[int, Micros]) -> int | None:
    """Money received less money spent and fees, and what the shares are worth; None while a price is unknown.

    `shares` are (token id, net shares in micros) that are not zero; below zero where one leader's sell sold what
    another's buy had brought. Worth is rounded down for each token, so that a profit is never overstated.
    """
    profit = money_micros
    for token_id, size_micros in shares:
        price = prices.get(token_id)
        if price is None:
            return None
        profit += size_micros * price // ONE
    return profit


def measure(profit_micros: int, *, baseline_micros: int, peak_micros: int) -> Measured:
    """The profit with its peak, which is at least the baseline."""
    return Measured(profit_micros=profit_micros, peak_micros=max(profit_micros, peak_micros, baseline_micros))


def stop_reached(terms: StopTerms, measured: Measured, *, baseline_micros: int) -> Refusal | None:
    """The stop that was reached, with the pUSD seen and its limit; the first of loss, drawdown and profit."""
    earned = measured.profit_micros - baseline_micros
    fallen = measured.peak_micros - measured.profit_micros
    seen = (
        (Reason.STOP_LOSS, -earned, terms.stop_loss_micros),
        (Reason.MAX_DRAWDOWN, fallen, terms.max_drawdown_micros),
        (Reason.TAKE_PROFIT, earned, terms.take_profit_micros),
    )
    for reason, value, limit in seen:
        if limit is not None and value >= limit:
            return Refusal(reason, value, limit, Unit.MONEY)
    return None
