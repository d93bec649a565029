"""Which offers an order meets, best first, and how much of each it takes. Pure.

An order of one outcome meets the other side of it, and the same side of the other outcome at 1 - price (a mint or a
merge). At equal prices users' own orders come before the crowd's, older ones first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from execution.sandbox.board import DUST_MICROS, Level
from execution.sandbox.exchange.records import OrderRecord
from execution.sandbox.happenings import SideName
from execution.sandbox.markets import ONE

PART_MIN_MICROS = 10_000
"""Less than a hundredth of a share is not traded."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Shares at a price of the taker's token; of a user's order where one is named."""

    price_micros: int
    shares_micros: int
    order: OrderRecord | None = None


def offers(taker: OrderRecord, levels: Iterable[Level], resting: Iterable[OrderRecord]) -> list[Offer]:
    """All that the order meets within its limit. An order of the same wallet is passed over."""
    found = [Offer(each.price_micros, each.shares_micros) for each in levels]
    for order in resting:
        price = _price_for(taker, order)
        if price is not None and order.wallet != taker.wallet and order.resting_micros > 0:
            found.append(Offer(price, order.resting_micros, order))
    buys = taker.sent.side == "BUY"
    within = [each for each in found if _is_within(taker, each.price_micros)]
    return sorted(within, key=lambda each: (each.price_micros if buys else -each.price_micros, each.order is None))


def plan(taker: OrderRecord, met: Sequence[Offer], *, shares_max: int | None = None) -> list[Offer]:
    """What the order takes of the offers, bounded by its shares and, of a buyer, by its pUSD."""
    left = taker.left_micros if shares_max is None else min(taker.left_micros, shares_max)
    cash = taker.sent.making - taker.spent_micros
    taken: list[Offer] = []
    for offer in met:
        part = min(left, offer.shares_micros)
        if taker.sent.side == "BUY":
            part = min(part, cash * ONE // offer.price_micros)
        if part < PART_MIN_MICROS:
            break
        left -= part
        # A buyer of two outcomes that are minted pays the part of a micro that the other is spared.
        cash -= -(-part * offer.price_micros // ONE)
        taken.append(Offer(offer.price_micros, part, offer.order))
    return taken


def is_whole(taker: OrderRecord, taken: Iterable[Offer]) -> bool:
    """Whether nothing tradable of the order is left after that."""
    took = list(taken)
    left = taker.left_micros - sum(each.shares_micros for each in took)
    if left < DUST_MICROS:
        return True
    if taker.sent.side == "SELL":
        return False
    cost = sum(-(-each.shares_micros * each.price_micros // ONE) for each in took)
    return (taker.sent.making - taker.spent_micros - cost) * ONE < DUST_MICROS * taker.price_micros


def crowd_side(side: SideName) -> SideName:
    """The other side."""
    return "SELL" if side == "BUY" else "BUY"


def _price_for(taker: OrderRecord, order: OrderRecord) -> int | None:
    """What the resting order offers the taker, as a price of the taker's token; None where they do not match."""
    same_token = order.sent.token_id == taker.sent.token_id
    if same_token == (order.sent.side == taker.sent.side):
        return None
    return order.price_micros if same_token else ONE - order.price_micros


def _is_within(taker: OrderRecord, price_micros: int) -> bool:
    return price_micros <= taker.price_micros if taker.sent.side == "BUY" else price_micros >= taker.price_micros
