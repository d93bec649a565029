"""How the sandbox's traders trade: matches against the books, with the shapes of the recordings. Pure.

Nobody sells what he does not hold: where the other side of a match holds nothing to sell, it buys the other outcome,
and the exchange mints both (most recorded maker rows are such). Shapes: data-profile.md sections 2 to 4.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from execution.sandbox.board import Board, Level
from execution.sandbox.happenings import Leg, Match, SideName
from execution.sandbox.leaders import SandboxLeader, Style
from execution.sandbox.markets import CENT, ONE, SandboxMarket, digest
from execution.sandbox.truth import Truth
from ledger.clock import Randomness

SELL_PERCENT = 45
"""How often somebody who holds something sells: positions turn over."""

SPLIT_PERCENT = 17
"""Resting orders of a leader that a taker hits two at a time; the API shows a row for each."""

IDENTICAL_PERCENT = 35
"""Of these, the ones that are the same byte for byte: about 3 % of a maker's rows."""

JOINED_PERCENT = 30
"""Takers that hit an order of the crowd together with the leader's."""

LEADER_MEETS_LEADER_PERCENT = 5
MERGE_PERCENT = 30
"""Sellers of one outcome that meet a seller of the other, where one is there."""

ORDER_LIVES_ON_PERCENT = 30
"""Resting orders that a later taker hits again."""

ORDERS_REMEMBERED = 2_000
DUST = ONE
FEE_STEP = 10
"""The fee is cut to five decimals of pUSD (data-profile.md section 4)."""

BPS = 10_000
_OPPOSITE: dict[SideName, SideName] = {"BUY": "SELL", "SELL": "BUY"}
_OrderName = tuple[str, int, str, int]
"""Whose order it is, of which token, its side and its price."""

