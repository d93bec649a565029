"""A seeded market that never ends: the demo's source, shaped like the recordings (data-profile.md).

The stream shows each fill as it happens, polls of the Data API show the newest rows of a leader again, with what the
stream left out and with what is no trade.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import heappop, heappush

from copytrading.sources.base import Sink
from copytrading.sources.files import chronological, parse_item
from copytrading.sources.simulated_market import Board, SimulatedLeader, SimulatedMarket, make_leaders, make_markets
from copytrading.sources.simulated_trading import Row, Trading
from execution.books import Book
from ledger.clock import Clock, Randomness

STREAM_WALK = "generator:stream"
"""One walk, as one connection to the stream is."""

POLL_EVERY_S = 4.0
"""Each poll asks for one leader, in turn."""

POLL_ROWS = 30
NEWS_PERCENT = 40
"""Polls before which something happened that is no trade: with 2.8 trades a second about 3 % of all new rows."""

LATE_PERCENT = 12
"""Second rows that the stream shows seconds later, beyond any coalescing window; as many it never shows."""

BURST_GAP_MIN_MS, BURST_GAP_SPAN_MS = 84, 120
"""Within a burst: never more than 12 trades in a second, the recorded maximum."""

SLEEP_SLICE_S = 0.5

Task = Callable[[datetime], "tuple[str, list[Row]]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What arrives after a delay: frames of the stream, or the rows of one poll (newest first), a walk of its own."""

    delay_seconds: float
    walk: str
    items: tuple[Mapping[str, object], ...]


class MarketGenerator:
    """Decides what happens next; the same seed, randomness and times yield the same deliveries."""

    def __init__(self, seed: int, randomness: Randomness, *, rate: float = 1.0) -> None:
        """`rate` 1 is about 3 signals a second over all leaders; polls keep their rhythm."""
        if not 0 < rate < float("inf"):
            raise ValueError(f"the generator's rate {rate} is not a number above zero")
        self._randomness = randomness
        self._rate = rate
        self._markets = make_markets(seed)
        self._leaders = make_leaders(seed)
        self._board = Board(self._markets, randomness)
        self._trading = Trading(seed, self._board, markets=self._markets, leaders=self._leaders)
        self._history: dict[str, deque[Row]] = {leader.wallet: deque(maxlen=POLL_ROWS) for leader in self._leaders}
        self._agenda: list[tuple[datetime, int, Task]] = []
        self._tasks = 0
        self._polls = 0

    def markets(self) -> tuple[SimulatedMarket, ...]:
        """The markets, for seeding."""
        return self._markets

    def leaders(self) -> tuple[SimulatedLeader, ...]:
        """The leaders, for seeding."""
        return self._leaders

    def books(self) -> Mapping[int, Book]:
        """The books as they stand now, by token."""
        return self._board.books()

    def book(self, token_id: int) -> Book | None:
        """The book of a token as it stands now; None for a token of no market here."""
        return self._board.books().get(token_id)

    def next_delivery(self, now: datetime) -> Delivery:
        """What arrives next, seen from `now`. What is overdue, because the sink made us wait, arrives at once."""
        if not self._agenda:
            self._begin(now)
        due, _, task = heappop(self._agenda)
        moment = max(due, now)
        walk, items = task(moment)
        return Delivery(delay_seconds=(moment - now).total_seconds(), walk=walk, items=tuple(items))

    def _begin(self, now: datetime) -> None:
        for leader in self._leaders:
            self._plan(now + self._pause(leader), partial(self._burst, leader))
        self._plan(now + timedelta(seconds=POLL_EVERY_S), self._poll)

    def _burst(self, leader: SimulatedLeader, moment: datetime) -> tuple[str, list[Row]]:
        rows, taker = self._trading.trade(leader, moment)
        for row in rows:
            self._history[str(row["proxyWallet"])].append(row)
        # Continuing with this chance makes bursts of the leader's mean length.
        goes_on = self._randomness.below(leader.habits.burst_tenths) >= 10
        gap = timedelta(milliseconds=BURST_GAP_MIN_MS + self._randomness.below(BURST_GAP_SPAN_MS))
        self._plan(moment + (gap if goes_on else self._pause(leader)), partial(self._burst, leader))
        shown = self._hold_back(leader, rows, moment=moment)
        frames = [_frame("trades", row, moment) for row in shown]
        return STREAM_WALK, [*frames, *([_frame("orders_matched", rows[0], moment)] if taker else [])]

    def _hold_back(self, leader: SimulatedLeader, rows: list[Row], *, moment: datetime) -> list[Row]:
        """Now and then the last of the leader's rows comes late, or never, by the stream."""
        mine = [row for row in rows if row["proxyWallet"] == leader.wallet]
        if len(mine) < 2:
            return rows
        draw = self._randomness.below(100)
        if draw < LATE_PERCENT:
            delay = timedelta(milliseconds=2_000 + self._randomness.below(3_000))
            self._plan(moment + delay, partial(self._late, mine[-1]))
        return rows[:-1] if draw < 2 * LATE_PERCENT else rows

    def _late(self, row: Row, moment: datetime) -> tuple[str, list[Row]]:
        return STREAM_WALK, [_frame("trades", row, moment)]

    def _poll(self, moment: datetime) -> tuple[str, list[Row]]:
        leader = self._leaders[self._polls % len(self._leaders)]
        self._polls += 1
        self._plan(moment + timedelta(seconds=POLL_EVERY_S), self._poll)
        history = self._history[leader.wallet]
        if self._randomness.below(100) < NEWS_PERCENT:
            history.append(self._trading.other(leader, moment))
        return f"generator:poll:{self._polls}", list(reversed(history))

    def _pause(self, leader: SimulatedLeader) -> timedelta:
        """Between two bursts; on average what makes the leader's rate, and never regular."""
        habits = leader.habits
        mean_s = 3_600 * habits.burst_tenths / 10 / habits.trades_per_hour / self._rate
        return timedelta(seconds=mean_s * 2 * self._randomness.fraction())

    def _plan(self, due: datetime, task: Task) -> None:
        self._tasks += 1
        heappush(self._agenda, (due, self._tasks, task))


