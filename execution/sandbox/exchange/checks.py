"""The venue's rules on a single order's numbers: decimals, ticks, minimums, times. Pure; each raises Refused."""

from execution.sandbox.board import BookView
from execution.sandbox.exchange.refusals import (
    CROSSES,
    INVALID_EXPIRATION,
    INVALID_PAYLOAD,
    Refused,
    off_tick,
    too_fine,
    too_little_money,
    too_small,
)
from execution.sandbox.exchange.sent import AT_ONCE, SentOrder
from execution.sandbox.markets import CENT, MIN_SHARES_MICROS, ONE

MARKETABLE_MIN_MICROS = ONE
EXPIRES_AHEAD_S = 180
"""A GTD order must live so long, and ends a minute before its time (polymarket.md 2.5)."""

EXPIRES_EARLY_S = 60
TAKER_DECIMALS_MIN = 4
TICK_DECIMALS = {100_000: 3, 10_000: 4, 5_000: 5, 2_500: 6, 1_000: 5, 100: 6}
"""Decimals of an amount by the market's tick (polymarket.md 2.4)."""


def limit_price(order: SentOrder, tick_micros: int, order_hash: str) -> int:
    """The order's price on the tick. Raises Refused for one that is off the tick or not between 0 and 1.

    An order for so many dollars has its shares cut to four decimals or to those of the tick; its price may be off by
    no more.
    """
    shares, cash = order.shares_micros, order.cash_micros
    if not shares or not cash:
        raise Refused(INVALID_PAYLOAD)
    above = order.side == "SELL"
    price = -(-cash * ONE // (shares * tick_micros)) * tick_micros if above else _below(cash, shares, tick_micros)
    unit = 10 ** (6 - TAKER_DECIMALS_MIN)
    off = abs(price * shares - cash * ONE)
    bound = (unit * ONE if above else unit * price) if order.kind in AT_ONCE else 1
    if not tick_micros <= price <= ONE - tick_micros or off >= bound:
        raise off_tick(order_hash, cash * ONE // shares, tick_micros)
    return price


def check_amounts(order: SentOrder, tick_micros: int) -> None:
    """Decimals of an order that is filled at once or killed."""
    if order.kind not in AT_ONCE:
        return
    decimals = max(TAKER_DECIMALS_MIN, TICK_DECIMALS[tick_micros])
    if order.making % CENT or order.taking % 10 ** (6 - decimals):
        raise too_fine(order.side, decimals)


def check_time(order: SentOrder, now_s: int) -> None:
    """Only a GTD order expires, and not at once."""
    if order.kind == "GTD":
        if order.expiration_s < now_s + EXPIRES_AHEAD_S:
            raise Refused(INVALID_EXPIRATION)
    elif order.expiration_s:
        raise Refused(INVALID_EXPIRATION)


def check_size(order: SentOrder, order_hash: str, *, marketable: bool) -> None:
    """Dollars of a buyer who matches at once, shares of an order that can rest; and what posts only must not match."""
    if order.post_only and order.kind in AT_ONCE:
        raise Refused(INVALID_PAYLOAD)
    if order.post_only and marketable:
        raise Refused(CROSSES)
    if marketable and order.side == "BUY" and order.cash_micros < MARKETABLE_MIN_MICROS:
        raise too_little_money(order.cash_micros)
    if order.kind not in AT_ONCE and order.shares_micros < MIN_SHARES_MICROS:
        raise too_small(order_hash, order.shares_micros, MIN_SHARES_MICROS)


def crosses(order: SentOrder, price_micros: int, view: BookView) -> bool:
    """Whether somebody offers what the order asks for."""
    if order.side == "BUY":
        return bool(view.asks) and view.asks[0].price_micros <= price_micros
    return bool(view.bids) and view.bids[0].price_micros >= price_micros


def _below(cash: int, shares: int, tick: int) -> int:
    return cash * ONE // (shares * tick) * tick