_QUANTILES = (0, 100, 2_500, 5_000, 7_500, 9_900, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Somebody wants this; `maker`: by an order that already rests."""

    wallet: str
    market: SandboxMarket
    token_id: int
    side: SideName
    shares_micros: int
    maker: bool = False


class Trading:
    """The traders at the books. Every draw comes from one stream, so that a seed repeats."""

    def __init__(self, seed: int, board: Board, truth: Truth, *, chance: Randomness, crowd: Sequence[str]) -> None:
        self.board = board
        self.truth = truth
        self.open: list[SandboxMarket] = []
        self._chance = chance
        self._seed = seed
        self._crowd = tuple(crowd)
        self._leaders: tuple[SandboxLeader, ...] = ()
        self._orders = 0
        self._resting: dict[_OrderName, str] = {}
        self._resting_names: deque[_OrderName] = deque()
        # Within one match: what makers have promised to sell, and the orders that were hit.
        self._promised: Counter[tuple[str, int]] = Counter()
        self._hit: set[str] = set()

    def cast(self, leaders: Sequence[SandboxLeader], markets: Sequence[SandboxMarket]) -> None:
        """Who trades in which markets."""
        self._leaders = tuple(leaders)
        self.open = list(markets)

    def by_style(self, wallet: str, style: Style) -> Match | None:
        """A trade of somebody's own choice; None when what he drew cannot be traded."""
        taker = self._percent(style.taker_percent)
        holds = list(self.sellable(wallet))
        if holds and self._percent(SELL_PERCENT):
            token_id = self._chance.choice(holds)
            side: SideName = "SELL"
            market = next(each for each in self.open if token_id in each.token_ids)
        else:
            market, side = self._chance.choice(self.open), "BUY"
            token_id = self._chance.choice(market.token_ids)
        book_side = _OPPOSITE[side] if taker else side
        shares = self._shares(style, self.board.best(token_id, book_side))
        if side == "SELL":
            shares = min(shares, self.truth.held(wallet, token_id))
        wish = Wish(wallet=wallet, market=market, token_id=token_id, side=side, shares_micros=shares, maker=not taker)
        return self.match(wish)

    def match(self, wish: Wish) -> Match | None:
        """The wish as a transaction, as far as the book goes; None when there is nothing to trade. The book moves."""
        self._promised.clear()
        self._hit.clear()
        legs = self._as_maker(wish) if wish.maker else self._as_taker(wish)
        market = wish.market
        self.board.wander(market, drift=_drift(market))
        if not legs:
            return None
        return Match(
            condition_id=market.condition_id, version=market.version, neg_risk=market.neg_risk, legs=tuple(legs)
        )

    def meet(self, wish: Wish, level: Level) -> Leg:
        """Somebody of the crowd whose resting order a taker with this wish hits at a level. The book stays."""
        self._promised.clear()
        self._hit.clear()
        return self._against(wish, self.crowd_wallet(), level)

    def hit(self, wish: Wish, makers: Sequence[Leg]) -> Leg:
        """The leg of somebody of the crowd who wants this and meets these resting orders."""
        self._promised.clear()
        return self._taker(self._possible(wish), makers)

    def taker_leg(self, wish: Wish, makers: Sequence[Leg]) -> Leg:
        """The taker's own leg over what he hits, with the fee."""
        return self._taker(wish, makers)

    def crowd_wallet(self) -> str:
        """Somebody of the crowd."""
        return self._chance.choice(self._crowd)

    def _as_taker(self, wish: Wish) -> list[Leg]:
        levels = self.board.take(wish.token_id, wish.side, wish.shares_micros)
        others = self._others(wish.wallet)
        makers = [
            self._against(wish, others(), Level(level.price_micros, shares))
            for level in levels
            for shares in self._parts(level.shares_micros)
        ]
        return [self._taker(wish, makers), *makers] if makers else []

    def _as_maker(self, wish: Wish) -> list[Leg]:
        """Somebody of the crowd hits the resting orders, at the book's best price."""
        price = self.board.best(wish.token_id, wish.side)
        orders = self._parts(wish.shares_micros)
        makers = [self._leg(wish.wallet, wish.side, wish.token_id, Level(price, shares)) for shares in orders if shares]
        total = sum(leg.shares_micros for leg in makers)
        # The resting orders were a part of the level.
        self.board.take(wish.token_id, _OPPOSITE[wish.side], total)
        taker = self.crowd_wallet()
        if wish.side == "BUY" and self._percent(JOINED_PERCENT):
            shares = 5 * ONE + self._chance.below(10_000) * CENT
            other = self._chance.choice([each for each in self._crowd if each != taker])
            makers.append(self._leg(other, "BUY", wish.token_id, Level(price, shares)))
            total += shares
        back = Wish(
            wallet=taker,
            market=wish.market,
            token_id=wish.token_id,
            side=_OPPOSITE[wish.side],
            shares_micros=total,
        )
        return [self._taker(self._possible(back), makers), *makers] if makers else []

    def _possible(self, wish: Wish) -> Wish:
        """The same effect by the other outcome, where the wallet has nothing to sell, or rather sells that."""
        other = wish.market.other_token(wish.token_id)
        if wish.side == "SELL":
            turn = self._free(wish.wallet, wish.token_id) < wish.shares_micros
        else:
            turn = self._free(wish.wallet, other) >= wish.shares_micros and self._percent(MERGE_PERCENT)
        real = replace(wish, token_id=other, side=_OPPOSITE[wish.side]) if turn else wish
        if real.side == "SELL":
            self._promised[real.wallet, real.token_id] += real.shares_micros
        return real

    def _free(self, wallet: str, token_id: int) -> int:
        return self.truth.held(wallet, token_id) - self._promised[wallet, token_id]

    def _against(self, wish: Wish, maker: str, level: Level) -> Leg:
        back = Wish(
            wallet=maker,
            market=wish.market,
            token_id=wish.token_id,
            side=_OPPOSITE[wish.side],
            shares_micros=level.shares_micros,
        )
        real = self._possible(back)
        price = level.price_micros if real.token_id == wish.token_id else ONE - level.price_micros
        return self._leg(maker, real.side, real.token_id, Level(price, level.shares_micros))

    def _taker(self, wish: Wish, makers: Sequence[Leg]) -> Leg:
        """One leg over all makers: what they pay and get, seen from the other side."""
        shares = sum(leg.shares_micros for leg in makers)
        cash = sum(
            leg.cash_micros if leg.token_id == wish.token_id else leg.shares_micros - leg.cash_micros for leg in makers
        )
        rate = wish.market.fee_rate_bps
        fee = cash * (shares - cash) * rate // (shares * BPS) // FEE_STEP * FEE_STEP
        return Leg(
            wallet=wish.wallet,
            side=wish.side,
            token_id=wish.token_id,
            shares_micros=shares,
            cash_micros=cash,
            fee_micros=fee,
            maker=False,
            order_hash=self._order_hash(),
        )

    def _leg(self, wallet: str, side: SideName, token_id: int, level: Level) -> Leg:
        """A resting order's fill. The venue cuts a part of a micro."""
        return Leg(
            wallet=wallet,
            side=side,
            token_id=token_id,
            shares_micros=level.shares_micros,
            cash_micros=level.shares_micros * level.price_micros // ONE,
            fee_micros=0,
            maker=True,
            order_hash=self._resting_order((wallet, token_id, side, level.price_micros)),
        )

    def _others(self, wallet: str) -> "_Others":
        return _Others(self._chance, [each for each in self._crowd if each != wallet], self._leaders, wallet)

    def _parts(self, shares: int) -> list[int]:
        """The resting orders of one price that are hit at once."""
        if shares < 4 * CENT or not self._percent(SPLIT_PERCENT):
            return [shares]
        if shares % 2 == 0 and self._percent(IDENTICAL_PERCENT):
            return [shares // 2] * 2
        return [shares - shares // 3, shares // 3]

    def _shares(self, style: Style, price: int) -> int:
        shares = max(self._money(style) * ONE // price, CENT)
        return shares if self._percent(style.fine_percent) else shares - shares % CENT

    def _money(self, style: Style) -> int:
        """Micros of a trade. Between two recorded quantiles small ones are more frequent, hence the cube."""
        cents = (style.cents[0] // 2, *style.cents)
        draw = self._chance.below(_QUANTILES[-1])
        upper = next(index for index, quantile in enumerate(_QUANTILES) if draw < quantile)
        low, high = _QUANTILES[upper - 1], _QUANTILES[upper]
        return (cents[upper - 1] + (cents[upper] - cents[upper - 1]) * (draw - low) ** 3 // (high - low) ** 3) * CENT

    def sellable(self, wallet: str) -> Iterator[int]:
        """The tokens of open markets of which a wallet holds a share or more."""
        for market in self.open:
            for token_id in market.token_ids:
                if self.truth.held(wallet, token_id) >= DUST:
                    yield token_id

    def _resting_order(self, name: _OrderName) -> str:
        """The order of a wallet that rests there: a new one, or one that was hit before."""
        known = self._resting.get(name)
        if known is not None and known not in self._hit and self._percent(ORDER_LIVES_ON_PERCENT):
            self._hit.add(known)
            return known
        if known is None:
            self._resting_names.append(name)
        if len(self._resting_names) > ORDERS_REMEMBERED:
            del self._resting[self._resting_names.popleft()]
        order = self._resting[name] = self._order_hash()
        self._hit.add(order)
        return order

    def _order_hash(self) -> str:
        self._orders += 1
        return "0x" + digest(self._seed, "order", self._orders)

    def _percent(self, percent: int) -> bool:
        return self._chance.below(100) < percent


class _Others:
    """Draws who stands on the other side: mostly the crowd, now and then a leader."""

    def __init__(self, chance: Randomness, crowd: Sequence[str], leaders: Sequence[SandboxLeader], wallet: str) -> None:
        self._chance = chance
        self._crowd = crowd
        self._leaders = [each.wallet for each in leaders if each.wallet != wallet]

    def __call__(self) -> str:
        if self._leaders and self._chance.below(100) < LEADER_MEETS_LEADER_PERCENT:
            return self._chance.choice(self._leaders)
        return self._chance.choice(self._crowd)


def _drift(market: SandboxMarket) -> Literal[-1, 0, 1]:
    """Markets of a short window run towards their end; the others wander."""
    if market.category != "crypto":
        return 0
    return 1 if int(market.question_id[-2:], 16) % 2 else -1
