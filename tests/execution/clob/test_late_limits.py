"""Pauses and breakers are looked at right before an order leaves: what waited for the limits or for its connection
meanwhile goes back.
"""

import asyncio
from dataclasses import replace

import pytest

from execution.clob.rates import OrderRates, RateSettings
from execution.ports import HoldUp, NotTaken, Resting
from execution.venues.clob import LEAVES_MS_MAX, LIMITS_MS_MAX, ClobVenue
from guardrails.stores.memory import memory_stores
from ledger.system import SeededRandomness
from tests.doors import VirtualClock
from tests.execution.clob.test_venue import accepted, submit, trading
from tests.slow_connections import slow_connections


class SlowOnce:
    """Counters that take so long to answer the first question."""

    def __init__(self, clock: VirtualClock, took_ms: float) -> None:
        self._clock, self._took_ms = clock, took_ms
        self._counters = memory_stores(clock, queue_max=1, reclaim_ms=1_000).counters

    async def add(self, name: str, amount: int, window_ms: int) -> int:
        self._clock.advance(self._took_ms / 1_000)
        self._took_ms = 0.0
        return await self._counters.add(name, amount, window_ms)

    async def read(self, name: str) -> int:
        return await self._counters.read(name)


async def test_an_order_whose_limits_answer_late_is_not_sent_before_somebody_looks_again() -> None:
    async with trading(accepted()) as (on, venue):
        counters = SlowOnce(on.clock, LIMITS_MS_MAX + 1)
        rates = OrderRates(on.clock, SeededRandomness(1), settings=RateSettings(shards=2), counters=counters)
        late = ClobVenue(replace(venue._doors, rates=rates))
        first = await submit(late)
        assert isinstance(first, NotTaken)
        assert (first.why, first.wait_s, on.double.asked) == (HoldUp.UNAVAILABLE, 0.0, [])
        assert isinstance(await submit(late), Resting)


async def test_limits_that_answer_in_time_hold_nobody_up() -> None:
    async with trading(accepted()) as (on, venue):
        counters = SlowOnce(on.clock, LIMITS_MS_MAX)
        rates = OrderRates(on.clock, SeededRandomness(1), settings=RateSettings(shards=2), counters=counters)
        assert isinstance(await submit(ClobVenue(replace(venue._doors, rates=rates))), Resting)


@pytest.mark.parametrize(("ms", "leaves"), [(LEAVES_MS_MAX, True), (LEAVES_MS_MAX + 1, False)])
async def test_an_order_whose_connection_comes_late_is_not_sent_before_somebody_looks_again(
    ms: int, leaves: bool
) -> None:
    async with slow_connections() as connections, trading(accepted()) as (on, venue):
        sending = asyncio.create_task(submit(venue))
        await connections.asked.wait()
        on.clock.advance(ms / 1_000)
        connections.open.set()
        first = await sending
        if leaves:
            assert isinstance(first, Resting)
            return
        assert isinstance(first, NotTaken)
        assert (first.why, first.wait_s, on.double.asked) == (HoldUp.UNAVAILABLE, 0.0, [])
        assert isinstance(await submit(venue), Resting)
        assert (len(on.double.asked), connections.made) == (1, 1)
