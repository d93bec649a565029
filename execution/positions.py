"""What a follower holds of one token, at average cost. Pure.

Fees are not part of the cost: the ledger books them apart, so that profit is shown before and after them.
"""

from dataclasses import dataclass

from execution.ports import Fill
from ledger.units import Micros, Side, ratio_down

NOTHING = Micros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Shares held and the pUSD paid for them without fees, both in micros and never negative."""

    size_micros: Micros = NOTHING
    cost_micros: Micros = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingChange:
    """A holding after a fill; a SELL releases its part of the cost and realises proceeds minus that part."""

    holding: Holding
    released_cost_micros: Micros
    realised_profit_micros: Micros


class Oversold(ValueError):
    """A fill sold more than was held; the message is a sentence for people."""


def after_fill(holding: Holding, side: Side, *, fill: Fill) -> HoldingChange:
    """Apply a confirmed fill. Raises Oversold.

    The released cost is rounded down to a micro and what is left stays with the shares left, so that
    releases add up exactly to what was paid once everything is sold.
    """
    if side is Side.BUY:
        bought = Holding(
            size_micros=Micros(holding.size_micros + fill.size_micros),
            cost_micros=Micros(holding.cost_micros + fill.cost_micros),
        )
        return HoldingChange(holding=bought, released_cost_micros=NOTHING, realised_profit_micros=NOTHING)
    if fill.size_micros > holding.size_micros:
        raise Oversold(f"A fill sold {fill.size_micros} micros of shares where {holding.size_micros} were held.")
    return _after_sale(holding, fill)


def _after_sale(holding: Holding, fill: Fill) -> HoldingChange:
    released = NOTHING
    if fill.size_micros:
        released = ratio_down(holding.cost_micros, fill.size_micros, holding.size_micros)
    left = Holding(
        size_micros=Micros(holding.size_micros - fill.size_micros),
        cost_micros=Micros(holding.cost_micros - released),
    )
    profit = Micros(fill.cost_micros - released)
    return HoldingChange(holding=left, released_cost_micros=released, realised_profit_micros=profit)
