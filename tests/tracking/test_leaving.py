"""The last moment before an order leaves: nobody waits after the last look, and nothing leaves when the engine ends."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from copytrading.models import ShardLease
from copytrading.supervisor import Supervisor
from execution.orders import OrderPlan
from execution.ports import HoldUp, NotTaken, Resting
from execution.quotes import FixedBooks
from guardrails.operations import set_switch
from ledger.models import CashBalance
from ledger.system import SystemClock
from tests.doors import outside_loop
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.world import reasons

pytestmark = pytest.mark.django_db

BUSY = NotTaken(why=HoldUp.UNAVAILABLE, wait_s=5, detail="matching engine restarting")
SLOW = Resting(matched=True, final=True)

Make = Callable[..., ExchangeWorld]


def holding(world: ExchangeWorld, event: asyncio.Event) -> list[OrderPlan]:
    """The venue answers when the event comes; the orders that have reached it."""
    inside: list[OrderPlan] = []

    async def submit(plan: OrderPlan, signature: bytes, *, follower_id: int) -> Any:
        inside.append(plan)
        world.exchange.on_submit(plan)
        await event.wait()
        return SLOW

    world.exchange.submit = submit  # type: ignore[method-assign]
    return inside


async def turns(world: ExchangeWorld, number: int = 200) -> None:
    for _turn in range(number):
        await asyncio.sleep(0)
        await world.engine.writer.run_once()


def test_no_more_orders_are_with_the_venue_than_it_has_connections_for(make_exchange: Make) -> None:
    exchange = make_exchange(at_once=2)
    for number in range(5):
        exchange.follower(f"Follower {number}")
    answer = asyncio.Event()
    inside = holding(exchange, answer)
    exchange.show(exchange.row())

    async def story() -> None:
        await exchange.engine.pipeline.run_once()
        await turns(exchange)
        assert len(inside) == 2
        answer.set()
        await turns(exchange)

    exchange.run(story)
    assert (len(inside), set(statuses(exchange))) == (5, {"MATCHED"})


def test_who_pauses_while_orders_wait_for_a_connection_stops_them(make_exchange: Make) -> None:
    exchange = make_exchange(at_once=1)
    for number in range(3):
        exchange.follower(f"Follower {number}")
    answer = asyncio.Event()
    inside = holding(exchange, answer)
    exchange.show(exchange.row())

    async def story() -> None:
        await exchange.engine.pipeline.run_once()
        await turns(exchange)
        now = exchange.clock.now()
        switched = {"kind": "PAUSE", "scope": "GLOBAL", "key": "", "on": True}
        await exchange.engine.database.run(set_switch, **switched, who="olga", why="", now=now)
        exchange.clock.advance(1)
        answer.set()
        await turns(exchange)

    exchange.run(story)
    assert (len(inside), sorted(statuses(exchange))) == (1, ["FAILED", "FAILED", "MATCHED"])
    assert {reasons(row)[0][0] for row in exchange.trades() if row.status == "FAILED"} == {"PAUSED_BEFORE_SEND"}


def test_an_order_that_the_venue_asks_to_wait_gives_its_connection_to_others(make_exchange: Make) -> None:
    exchange = make_exchange(at_once=1)
    for name in ("Fay", "Fred"):
        exchange.follower(name)
    exchange.exchange.answer = BUSY

    def second_is_taken(_plan: OrderPlan) -> None:
        exchange.exchange.answer = None if len(exchange.exchange.submitted) > 1 else BUSY

    exchange.exchange.on_submit = second_is_taken
    exchange.copy(exchange.row())
    first, second, again = exchange.exchange.submitted
    assert first.order_hash == again.order_hash != second.order_hash
    assert statuses(exchange) == ["MATCHED", "MATCHED"]


def test_an_answer_that_comes_after_the_shard_went_to_another_changes_nothing(exchange: ExchangeWorld) -> None:
    exchange.follower()
    answer = asyncio.Event()
    inside = holding(exchange, answer)
    exchange.show(exchange.row())
    old = exchange.engine

    async def story() -> None:
        await old.pipeline.run_once()
        await turns(exchange)
        await old.lease.release()
        exchange.start()
        exchange.clock.advance(6)
        await exchange.engine.lease.acquire()
        await exchange.engine.rescue.run_once()
        taken = outside_loop(exchange.trades)
        answer.set()
        for _turn in range(200):
            await asyncio.sleep(0)
            await old.writer.run_once()
        kept = outside_loop(exchange.trades)
        assert [(row.status, row.lock_token, row.matched_micros) for row in kept] == [
            ("UNKNOWN", row.lock_token, 0) for row in taken
        ]
        await exchange.engine.lease.release()
        await old.lease.acquire()

    exchange.run(story)
    assert (len(inside), old.sender.in_flight, old.tallies.copies["MATCHED"]) == (1, 0, 0)


# --- The end of an engine ---------------------------------------------------------------------------------------------


class RealTime(ExchangeWorld):
    """The same world by the system's clock, on which a supervisor can be stopped."""

    def start(self) -> None:
        self.clock: Any = SystemClock()
        self.books = FixedBooks(self.clock)
        self.set_book("0.50", "0.50")
        super().start()


