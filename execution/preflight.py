"""What the venue would refuse anyway, or has not said yet, asked before anything is sent. Pure.

Source of the minimums: shared/reference/polymarket.md section 2.4.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from execution.fees import NO_FEE, FeeTerms
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import ONE, Micros, Side, ceil_shares

BUY_COST_MIN = ONE
"""A marketable BUY below one pUSD is refused by the venue."""
USUAL_TICK = Micros(10_000)
USUAL_SIZE_MIN = Micros(5 * ONE)
USUAL_VERSION = "v1"

VERSION = "version"
ORDER_FACTS = (VERSION, "neg risk", "tick size", "fee")
"""What an order with real money is signed, priced and booked by: the venue must have said each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTerms:
    """What orders of one token must respect; the defaults are the venue's usual terms.

    `unsaid` are those of ORDER_FACTS that the venue has not said: there the usual term stands, good for paper only.
    """

    tick_micros: Micros = USUAL_TICK
    min_size_micros: Micros = USUAL_SIZE_MIN
    accepting_orders: bool = True
    closed: bool = False
    version: str = USUAL_VERSION
    neg_risk: bool = False
    fee: FeeTerms = NO_FEE
    unsaid: tuple[str, ...] = ORDER_FACTS


def minimum_size(side: Side, limit_micros: int, *, min_size_micros: int) -> Micros:
    """The smallest two-decimal size the venue takes: the market's minimum and, for a BUY, one pUSD at the limit.

    Both are rounded up. `limit_micros` is positive.
    """
    if side is Side.SELL:
        return ceil_shares(min_size_micros)
    return ceil_shares(max(min_size_micros, -(-BUY_COST_MIN * ONE // limit_micros)))


def size_refusal(side: Side, size_micros: int, *, limit_micros: int, min_size_micros: int) -> Refusal | None:
    """Refuse a size below `minimum_size`, naming both in shares (example 11)."""
    smallest = minimum_size(side, limit_micros, min_size_micros=min_size_micros)
    if size_micros >= smallest:
        return None
    return Refusal(Reason.BELOW_MINIMUM, size_micros, smallest, Unit.SHARES)


def market_refusal(*, closed: bool, accepting_orders: bool) -> Refusal | None:
    """Refuse a market that is over, or that takes no orders at the moment."""
    return Refusal(Reason.MARKET_CLOSED) if closed or not accepting_orders else None


def unsaid_refusals(unsaid: Iterable[str]) -> tuple[Refusal, ...]:
    """Refuse an order with real money for each fact that the venue has not said."""
    return tuple(
        Refusal(Reason.UNKNOWN_MARKET_VERSION) if fact == VERSION else Refusal(Reason.FACT_MISSING, subject=fact)
        for fact in unsaid
    )
