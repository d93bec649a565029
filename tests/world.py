"""A whole engine on virtual doors, with leader Lena and whoever follows her: what goes in, which rows come out."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import CopyConfig, CopyTrade, Follower, Leader, LeaderPosition, Signal
from copytrading.operations.cast import seed_followers, seed_leaders
from copytrading.signals import parse_row
from copytrading.states import Status
from copytrading.wiring import EngineDoors, build_engine
from copytrading.wiring_choices import Choices
from execution.books import Book, Level
from execution.models import Market, Position
from execution.ports import Venue
from execution.quotes import FixedBooks
from guardrails.stores.memory import memory_stores
from ledger.system import SeededRandomness
from ledger.units import ONE, Micros, micros_from_text, text_from_micros
from tests.doors import InlineDatabase, SequentialIds, VirtualClock

LENA = "0x" + "1e" * 20
CONDITION = "0x" + "c0" * 32
TOKEN, OTHER_TOKEN = 7001, 7002
DEEP = 1_000_000

SAID: dict[str, Any] = {"version": "v1", "neg_risk": False, "tick_micros": 10_000, "fee_rate_bps": 0}
"""What the venue has said of the world's market."""

LONG_FOLLOWED = timedelta(days=1)
"""Since when whoever follows does: the database's own clock knows nothing of the world's."""