class GeneratorSource:
    """Delivers what the generator decides, in the time of the clock."""

    name = "generator"

    def __init__(self, generator: MarketGenerator, sink: Sink, *, clock: Clock) -> None:
        self._generator = generator
        self._sink = sink
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop; the stream's walk ends with it."""
        while not stop.is_set():
            await self._deliver(stop)
        await self._sink.end_walk(STREAM_WALK)

    async def run_once(self) -> None:
        """Wait for one delivery and offer it."""
        await self._deliver(asyncio.Event())

    async def _deliver(self, stop: asyncio.Event) -> None:
        delivery = self._generator.next_delivery(self._clock.now())
        left_s = delivery.delay_seconds
        while left_s > 0 and not stop.is_set():
            await self._clock.sleep(min(left_s, SLEEP_SLICE_S))
            left_s -= SLEEP_SLICE_S
        if stop.is_set():
            return
        places = (f"{delivery.walk} row {number}" for number in range(1, len(delivery.items) + 1))
        readings = [parse_item(item, place=place) for item, place in zip(delivery.items, places, strict=True)]
        poll = delivery.walk != STREAM_WALK
        # A poll shows whole transactions; of the stream a later frame may still belong to a group.
        await self._sink.offer(delivery.walk, chronological(readings) if poll else readings, complete=poll)
        if poll:
            await self._sink.end_walk(delivery.walk)


def _frame(kind: str, row: Row, moment: datetime) -> dict[str, object]:
    """A frame of the activity stream: its payload is the row without what only `/activity` knows."""
    payload = {name: value for name, value in row.items() if name not in ("type", "usdcSize")}
    sent_ms = int((moment - _EPOCH) / timedelta(milliseconds=1))
    return {"topic": "activity", "type": kind, "timestamp": sent_ms, "connection_id": "simulated", "payload": payload}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
