"""The one seeded generator: decides who does what next, in its own time. Pure; a seed yields the same happenings.

It looks at the world's holdings and books, so a step must be acted on before the next one is asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush

from execution.sandbox.happenings import Happening
from execution.sandbox.leaders import CROWD_STYLE, LEADERS, SandboxLeader
from execution.sandbox.markets import SandboxMarket, new_market
from execution.sandbox.moves import Moves
from execution.sandbox.trading import Trading
from ledger.clock import Randomness

BURST_GAP_MIN_MS, BURST_GAP_SPAN_MS = 84, 120
"""Within a burst: never more than 12 trades of a wallet in a second, the recorded maximum."""

MOVE_PERCENT = 4
"""Steps of a leader that are no trade."""

HOUR_MS = 3_600_000
WINDOW_MS = 300_000
"""How often a market of a short window ends and a new one opens."""

WINDOW = "crypto"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMarket:
    """A market opens."""

    market: SandboxMarket


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketEnd:
    """A market ends, and the token `winner` pays."""

    market: SandboxMarket
    winner: int


What = Happening | NewMarket | MarketEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """After `gap_ms` of the generator's time (at rate 1), `act` says what happens."""

    gap_ms: int
    act: Callable[[], tuple[What, ...]]


class Generator:
    """The agenda of all traders."""

    def __init__(self, seed: int, trading: Trading, *, chance: Randomness, leaders: Sequence[SandboxLeader]) -> None:
        self._seed = seed
        self._trading = trading
        self._moves = Moves(trading, chance)
        self._chance = chance
        self._leaders = tuple(leaders)
        self._agenda: list[tuple[int, int, Callable[[], tuple[What, ...]]]] = []
        self._now_ms = 0
        self._tasks = 0
        self._windows = 0
        for leader in leaders:
            self._plan(self._pause_ms(leader), partial(self._burst, leader))
        self._plan(self._crowd_pause_ms(), self._crowd)
        self._plan(WINDOW_MS, self._window)

    def opening(self) -> tuple[Happening, ...]:
        """What the leaders hold before anybody watches: a split each, once, before the first step."""
        return tuple(self._moves.split(leader.wallet) for leader in self._leaders)

    def next(self) -> Step:
        """The next step; acting on it plans those that follow."""
        due, _, act = heappop(self._agenda)
        gap, self._now_ms = due - self._now_ms, due
        return Step(gap_ms=gap, act=act)

    def _burst(self, leader: SandboxLeader) -> tuple[What, ...]:
        # Continuing with this chance makes bursts of the leader's mean length.
        goes_on = self._chance.below(leader.style.burst_tenths) >= 10
        gap = BURST_GAP_MIN_MS + self._chance.below(BURST_GAP_SPAN_MS)
        self._plan(gap if goes_on else self._pause_ms(leader), partial(self._burst, leader))
        if self._chance.below(100) < MOVE_PERCENT:
            move = self._moves.any(leader.wallet)
            return () if move is None else (move,)
        match = self._trading.by_style(leader.wallet, leader.style)
        return () if match is None else (match,)

    def _crowd(self) -> tuple[What, ...]:
        self._plan(self._crowd_pause_ms(), self._crowd)
        match = self._trading.by_style(self._trading.crowd_wallet(), CROWD_STYLE)
        return () if match is None else (match,)

    def _window(self) -> tuple[What, ...]:
        """The oldest market of a short window ends, a new one opens."""
        self._plan(WINDOW_MS, self._window)
        self._windows += 1
        opened = NewMarket(market=new_market(self._seed, number=1_000 + self._windows))
        ending = next((each for each in self._trading.open if each.category == WINDOW), None)
        if ending is None:
            return (opened,)
        first, second = ending.token_ids
        view = self._trading.board.view(first)
        winner = first if view is not None and view.last_micros >= 500_000 else second
        self._plan(1_000, self._redeem_all)
        return (MarketEnd(market=ending, winner=winner), opened)

    def _redeem_all(self) -> tuple[What, ...]:
        """Leaders redeem what they hold of ended markets, one token at a time."""
        for leader in self._leaders:
            move = self._moves.redeem(leader.wallet)
            if move is not None:
                self._plan(200 + self._chance.below(2_000), self._redeem_all)
                return (move,)
        return ()

    def _pause_ms(self, leader: SandboxLeader) -> int:
        """Between two bursts; on average what makes the leader's rate, and never regular.

        With more leaders than styles each is quieter, so that the whole keeps its rate.
        """
        style = leader.style
        crowding = max(LEADERS, len(self._leaders))
        mean_ms = HOUR_MS * style.burst_tenths * crowding // (10 * LEADERS * style.trades_per_hour)
        return 1 + self._chance.below(2 * mean_ms)

    def _crowd_pause_ms(self) -> int:
        return 1 + self._chance.below(2 * HOUR_MS // CROWD_STYLE.trades_per_hour)

    def _plan(self, in_ms: int, act: Callable[[], tuple[What, ...]]) -> None:
        self._tasks += 1
        heappush(self._agenda, (self._now_ms + in_ms, self._tasks, act))
