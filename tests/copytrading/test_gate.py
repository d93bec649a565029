"""The switches are read for each batch, once for all its orders, and an answer that takes long is an answer."""

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import pytest

from copytrading.breaker_watch import Breakers
from copytrading.gate import SWITCHES_AGE_MS_MAX, Gate, Stop
from copytrading.shardlease import LeaseKeeper
from guardrails.intents import Reason, Refusal
from guardrails.queries import Switches
from tests.doors import VirtualClock
from tests.guardrails.test_rules import BUY

P = ParamSpec("P")
T = TypeVar("T")

PAUSED = Stop(Refusal(Reason.PAUSED_BEFORE_SEND))


class Held:
    def trusted(self) -> bool:
        return True

    def holds(self, _leaving: object) -> bool:
        return False

    def grant(self, _leaving: object) -> bool:
        return True


class SlowDatabase:
    """Answers what the switches were when it was asked."""

    def __init__(self, clock: VirtualClock, *, takes_s: float) -> None:
        self.asked, self.paused = 0, False
        self._clock, self._takes_s = clock, takes_s

    async def run(self, _work: Callable[P, T], /, *_args: P.args, **_kwargs: P.kwargs) -> T:
        self.asked += 1
        found = Switches(global_pause=self.paused)
        await asyncio.sleep(0)
        self._clock.advance(self._takes_s)
        return cast("Any", found)


class Stage:
    def __init__(self, *, takes_s: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.database = SlowDatabase(self.clock, takes_s=takes_s)
        held: Any = Held()
        self.gate = Gate(self.database, self.clock, lease=cast("LeaseKeeper", held), breakers=cast("Breakers", held))

    async def check(self) -> Stop | None:
        now_ms = self.clock.monotonic_ms()
        return await self.gate.check(BUY, trade_id=1, mode="PAPER", written_ms=now_ms)


async def test_orders_of_a_batch_share_one_question() -> None:
    stage = Stage()
    stage.gate.forget()
    assert await asyncio.gather(*(stage.check() for _ in range(100))) == [None] * 100
    assert stage.database.asked == 1


async def test_a_new_batch_on_the_same_instant_asks_again() -> None:
    stage = Stage()
    assert await stage.check() is None
    stage.database.paused = True
    assert await stage.check() is None
    stage.gate.forget()
    assert await stage.check() == PAUSED


@pytest.mark.parametrize("takes_s", [SWITCHES_AGE_MS_MAX / 1_000 + 0.1, 1.5])
async def test_an_answer_that_takes_long_is_taken(takes_s: float) -> None:
    stage = Stage(takes_s=takes_s)
    async with asyncio.timeout(5):
        assert await stage.check() is None
    assert stage.database.asked == 1


async def test_what_was_asked_for_an_earlier_batch_says_nothing_of_this_one() -> None:
    stage = Stage()
    first = asyncio.create_task(stage.check())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stage.database.paused = True
    stage.gate.forget()
    assert (await stage.check(), await first, stage.database.asked) == (PAUSED, None, 2)
