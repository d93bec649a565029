"""What the generator's leaders do: trades against the simulated books, and the rows that are no trades. Pure.

Rows have the shape of the Data API v1 `/activity`, numbers as Decimal; shares follow data-profile.md sections 2 to 5.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from copytrading.signals import OUTCOME_INDEX_UNKNOWN
from copytrading.sources.simulated_market import CENT, Board, SimulatedLeader, SimulatedMarket, digest
from ledger.clock import Randomness
from ledger.units import ONE, SHARE_STEP, Side, cost_down, decimal_from_micros, floor_shares

Row = Mapping[str, object]

SELL_PERCENT = 45
"""How often a leader who holds something sells: positions turn over."""

OVERSELL_PERCENT = 3
"""Sales of more than the generator knows of: leaders held shares before anybody watched."""

SPLIT_PERCENT = 17
"""Maker fills in several rows; with the takers' single rows about 10 % of all groups (7 to 14 % recorded)."""

IDENTICAL_PERCENT = 35
"""Of these, the ones whose rows are byte for byte the same: about 3 % of all rows."""

MINT_PERCENT = 4
"""Taker buys that another leader's bid on the opposite outcome met in the same transaction."""

_QUANTILES = (0, 100, 2_500, 5_000, 7_500, 9_900, 10_000)
_PLAIN_TYPES = ("REWARD", "MAKER_REBATE", "TAKER_REBATE", "YIELD", "STREAK_BONUS")
_DUST = 1_000_000


