"""What the pipeline has in hand: more is taken while some of it waits, and what is decided is marked at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from copytrading.held import Held
from copytrading.models import Signal
from copytrading.pipeline import TAKE_FIRST
from guardrails.stores.base import StoreDown, Taken
from guardrails.stores.memory import MemoryQueue
from tests.doors import VirtualClock
from tests.world import World

pytestmark = pytest.mark.django_db


class Looks:
    """A stop that comes after so many looks at it."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def is_set(self) -> bool:
        """True from then on."""
        self._left -= 1
        return self._left < 0


def once(world: World, stop: Any = None) -> Any:
    """One round of the pipeline, with outcomes recorded beside it: the number of signals taken."""

    async def work() -> int:
        working = asyncio.create_task(world.engine.pipeline.run_once(stop))
        while not working.done() or world.engine.sender.in_flight:
            await asyncio.sleep(0)
            await world.engine.writer.run_once()
        return await working

    return world.run(work)


def batches(world: World) -> list[int]:
    """The sizes of the transactions in which the copies were written, first to last."""
    tokens = [trade.lock_token for trade in world.trades()]
    return [tokens.count(token) for token in dict.fromkeys(tokens)]


def elsewhere(world: World, number: int) -> dict[str, Any]:
    """Lena buys in a market of its own, whose token has the same book."""
    return world.row("1000", tx=100 + number, conditionId=f"0x{number:064x}")


def buy_and_sell(world: World) -> list[dict[str, Any]]:
    world.lena_holds(0)
    return [world.row("1000", tx=1), world.row("500", tx=2, side="SELL")]


def test_more_signals_are_taken_while_one_waits_for_an_earlier_one_of_its_market(world: World) -> None:
    world.follower(cash=1_000_000)
    world.show(*buy_and_sell(world), *(elsewhere(world, number) for number in range(1, TAKE_FIRST + 9)))
    assert once(world) == 2 + TAKE_FIRST + 8
    assert batches(world) == [TAKE_FIRST - 1, 11]


def test_a_sell_that_was_passed_over_sells_what_was_bought_before_it(world: World) -> None:
    world.follower()
    world.show(*buy_and_sell(world), elsewhere(world, 1))
    once(world)
    assert [(trade.side, trade.status) for trade in world.trades()] == [
        ("BUY", "EXECUTED"),
        ("BUY", "EXECUTED"),
        ("SELL", "EXECUTED"),
    ]


def test_what_is_decided_is_marked_before_what_waits_behind_it(world: World) -> None:
    world.follower()
    world.show(*buy_and_sell(world))
    once(world, Looks(1))
    assert list(Signal.objects.filter(done_at=None).values_list("side", flat=True)) == ["SELL"]
    assert world.run(world.engine.stores.queue.size) == 1


class FlakyQueue(MemoryQueue):
    """A queue that does not serve some verbs now."""

    down: frozenset[str] = frozenset()

    async def take(self, max_items: int, *, wait_ms: int) -> list[Taken]:
        self._answer("take")
        return await super().take(max_items, wait_ms=wait_ms)

    async def done(self, receipts: Sequence[str]) -> None:
        self._answer("done")
        await super().done(receipts)

    def _answer(self, verb: str) -> None:
        if verb in self.down:
            raise StoreDown("gone")


@pytest.fixture
def queue() -> FlakyQueue:
    return FlakyQueue(VirtualClock(), queue_max=10, exits_reserved=0, reclaim_ms=30_000)


async def test_a_queue_that_is_down_has_no_more_for_now(queue: FlakyQueue) -> None:
    held = Held(queue)
    await queue.add(["1"])
    queue.down = frozenset({"take"})
    assert await held.more(5) == []
    with pytest.raises(StoreDown):
        await held.take(5, wait_ms=0)


async def test_what_could_not_be_marked_is_marked_the_next_time(queue: FlakyQueue) -> None:
    held = Held(queue)
    await queue.add(["1", "2", "3"])
    assert await held.take(5, wait_ms=0) == [1, 2, 3]
    queue.down = frozenset({"done"})
    await held.end_all_but({2, 3}, last=False)
    queue.down = frozenset()
    await held.end_all_but({3}, last=False)
    assert await queue.size() == 1


async def test_what_cannot_be_marked_at_the_last_is_told(queue: FlakyQueue) -> None:
    held = Held(queue)
    await queue.add(["1"])
    await held.take(5, wait_ms=0)
    queue.down = frozenset({"done"})
    with pytest.raises(StoreDown):
        await held.end_all_but((), last=True)


def test_a_lone_signal_is_decided_without_asking_for_more(world: World, monkeypatch: Any) -> None:
    world.follower()
    world.show(world.row())
    queue, asked = world.engine.stores.queue, []
    take = queue.take

    async def counted(most: int, *, wait_ms: int) -> Sequence[Taken]:
        asked.append(wait_ms)
        return await take(most, wait_ms=wait_ms)

    monkeypatch.setattr(queue, "take", counted)
    assert once(world) == 1
    assert (len(world.trades()), len(asked)) == (1, 1)
