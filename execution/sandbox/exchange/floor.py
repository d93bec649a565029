"""The trading floor: takes good orders, matches them with the books and with each other, lets them rest and go.

Everything here happens at once, between two awaits: what an answer says has already been done.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from execution.sandbox.board import DUST_MICROS, Board, Level
from execution.sandbox.exchange.checks import EXPIRES_EARLY_S
from execution.sandbox.exchange.funds import Funds
from execution.sandbox.exchange.matching import Offer, crowd_side, is_whole, offers, plan
from execution.sandbox.exchange.records import OrderRecord, Part, TradeRecord
from execution.sandbox.exchange.refusals import NOT_FILLED_FAK, NOT_FILLED_FOK, Refused
from execution.sandbox.exchange.sent import AT_ONCE
from execution.sandbox.exchange.settling import Settling
from execution.sandbox.faults import DELAY, DoorFaults
from execution.sandbox.happenings import Leg, Match
from execution.sandbox.later import Later
from execution.sandbox.markets import ONE, SandboxMarket, digest
from execution.sandbox.trading import FEE_STEP, Trading, Wish
from execution.sandbox.world import Event, Resolution, World

PARTIAL, FAILS, HIDE = "partial", "match_then_fail", "hide"
DELAY_MS, HIDE_MS = 1_000, 2_000
"""Of these faults without a time."""

MAKERS_PER_TRADE = 5
OrderChange = Literal["PLACEMENT", "UPDATE", "CANCELLATION"]
OrderListener = Callable[[OrderRecord, OrderChange], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorParts:
    """What the floor stands on."""

    world: World
    board: Board
    trading: Trading
    funds: Funds
    settling: Settling
    later: Later
    faults: DoorFaults


class Floor:
    """All orders that were ever taken, by hash, and all trades, by id."""

    def __init__(self, parts: FloorParts, seed: int) -> None:
        self._parts = parts
        self._seed = seed
        self.orders: dict[str, OrderRecord] = {}
        self.trades: dict[str, TradeRecord] = {}
        self.delays_ms: Counter[str] = Counter()
        self.makers_per_trade = MAKERS_PER_TRADE
        self.when_book_moved: Callable[[], None] | None = None
        self._listeners: list[OrderListener] = []
        self._orders_of: defaultdict[str, list[OrderRecord]] = defaultdict(list)
        self._trades_of: defaultdict[str, list[TradeRecord]] = defaultdict(list)
        self._resting: dict[str, list[OrderRecord]] = {}
        parts.world.listen(self._heard)
        parts.world.listen_to_markets(self)

    def listen(self, listener: OrderListener) -> None:
        """Be told what happens to orders."""
        self._listeners.append(listener)

    def offers_for(self, record: OrderRecord) -> list[Offer]:
        """What the order would meet now, within its limit, best first."""
        levels = self._parts.board.offers(record.sent.token_id, record.sent.side)
        return offers(record, levels, self._resting.get(record.market.condition_id, ()))

    def place(self, record: OrderRecord, met: Sequence[Offer]) -> None:
        """Take a checked order that meets these offers. Raises Refused where it is killed instead."""
        delay_ms = self._delay_ms(record) if met else 0
        hidden = self._parts.faults.strike(HIDE)
        if hidden is not None:
            record.shown_from_ms = record.placed_ms + (HIDE_MS if hidden.ms is None else hidden.ms)
        if delay_ms:
            record.status = "DELAYED"
            self._keep(record)
            self._hold_back(record)
            self._tell(record, "PLACEMENT")
            self._parts.later.after_ms(delay_ms, lambda: self._wake(record))
            return
        self._match(record, met)

    def cancel(self, record: OrderRecord, status: str = "CANCELED") -> bool:
        """Take an order out; False where nothing of it is open."""
        if not record.is_open:
            return False
        record.status = status
        self._leave(record)
        self._hold_back(record)
        self._tell(record, "CANCELLATION")
        return True

    def opened(self, market: SandboxMarket) -> None:
        """A market was added: nothing rests in it yet."""

    def resolved(self, resolution: Resolution) -> None:
        """A market ended, and with it the orders in it."""
        for record in self.open_orders():
            if record.market.condition_id == resolution.market.condition_id:
                self.cancel(record, "CANCELED_MARKET_RESOLVED")

    def expire(self, now_s: int) -> None:
        """Cancel the orders whose time is over at that second."""
        for record in [each for resting in self._resting.values() for each in resting]:
            if record.sent.kind == "GTD" and record.sent.expiration_s - EXPIRES_EARLY_S <= now_s:
                self.cancel(record, "CANCELED_EXPIRED_ORDER")

    def open_orders(self, key: str | None = None) -> list[OrderRecord]:
        """Orders that may still be matched, of one address or of all."""
        found = self.orders.values() if key is None else self._orders_of[key]
        return [each for each in found if each.is_open]

    def trades_of(self, key: str) -> Sequence[TradeRecord]:
        """Trades that an address has an order in, in order."""
        return self._trades_of[key]

    def _keep(self, record: OrderRecord) -> None:
        self.orders[record.order_hash] = record
        self._orders_of[record.key].append(record)

    def _delay_ms(self, record: OrderRecord) -> int:
        fault = self._parts.faults.strike(DELAY)
        if fault is not None:
            return DELAY_MS if fault.ms is None else fault.ms
        return self.delays_ms[record.market.condition_id]

    def _wake(self, record: OrderRecord) -> None:
        """A delayed order's time has come; the book is what it is now."""
        if record.status != "DELAYED":
            return
        record.status = "LIVE"
        try:
            self._match(record, self.offers_for(record))
        except Refused as refused:
            record.status = f"CANCELED_{refused.text}"
            self._hold_back(record)
            self._tell(record, "CANCELLATION")

    def _match(self, record: OrderRecord, met: Sequence[Offer]) -> None:
        taken = plan(record, met)
        kind, whole = record.sent.kind, is_whole(record, taken)
        partial = bool(taken) and self._parts.faults.strike(PARTIAL) is not None
        if kind == "FOK" and not whole:
            raise Refused(NOT_FILLED_FOK)
        if kind == "FAK" and not taken:
            raise Refused(NOT_FILLED_FAK)
        new = record.order_hash not in self.orders
        if new:
            self._keep(record)
        if partial:
            half = sum(each.shares_micros for each in taken) // 2 // DUST_MICROS * DUST_MICROS
            taken, whole = plan(record, met, shares_max=half), False
        if new:
            self._tell(record, "PLACEMENT")
        for group in self._groups(taken):
            self._trade(record, group)
        self._finish(record, whole=whole)
        if partial and kind == "FOK":
            raise Refused(NOT_FILLED_FOK)

    def _finish(self, record: OrderRecord, *, whole: bool) -> None:
        """What is left of an order rests, or is let go."""
        if whole or record.sent.kind in AT_ONCE:
            record.status = "MATCHED"
        else:
            self._rest(record)
        self._hold_back(record)
        if record.trade_ids:
            self._tell(record, "UPDATE")

    def _groups(self, taken: Iterable[Offer]) -> Iterator[list[Offer]]:
        """By price, and no more orders in one trade than a transaction holds."""
        for _price, same in groupby(taken, key=lambda each: each.price_micros):
            group = list(same)
            for start in range(0, len(group), self.makers_per_trade):
                yield group[start : start + self.makers_per_trade]

    def _trade(self, record: OrderRecord, met: Sequence[Offer]) -> None:
        sent = record.sent
        wish = Wish(
            wallet=record.wallet,
            market=record.market,
            token_id=sent.token_id,
            side=sent.side,
            shares_micros=sum(each.shares_micros for each in met),
        )
        makers = [self._maker(wish, each) for each in met]
        leg = self._parts.trading.taker_leg(wish, [each.leg for each in makers])
        leg = replace(leg, order_hash=record.order_hash, terms=record.terms(), fee_micros=_fee(leg, record.market))
        price = met[0].price_micros
        taker = Part(leg=leg, price_micros=price, owner=sent.owner, order=record)
        self._begin(record.market, taker, makers, price_micros=price)

    def _maker(self, wish: Wish, offer: Offer) -> Part:
        level = Level(offer.price_micros, offer.shares_micros)
        if offer.order is not None:
            return self._own_part(offer.order, offer.shares_micros)
        leg = self._parts.trading.meet(wish, level)
        self._parts.board.eat(wish.token_id, wish.side, level)
        price = level.price_micros if leg.token_id == wish.token_id else ONE - level.price_micros
        return Part(leg=leg, price_micros=price, owner=self._owner_of(leg.wallet))

    def _own_part(self, order: OrderRecord, shares_micros: int) -> Part:
        """A resting order's part: its own price, and no fee."""
        leg = Leg(
            wallet=order.wallet,
            side=order.sent.side,
            token_id=order.sent.token_id,
            shares_micros=shares_micros,
            cash_micros=shares_micros * order.price_micros // ONE,
            fee_micros=0,
            maker=True,
            order_hash=order.order_hash,
            terms=order.terms(),
        )
        return Part(leg=leg, price_micros=order.price_micros, owner=order.sent.owner, order=order)

    def _begin(self, market: SandboxMarket, taker: Part, makers: Sequence[Part], *, price_micros: int) -> None:
        parts = (taker, *makers)
        domain = next(part.order.domain for part in parts if part.order is not None)
        digits = digest(self._seed, "trade", len(self.trades), taker.leg.order_hash)
        trade = TradeRecord(
            trade_id="-".join((digits[:8], digits[8:12], "4" + digits[13:16], "9" + digits[17:20], digits[20:32])),
            market=market,
            domain=domain,
            taker=taker,
            makers=tuple(makers),
            price_micros=price_micros,
            matched_ms=self._parts.world.now_ms(),
            bucket=0 if taker.order is None else len(taker.order.trade_ids),
            fails=self._parts.faults.strike(FAILS) is not None,
        )
        self.trades[trade.trade_id] = trade
        for key in trade.keys:
            self._trades_of[key].append(trade)
        for part in parts:
            if part.order is not None:
                _count(part.order, part.leg, trade.trade_id)
        self._parts.settling.begin(trade)
        for part in makers:
            if part.order is not None:
                self._was_hit(part.order, part.leg.shares_micros)
        self._regrow(market)
        self._moved()

    def _was_hit(self, order: OrderRecord, shares_micros: int) -> None:
        self._show_less(order, min(shares_micros, order.resting_micros))
        if order.left_micros < DUST_MICROS:
            order.status = "MATCHED"
            self._leave(order)
        self._hold_back(order)
        self._tell(order, "UPDATE")

    def _rest(self, record: OrderRecord) -> None:
        record.status = "LIVE"
        record.resting_micros = record.left_micros
        self._resting.setdefault(record.market.condition_id, []).append(record)
        level = Level(record.price_micros, record.resting_micros)
        self._parts.board.rest(record.sent.token_id, record.sent.side, level)
        self._moved()
        if record.sent.kind == "GTD":
            ends_ms = (record.sent.expiration_s - EXPIRES_EARLY_S) * 1_000
            wait_ms = ends_ms - self._parts.world.now_ms()
            self._parts.later.after_ms(wait_ms, lambda: self.expire(ends_ms // 1_000))

    def _leave(self, record: OrderRecord) -> None:
        """Nothing of it rests any more."""
        self._show_less(record, record.resting_micros)
        resting = self._resting.get(record.market.condition_id, [])
        if record in resting:
            resting.remove(record)

    def _show_less(self, record: OrderRecord, shares_micros: int) -> None:
        if shares_micros:
            record.resting_micros -= shares_micros
            level = Level(record.price_micros, -shares_micros)
            self._parts.board.rest(record.sent.token_id, record.sent.side, level)
            self._moved()

    def _hold_back(self, record: OrderRecord) -> None:
        """Reserve what an open order may still take; nothing of a closed one."""
        wanted = record.sent.making - record.spent_micros if record.is_open else 0
        self._parts.funds.reserve(record.wallet, record.asset, wanted - record.reserved_micros)
        record.reserved_micros = wanted

    def _regrow(self, market: SandboxMarket) -> None:
        """A side that was eaten whole grows back at once: a market without a price would stop the world."""
        if not all(self._parts.board.offers(market.token_ids[0], side) for side in ("BUY", "SELL")):
            self._parts.board.wander(market)

    def _heard(self, event: Event) -> None:
        """Somebody else's trade may have reached the price of orders that rest."""
        match = event.happening
        if not isinstance(match, Match) or self._parts.settling.is_own(match):
            return
        for record in list(self._resting.get(match.condition_id, ())):
            met = sum(each.shares_micros for each in self.offers_for(record) if each.order is None)
            if self._is_reached(record):
                met += match.legs[0].shares_micros
            if met:
                self._hit(record, min(met, record.resting_micros))

    def _is_reached(self, record: OrderRecord) -> bool:
        view = self._parts.board.view(record.sent.token_id)
        if view is None:
            return False
        if record.sent.side == "BUY":
            return view.last_micros <= record.price_micros
        return view.last_micros >= record.price_micros

    def _hit(self, record: OrderRecord, shares_micros: int) -> None:
        """Somebody of the crowd takes a part of a resting order, at the order's price."""
        maker = self._own_part(record, shares_micros)
        trading = self._parts.trading
        wish = Wish(
            wallet=trading.crowd_wallet(),
            market=record.market,
            token_id=record.sent.token_id,
            side=crowd_side(record.sent.side),
            shares_micros=shares_micros,
        )
        leg = trading.hit(wish, [maker.leg])
        price = record.price_micros if leg.token_id == record.sent.token_id else ONE - record.price_micros
        taker = Part(leg=leg, price_micros=price, owner=self._owner_of(leg.wallet))
        self._begin(record.market, taker, [maker], price_micros=price)

    def _moved(self) -> None:
        if self.when_book_moved is not None:
            self.when_book_moved()

    def _owner_of(self, wallet: str) -> str:
        digits = digest(self._seed, "owner", wallet)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))

    def _tell(self, record: OrderRecord, change: OrderChange) -> None:
        for listener in self._listeners:
            listener(record, change)


def _count(order: OrderRecord, leg: Leg, trade_id: str) -> None:
    buys = leg.side == "BUY"
    order.filled_micros += leg.shares_micros
    order.spent_micros += leg.cash_micros if buys else leg.shares_micros
    order.got_micros += leg.shares_micros if buys else leg.cash_micros
    order.trade_ids.append(trade_id)


def _fee(leg: Leg, market: SandboxMarket) -> int:
    """Where there is a fee it is never nothing (polymarket.md 2.6)."""
    return max(leg.fee_micros, FEE_STEP) if market.fee_rate_bps else 0