class Trading:
    """The leaders at their books; remembers what each holds."""

    def __init__(
        self, seed: int, board: Board, *, markets: Sequence[SimulatedMarket], leaders: Sequence[SimulatedLeader]
    ) -> None:
        self._seed = seed
        self._board = board
        self._randomness: Randomness = board.randomness
        self._markets = tuple(markets)
        self._leaders = tuple(leaders)
        self._held: dict[str, Counter[int]] = {leader.wallet: Counter() for leader in leaders}
        self._transactions = 0

    def trade(self, leader: SimulatedLeader, moment: datetime) -> tuple[list[Row], bool]:
        """The rows of one transaction, the leader's own first, and whether the leader was the taker."""
        taker = self._percent(leader.habits.taker_percent)
        side, market, outcome = self._choose(leader)
        book = self._board.book(market.token_ids[outcome])
        crosses = book.asks if (side is Side.BUY) is taker else book.bids
        price = crosses[0].price_micros
        size = self._size(leader, side, price=price, token_id=market.token_ids[outcome])
        sizes = [size] if taker else self._fills(size)
        self._hold(leader, market.token_ids[outcome], sum(sizes) if side is Side.BUY else -sum(sizes))
        shown = self._average(price, crosses[1].price_micros) if taker else decimal_from_micros(price)
        common = {"side": side.value, "price": shown, **self._identity(leader, moment), **_named(market, outcome)}
        rows: list[Row] = [_trade_row(common, fill) for fill in sizes]
        if taker and side is Side.BUY and self._percent(MINT_PERCENT):
            rows.append(self._mint(leader, rows[0], market=market, outcome=1 - outcome, size=size, price=ONE - price))
        self._board.move(market)
        return rows, taker

    def other(self, leader: SimulatedLeader, moment: datetime) -> Row:
        """A row that is no trade: a merge of what the leader holds, a redemption, or money from the venue."""
        identity = self._identity(leader, moment)
        draw = self._randomness.below(4)
        if draw == 0 and (market := self._mergeable(leader)) is not None:
            held = self._held[leader.wallet]
            size = min(held[token] for token in market.token_ids)
            for token in market.token_ids:
                held[token] -= size
            return _plain_row(identity, "MERGE", size) | _named(market, None)
        if draw <= 1:
            condition = "0x" + digest(self._seed, "resolved", self._randomness.below(2))
            size = self._randomness.choice((0, 12_500_000))
            return _plain_row(identity, "REDEEM", size) | {"conditionId": condition, "title": "A market long over"}
        return _plain_row(identity, self._randomness.choice(_PLAIN_TYPES), 3_250_000)

    def held(self, leader: SimulatedLeader) -> Mapping[int, int]:
        """Shares by token in micros."""
        return dict(self._held[leader.wallet])

    def _choose(self, leader: SimulatedLeader) -> tuple[Side, SimulatedMarket, int]:
        held = [
            (market, outcome)
            for market in self._markets
            for outcome in (0, 1)
            if self._held[leader.wallet][market.token_ids[outcome]] >= _DUST
        ]
        if held and self._percent(SELL_PERCENT):
            return Side.SELL, *self._randomness.choice(held)
        side = Side.SELL if self._percent(OVERSELL_PERCENT) else Side.BUY
        return side, self._randomness.choice(self._markets), self._randomness.below(2)

    def _size(self, leader: SimulatedLeader, side: Side, *, price: int, token_id: int) -> int:
        held = self._held[leader.wallet][token_id]
        if side is Side.SELL and held >= _DUST:
            # Half of the sales close the position to the last micro.
            part = self._randomness.choice((25, 50, 100, 100))
            return held if part == 100 else floor_shares(held * part // 100)
        size = max(self._money(leader) * ONE // price, SHARE_STEP)
        return size if self._percent(leader.habits.fine_percent) else floor_shares(size)

    def _money(self, leader: SimulatedLeader) -> int:
        """Micros of a trade. Between two recorded quantiles small ones are more frequent, hence the cube."""
        cents = (leader.habits.dollars[0] // 2, *leader.habits.dollars)
        draw = self._randomness.below(_QUANTILES[-1])
        upper = next(index for index, quantile in enumerate(_QUANTILES) if draw < quantile)
        low, high = _QUANTILES[upper - 1], _QUANTILES[upper]
        return (cents[upper - 1] + (cents[upper] - cents[upper - 1]) * (draw - low) ** 3 // (high - low) ** 3) * CENT

    def _fills(self, size: int) -> list[int]:
        """The resting orders of one price that a taker hit at once; the API shows a row for each."""
        if size < 4 * SHARE_STEP or not self._percent(SPLIT_PERCENT):
            return [size]
        if self._percent(IDENTICAL_PERCENT):
            return [size // 2] * 2
        return [size - size // 3, size // 3]

    def _hold(self, leader: SimulatedLeader, token_id: int, change: int) -> None:
        held = self._held[leader.wallet]
        held[token_id] = max(0, held[token_id] + change)

    def _mint(
        self, taker: SimulatedLeader, row: Row, *, market: SimulatedMarket, outcome: int, size: int, price: int
    ) -> Row:
        maker = self._randomness.choice([leader for leader in self._leaders if leader is not taker])
        self._hold(maker, market.token_ids[outcome], size)
        opposite = {**row, **_named(market, outcome), "proxyWallet": maker.wallet, "price": decimal_from_micros(price)}
        return _trade_row(opposite, size)

    def _mergeable(self, leader: SimulatedLeader) -> SimulatedMarket | None:
        held = self._held[leader.wallet]
        return next((m for m in self._markets if min(held[token] for token in m.token_ids) >= _DUST), None)

    def _identity(self, leader: SimulatedLeader, moment: datetime) -> dict[str, object]:
        self._transactions += 1
        # The moment keeps a second run with the same seed from showing the transactions of the first again.
        tx_hash = "0x" + digest(self._seed, "tx", self._transactions, moment.isoformat())
        return {"proxyWallet": leader.wallet, "timestamp": int(moment.timestamp()), "transactionHash": tx_hash}

    def _average(self, best: int, second: int) -> Decimal:
        """A taker's row shows the average of the levels it took: half of them on no tick, with digits of noise."""
        price = decimal_from_micros(best)
        draw = self._randomness.below(4)
        if draw == 0:
            price += decimal_from_micros(second - best) * self._randomness.below(100) / 150
        if draw <= 1:
            price += Decimal(self._randomness.below(2 * 10**9) - 10**9).scaleb(-16)
        return price.quantize(Decimal("1E-16"))

    def _percent(self, percent: int) -> bool:
        return self._randomness.below(100) < percent


def _named(market: SimulatedMarket, outcome: int | None) -> dict[str, object]:
    """The fields of a market and, for a trade, of its outcome."""
    known = outcome is not None
    return {
        "conditionId": market.condition_id,
        "asset": str(market.token_ids[outcome]) if outcome is not None else "",
        "title": market.title,
        "slug": market.slug,
        "eventSlug": market.slug,
        "outcome": market.outcomes[outcome] if outcome is not None else "",
        "outcomeIndex": outcome if known else OUTCOME_INDEX_UNKNOWN,
    }


def _trade_row(common: Row, size_micros: int) -> dict[str, object]:
    price = Decimal(str(common["price"]))
    cash = decimal_from_micros(cost_down(size_micros, int(price * ONE)))
    return {**common, "type": "TRADE", "size": decimal_from_micros(size_micros), "usdcSize": cash}


def _plain_row(identity: Row, kind: str, size_micros: int) -> dict[str, object]:
    size = decimal_from_micros(size_micros)
    empty = {"conditionId": "", "asset": "", "side": "", "title": "", "slug": "", "eventSlug": "", "outcome": ""}
    numbers = {"size": size, "usdcSize": size, "price": 0, "outcomeIndex": OUTCOME_INDEX_UNKNOWN}
    return {**identity, "type": kind, **numbers, **empty}
