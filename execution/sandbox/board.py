"""The sandbox's order books: levels that trades eat and that grow back, prices that wander. Integers of micros; pure.

A market has one book, that of its first token; what is bid for one outcome is offered of the other at 1 - price.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from execution.sandbox.happenings import SideName
from execution.sandbox.markets import CENT, ONE, SandboxMarket
from ledger.clock import Randomness

LEVELS = 12
DUST_MICROS = 10_000
"""What is left of a level or an order below a hundredth of a share is not traded: it would cost less than a micro."""

FINE_TICK = 1_000
PRICE_MIN_MICROS, PRICE_MAX_MICROS = 20_000, 980_000
TICK_CHANGES_BELOW, TICK_CHANGES_ABOVE = 40_000, 960_000
"""Beyond these prices a tick of a cent becomes a tenth of it (polymarket.md 2.4)."""


@dataclass(frozen=True, slots=True)
class Level:
    """Shares on offer or wanted at a price."""

    price_micros: int
    shares_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BookView:
    """A token's book; best level first on both sides. `version` rises with each change of the market's book."""

    token_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    tick_micros: int
    last_micros: int
    version: int


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A level's new total; `side` BUY for bids, SELL for asks; 0 shares means the level is gone."""

    token_id: int
    side: SideName
    price_micros: int
    shares_micros: int


@dataclass(frozen=True, slots=True)
class TickChange:
    """A market's tick became finer."""

    market: SandboxMarket
    old_micros: int
    new_micros: int


@dataclass(slots=True)
class _Market:
    market: SandboxMarket
    tick: int
    last: int = 0
    version: int = 0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    # What users' own orders add to the levels: shown like the rest, and matched elsewhere.
    own_bids: dict[int, int] = field(default_factory=dict)
    own_asks: dict[int, int] = field(default_factory=dict)


