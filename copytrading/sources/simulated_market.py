"""The stage of the generator: its markets, its leaders with their habits, and order books whose prices wander. Pure.

Everything follows from a seed, so that a second start of the demo meets the same markets and leaders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from execution.books import Book, Level
from ledger.clock import Randomness
from ledger.units import ONE, SHARE_STEP, Micros

CENT = 10_000
LEVELS = 12
PRICE_MIN_MICROS, PRICE_MAX_MICROS = 30_000, 970_000
"""The best prices stay strictly inside: beyond, hardly any follower may copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedMarket:
    """A market of two outcomes; `token_ids` in the order of `outcomes`."""

    condition_id: str
    slug: str
    title: str
    outcomes: tuple[str, str]
    token_ids: tuple[int, int]
    tick_micros: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a leader trades, after one recorded wallet (data-profile.md sections 1 and 4).

    `trades_per_hour` on average, `burst_tenths` the mean number of trades in a burst in tenths, `dollars` the
    quantiles 1, 25, 50, 75, 99 and 100 % of a trade's money in cents, `fine_percent` sizes of more than 2 decimals.
    """

    trades_per_hour: int
    burst_tenths: int
    taker_percent: int
    fine_percent: int
    dollars: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLeader:
    """A wallet whose trades the generator makes up."""

    name: str
    wallet: str
    habits: Habits


_GRINDER = (5, 102, 300, 590, 910, 960)
_SCALPER = (70, 400, 760, 1_500, 15_500, 44_000)
_REGULAR = (40, 390, 1_060, 2_400, 8_100, 24_000)
_CROWD = (8, 300, 1_800, 9_100, 812_100, 9_332_400)
_WHALE = (170, 1_000, 4_400, 12_900, 45_253_000, 58_084_100)

_CAST = (
    ("Lena", Habits(trades_per_hour=2_400, burst_tenths=22, taker_percent=10, fine_percent=24, dollars=_GRINDER)),
    ("Luca", Habits(trades_per_hour=1_800, burst_tenths=19, taker_percent=90, fine_percent=65, dollars=_SCALPER)),
    ("Lotte", Habits(trades_per_hour=1_500, burst_tenths=13, taker_percent=50, fine_percent=7, dollars=_REGULAR)),
    ("Liam", Habits(trades_per_hour=1_500, burst_tenths=13, taker_percent=30, fine_percent=7, dollars=_REGULAR)),
    ("Livia", Habits(trades_per_hour=1_200, burst_tenths=30, taker_percent=0, fine_percent=24, dollars=_SCALPER)),
    ("Lars", Habits(trades_per_hour=900, burst_tenths=12, taker_percent=60, fine_percent=32, dollars=_CROWD)),
    ("Lucia", Habits(trades_per_hour=600, burst_tenths=12, taker_percent=40, fine_percent=32, dollars=_CROWD)),
    ("Leo", Habits(trades_per_hour=180, burst_tenths=16, taker_percent=80, fine_percent=76, dollars=_WHALE)),
)

_TITLES = (
    ("Will the ferry to Aegina run on Friday?", "Yes", "No", CENT),
    ("Rowing World Cup: who wins the eights?", "Lucerne", "Varese", CENT),
    ("Will it rain in Lisbon this weekend?", "Yes", "No", CENT),
    ("Chess Candidates: game 9", "White", "Black", CENT),
    ("Is the new bridge open by June?", "Yes", "No", CENT),
    ("Will the comet be seen with the naked eye?", "Yes", "No", 1_000),
)


def make_leaders(seed: int) -> tuple[SimulatedLeader, ...]:
    """The cast; wallets follow from the seed."""
    return tuple(
        SimulatedLeader(name=name, wallet="0x" + digest(seed, "wallet", name)[:40], habits=habits)
        for name, habits in _CAST
    )


def make_markets(seed: int) -> tuple[SimulatedMarket, ...]:
    """The markets; condition and token ids (uint256) follow from the seed."""
    return tuple(
        SimulatedMarket(
            condition_id="0x" + digest(seed, "condition", title),
            slug=_slug(title),
            title=title,
            outcomes=(first, second),
            token_ids=(int(digest(seed, title, first), 16), int(digest(seed, title, second), 16)),
            tick_micros=Micros(tick),
        )
        for title, first, second, tick in _TITLES
    )


def digest(seed: int, *parts: object) -> str:
    """64 hexadecimal digits that follow from the seed and the parts."""
    return sha256("\x1f".join(str(part) for part in (seed, *parts)).encode()).hexdigest()


class Board:
    """The books of all markets. Outcomes mirror each other: what is bid for one is offered of the other at 1 - p."""

    def __init__(self, markets: Sequence[SimulatedMarket], randomness: Randomness) -> None:
        self.randomness = randomness
        self._best_bids = {market.condition_id: self._opening(market) for market in markets}
        self._moves = 0
        self._books: dict[int, Book] = {}
        for market in markets:
            self.move(market)

    def books(self) -> Mapping[int, Book]:
        """The book of each token as it stands; a later move replaces it."""
        return dict(self._books)

    def book(self, token_id: int) -> Book:
        """The book of one token."""
        return self._books[token_id]

    def move(self, market: SimulatedMarket) -> None:
        """Let the price wander by a tick or not at all, and draw new depth under a new version."""
        tick = market.tick_micros
        stride = max(1, CENT // 4 // tick)
        step = self.randomness.choice((-1, 0, 0, 0, 1)) * (1 + self.randomness.below(stride))
        spread = self.randomness.choice((1, 1, 1, 2)) * tick
        lowest, highest = PRICE_MIN_MICROS + tick, PRICE_MAX_MICROS - tick - spread
        bid = min(max(self._best_bids[market.condition_id] + step * tick, lowest), highest)
        self._best_bids[market.condition_id] = bid
        self._moves += 1
        bids = self._levels(bid, -tick)
        asks = self._levels(bid + spread, tick)
        version = f"simulated-{self._moves}"
        first, second = market.token_ids
        self._books[first] = Book(token_id=first, bids=bids, asks=asks, version=version)
        self._books[second] = Book(token_id=second, bids=_mirrored(asks), asks=_mirrored(bids), version=version)

    def _opening(self, market: SimulatedMarket) -> int:
        ticks = PRICE_MAX_MICROS // market.tick_micros
        return (ticks // 4 + self.randomness.below(ticks // 2)) * market.tick_micros

    def _levels(self, best: int, step: int) -> tuple[Level, ...]:
        prices = (best + step * number for number in range(LEVELS))
        return tuple(Level(Micros(price), self._depth()) for price in prices if 0 < price < ONE)

    def _depth(self) -> Micros:
        """75 to 1,500 shares, as in the recorded books of shared/data/books."""
        return Micros((7_500 + self.randomness.below(142_500)) * SHARE_STEP)


def _mirrored(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    return tuple(Level(Micros(ONE - level.price_micros), level.size_micros) for level in levels)


def _slug(title: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