class Source:
    """A feed without news."""

    name = "source"

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()


class Following:
    """A service that follows what was sent; when it is told to stop it notes whether orders may leave, who has the
    shard, and what became of the copies.
    """

    name = "user streams"

    def __init__(self, world: ExchangeWorld) -> None:
        self._world = world
        self.seen: list[tuple[bool, bool]] = []

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()
        lease = await self._world.engine.database.run(ShardLease.objects.get)
        self.seen.append((self._world.engine.sender._closing.is_set(), lease.holder != ""))


@pytest.fixture
def real_time() -> Iterator[RealTime]:
    """One connection for orders."""
    world = RealTime(at_once=1)
    yield world
    world.close()


def stopped(world: ExchangeWorld, *, drain_ms: int) -> Following:
    """The engine runs as a supervisor runs it, and is asked to stop when the first order is with the venue."""
    following = Following(world)
    engine = replace(world.engine, following=(following,))

    async def story() -> None:
        stop = asyncio.Event()
        world.exchange.on_submit = lambda _plan: stop.set()
        await Supervisor(engine, drain_ms=drain_ms).run(Source(), stop)

    world._runner.run(story())
    return following


AT_ITS_TURN = [(True, True)]
"""Nothing could leave any more when those who follow orders were stopped, and the shard was still held."""


def test_an_order_that_the_venue_never_took_ends_with_the_engine_and_frees_its_money(real_time: RealTime) -> None:
    real_time.follower()
    real_time.exchange.answer = NotTaken(why=HoldUp.UNAVAILABLE, wait_s=30, detail="restarting")
    real_time.show(real_time.row())
    following = stopped(real_time, drain_ms=200)
    (row,) = real_time.trades()
    assert (row.status, reasons(row)[0][0]) == ("FAILED", "VENUE_UNAVAILABLE")
    assert (CashBalance.objects.get().reserved_micros, len(real_time.exchange.submitted)) == (0, 1)
    assert (following.seen, ShardLease.objects.get().holder) == (AT_ITS_TURN, "")


def test_an_order_whose_turn_did_not_come_before_the_end_never_leaves(real_time: RealTime) -> None:
    for name in ("Fay", "Fred"):
        real_time.follower(name)
    answer = asyncio.Event()
    inside = holding(real_time, answer)
    real_time.show(real_time.row())
    stopped(real_time, drain_ms=200)
    assert (len(inside), statuses(real_time)) == (1, ["PENDING", "PENDING"])

    async def too_late() -> None:
        answer.set()
        await turns(real_time)

    real_time.run(too_late)
    assert (len(inside), real_time.engine.sender.in_flight) == (1, 0)


def test_a_stop_waits_for_answers_before_it_ends_those_who_follow_orders(real_time: RealTime) -> None:
    real_time.follower()
    real_time.show(real_time.row())
    following = stopped(real_time, drain_ms=60_000)
    assert (statuses(real_time), following.seen) == (["MATCHED"], AT_ITS_TURN)