class Board:
    """The books of all markets. Whoever shows changes drains them."""

    def __init__(self, markets: Iterable[SandboxMarket], chance: Randomness) -> None:
        self._chance = chance
        self._markets: dict[int, _Market] = {}
        self._changes: list[LevelChange] = []
        self._ticks: list[TickChange] = []
        for market in markets:
            self.add(market)

    def add(self, market: SandboxMarket) -> None:
        """Open a market's book around a price somewhere in the middle. That is no change to show: a snapshot has it."""
        before = len(self._changes)
        state = _Market(market=market, tick=market.tick_micros)
        self._markets |= dict.fromkeys(market.token_ids, state)
        bid = 250_000 + self._chance.below(50) * CENT
        state.last = bid
        self._redraw(state, bid, bid + state.tick)
        del self._changes[before:]

    def view(self, token_id: int) -> BookView | None:
        """A token's book as it stands; None for an unknown token."""
        state = self._markets.get(token_id)
        if state is None:
            return None
        first = token_id == state.market.token_ids[0]
        bids, asks = _joined(state.bids, state.own_bids), _joined(state.asks, state.own_asks)
        bids, asks = (bids, asks) if first else (_mirrored(asks), _mirrored(bids))
        return BookView(
            token_id=token_id,
            bids=tuple(Level(price, bids[price]) for price in sorted(bids, reverse=True)),
            asks=tuple(Level(price, asks[price]) for price in sorted(asks)),
            tick_micros=state.tick,
            last_micros=state.last if first else ONE - state.last,
            version=state.version,
        )

    def best(self, token_id: int, side: SideName) -> int:
        """The best price that somebody bids (BUY) or asks (SELL) for a token."""
        state, levels, first = self._levels(token_id, side)
        price = max(levels) if levels is state.bids else min(levels)
        return price if first else ONE - price

    def take(self, token_id: int, side: SideName, shares_micros: int) -> list[Level]:
        """Eat into the levels that a taker's order meets, best first; what the book does not hold is not taken.

        Answers what was taken at which of the token's prices.
        """
        state, levels, first = self._levels(token_id, "SELL" if side == "BUY" else "BUY")
        taken: list[Level] = []
        left = shares_micros
        for price in sorted(levels, reverse=levels is state.bids):
            part = min(left, levels[price])
            if part < min(DUST_MICROS, shares_micros):
                break
            left -= part
            taken.append(Level(price if first else ONE - price, part))
            rest = levels[price] - part
            self._set(state, "BUY" if levels is state.bids else "SELL", price, rest if rest >= DUST_MICROS else 0)
        if taken:
            state.last = taken[-1].price_micros if first else ONE - taken[-1].price_micros
        return taken

    def offers(self, token_id: int, side: SideName) -> list[Level]:
        """The levels that a taker of this side meets, best first, without what users' own orders add."""
        _state, levels, first = self._levels(token_id, "SELL" if side == "BUY" else "BUY")
        prices = sorted(levels) if (side == "BUY") is first else sorted(levels, reverse=True)
        return [Level(price if first else ONE - price, levels[price]) for price in prices]

    def eat(self, token_id: int, side: SideName, taken: Level) -> None:
        """Take from one of the levels that `offers` showed; nobody may have touched the book in between."""
        state, levels, first = self._levels(token_id, "SELL" if side == "BUY" else "BUY")
        price = taken.price_micros if first else ONE - taken.price_micros
        left = levels[price] - taken.shares_micros
        assert left >= 0
        self._set(state, "BUY" if levels is state.bids else "SELL", price, left if left >= DUST_MICROS else 0)
        state.last = price

    def rest(self, token_id: int, side: SideName, change: Level) -> None:
        """Add a user's order to what is shown; shares below zero take it away again."""
        state = self._markets[token_id]
        first = token_id == state.market.token_ids[0]
        bids = (side == "BUY") is first
        own, levels = (state.own_bids, state.bids) if bids else (state.own_asks, state.asks)
        price = change.price_micros if first else ONE - change.price_micros
        own[price] = own.get(price, 0) + change.shares_micros
        if not own[price]:
            del own[price]
        self._set(state, "BUY" if bids else "SELL", price, levels.get(price, 0))

    def wander(self, market: SandboxMarket, drift: Literal[-1, 0, 1] = 0) -> None:
        """Let the price move by a tick or two or not at all, and grow what was eaten."""
        state = self._markets[market.token_ids[0]]
        steps = (-1, 0, 0, 0, 1) if not drift else (0, drift, drift)
        spread = self._chance.choice((1, 1, 1, 2)) * state.tick
        # Where the fine tick is a market's own, its price moves as far as others' do.
        stride = CENT if drift else state.tick * (1 + self._chance.below(max(1, CENT // 4 // state.tick)))
        # What was eaten on one side may have moved the price that way, or grows back.
        low = max(state.bids, default=state.last)
        high = min(state.asks, default=state.last) - state.tick
        bid = self._chance.choice((low, max(low, high))) + self._chance.choice(steps) * stride
        bid = min(max(bid, PRICE_MIN_MICROS), PRICE_MAX_MICROS - spread)
        self._refine(state, bid)
        self._redraw(state, bid, bid + spread)

    def drain_changes(self) -> list[LevelChange]:
        """What changed since the last call, for both tokens of each market."""
        changes, self._changes = self._changes, []
        return changes

    def drain_ticks(self) -> list[TickChange]:
        """Ticks that became finer since the last call."""
        ticks, self._ticks = self._ticks, []
        return ticks

    def _levels(self, token_id: int, side: SideName) -> tuple[_Market, dict[int, int], bool]:
        """The market, the levels that are this side of the token, and whether the token is its first."""
        state = self._markets[token_id]
        first = token_id == state.market.token_ids[0]
        return state, state.bids if (side == "BUY") is first else state.asks, first

    def _redraw(self, state: _Market, bid: int, ask: int) -> None:
        wanted = {
            "BUY": [bid - state.tick * step for step in range(LEVELS)],
            "SELL": [ask + state.tick * step for step in range(LEVELS)],
        }
        for side, levels in (("BUY", state.bids), ("SELL", state.asks)):
            keep = {price for price in wanted[side] if state.tick <= price <= ONE - state.tick}
            for price in [price for price in levels if price not in keep]:
                self._set(state, side, price, 0)
            for price in keep - levels.keys():
                self._set(state, side, price, self._depth())

    def _refine(self, state: _Market, bid: int) -> None:
        if state.tick == CENT and not TICK_CHANGES_BELOW <= bid <= TICK_CHANGES_ABOVE:
            self._ticks.append(TickChange(state.market, state.tick, FINE_TICK))
            state.tick = FINE_TICK

    def _depth(self) -> int:
        """Most levels are thin, some are deep."""
        draw = self._chance.below(1_000)
        return (50 + draw + draw**3 // 20_000) * ONE // 2

    def _set(self, state: _Market, side: str, price: int, shares: int) -> None:
        levels = state.bids if side == "BUY" else state.asks
        if shares:
            levels[price] = shares
        else:
            levels.pop(price, None)
        state.version += 1
        shares += (state.own_bids if side == "BUY" else state.own_asks).get(price, 0)
        first, second = state.market.token_ids
        own: SideName = "BUY" if side == "BUY" else "SELL"
        other: SideName = "SELL" if side == "BUY" else "BUY"
        self._changes.append(LevelChange(first, own, price, shares))
        self._changes.append(LevelChange(second, other, ONE - price, shares))


def _joined(levels: dict[int, int], own: dict[int, int]) -> dict[int, int]:
    if not own:
        return levels
    return {price: levels.get(price, 0) + own.get(price, 0) for price in levels.keys() | own.keys()}


def _mirrored(levels: dict[int, int]) -> dict[int, int]:
    return {ONE - price: shares for price, shares in levels.items()}