class World:
    """Rows go in with `show`, the engine works until nothing is left with `settle`."""

    def __init__(self, *, quotes: FixedBooks | None = None, venue: Venue | None = None, **choices: Any) -> None:
        self.clock = VirtualClock()
        self.books = quotes or FixedBooks(self.clock)
        self._choices = {"live": False, "remember": True, **choices}
        self._venue = venue
        self._walks = 0
        self._runner = asyncio.Runner()
        self.lena: Leader = seed_leaders({LENA: "Lena"}, holdings_complete=False)[0]
        Market.objects.get_or_create(
            condition_id=CONDITION,
            defaults={"title": "Will it rain?", "first_token_id": TOKEN, "second_token_id": OTHER_TOKEN, **SAID},
        )
        self.set_book("0.50", "0.50")
        self.start()

    def start(self) -> None:
        """A fresh engine on the same database: memory and queue of the old one are gone, as after a crash."""
        stores = memory_stores(self.clock, queue_max=1_000, reclaim_ms=30_000)
        doors = EngineDoors(
            clock=self.clock,
            ids=SequentialIds() if not hasattr(self, "engine") else _LaterIds(),
            randomness=SeededRandomness(1),
            database=InlineDatabase(),
            stores=stores,
            venue=self._venue,
        )
        self.engine = build_engine(Choices(quotes=self.books, **self._choices), doors)

    def set_book(self, bid: str, ask: str, *, shares: int = DEEP) -> None:
        """The book of Lena's token: one level on each side."""
        levels = {"bids": bid, "asks": ask}
        sides = {k: (Level(micros_from_text(v), Micros(shares * ONE)),) if v else () for k, v in levels.items()}
        self._walks += 1
        self.books.put(Book(token_id=TOKEN, version=f"v{self._walks}", **sides))

    def follower(self, name: str = "Fay", *, cash: int = 10_000, **config: Any) -> Follower:
        """A paper follower of Lena: 10 %, at most $100 a trade, SKIP, 200 bps, unless said."""
        row = seed_followers([name], label=f"world:{name}", cash_micros=cash * ONE)[0]
        since = self.clock.now() - LONG_FOLLOWED
        terms = {"percentage_bps": 1_000, "max_trade_micros": 100 * ONE, "created_at": since, **config}
        CopyConfig.objects.create(follower=row, leader=self.lena, **terms)
        return row

    def row(
        self, size: str = "1000", price: str = "0.50", *, tx: int = 1, side: str = "BUY", **more: Any
    ) -> dict[str, Any]:
        """A Data API row of Lena's."""
        return {
            "proxyWallet": LENA,
            "type": "TRADE",
            "side": side,
            "asset": str(TOKEN),
            "conditionId": CONDITION,
            "size": size,
            "price": price,
            "timestamp": int(self.clock.now().timestamp()),
            "transactionHash": f"0x{tx:064x}",
            "outcomeIndex": 0,
            **more,
        }

    def show(self, *rows: dict[str, Any], walk: str = "walk", source: str = "data-api", complete: bool = True) -> None:
        """A source reads these rows in one go; complete ones are recorded at once."""
        readings = [parse_row(row, source=source, place=f"row {n}") for n, row in enumerate(rows, start=1)]
        self.run(lambda: self.engine.intake.offer(walk, readings, complete=complete))

    def window_passes(self) -> None:
        """The coalescing window of what was shown passes."""
        self.clock.advance(1)
        self.run(self.engine.intake.run_once)

    def settle(self) -> None:
        """Decide, send and record everything that waits."""
        self.run(self._settle)

    def rescue(self) -> None:
        """One round of asking about orders whose outcome is missing."""
        self.run(self.engine.rescue.run_once)

    def copy(self, *rows: dict[str, Any], **how: Any) -> list[CopyTrade]:
        """Show, settle, and the copies that exist then, oldest first."""
        self.show(*rows, **how)
        self.settle()
        return self.trades()

    def trades(self, follower: Follower | None = None) -> list[CopyTrade]:
        """All copies, oldest first."""
        rows = CopyTrade.objects.order_by("pk")
        return list(rows.filter(follower=follower) if follower else rows)

    def hold(self, follower: Follower, shares: int, *, cost: str = "0.50") -> None:
        """Give a follower a position of Lena's token."""
        size = shares * ONE
        Position.objects.create(
            follower=follower,
            token_id=TOKEN,
            condition_id=CONDITION,
            size_micros=size,
            cost_micros=size * micros_from_text(cost) // ONE,
        )

    def lena_holds(self, shares: int, token: int = TOKEN) -> None:
        """Make Lena's holding known."""
        LeaderPosition.objects.update_or_create(
            leader=self.lena,
            token_id=token,
            defaults={"condition_id": CONDITION, "size_micros": shares * ONE, "known": True},
        )

    def lena_known_holding(self, token: int = TOKEN) -> int | None:
        """Lena's known holding in micros, None when it is not known."""
        row = LeaderPosition.objects.filter(leader=self.lena, token_id=token).first()
        return row.size_micros if row and row.known else None

    def signals(self) -> list[Signal]:
        """All signals, oldest first."""
        return list(Signal.objects.order_by("pk"))

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run a coroutine of the engine to its end."""
        return self._runner.run(_with_lease(self.engine, work))

    def close(self) -> None:
        """End the event loop."""
        self._runner.close()

    async def _settle(self) -> None:
        engine = self.engine
        while await engine.stores.queue.size() or engine.sender.in_flight:
            working = asyncio.create_task(engine.pipeline.run_once())
            while not working.done() or engine.sender.in_flight:
                await asyncio.sleep(0)
                await engine.writer.run_once()
            await working


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """A maker of worlds, closed at the end."""
    made: list[World] = []

    def make(**choices: Any) -> World:
        made.append(World(**choices))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Lena, her market with a deep book at 0.50, and nobody else."""
    return make_world()


class _LaterIds(SequentialIds):
    """Ids of a process started later: its tokens never repeat those of the first."""

    def __init__(self) -> None:
        super().__init__()
        self._salts = self._tokens = 1_000_000


async def _with_lease(engine: Any, work: Callable[[], Awaitable[Any]]) -> Any:
    await engine.lease.acquire()
    try:
        return await work()
    finally:
        await engine.lease.release()


def story(trade: CopyTrade) -> tuple[Any, ...]:
    """(status, size, limit) in shares and dollars as text, and the reasons."""
    return (
        Status(trade.status).value,
        text_from_micros(trade.size_micros),
        text_from_micros(trade.limit_micros),
        *reasons(trade),
    )


def reasons(trade: CopyTrade) -> list[tuple[str, Any, Any]]:
    """(reason, value, limit) of a copy, notes left out."""
    return [(r["reason"], r["value"], r["limit"]) for r in trade.reasons if not r.get("note")]


def notes(trade: CopyTrade) -> list[str]:
    """The notes of a copy."""
    return [r["reason"] for r in trade.reasons if r.get("note")]


def minutes(number: int) -> timedelta:
    """A span of time."""
    return timedelta(minutes=number)
