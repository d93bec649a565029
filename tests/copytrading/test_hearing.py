"""All live sources as one: they end together, and none keeps a stop waiting."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from copytrading.hearing import STOP_WAIT_S, Hearing, Switched
from tests.doors import VirtualClock

TURNS = 5
"""Of the event loop, until every source is at its work."""

Run = Callable[[asyncio.Event], Awaitable[object]]


class Part:
    """A source that does one thing, and notes how it ended."""

    name = "part"

    def __init__(self, work: Run) -> None:
        self._work, self.end = work, ""

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._work(stop)
            self.end = "ended"
        except asyncio.CancelledError:
            self.end = "cut off"
            raise


def polite() -> Part:
    return Part(lambda stop: stop.wait())


def hanging() -> Part:
    """In a question to the network that nobody answers."""
    return Part(lambda _stop: asyncio.Event().wait())


class House:
    """Sources on virtual time; `closed` counts how often the network was let go of."""

    def __init__(self, *parts: Part | Switched) -> None:
        self.clock, self.closed, self.stop = VirtualClock(), 0, asyncio.Event()
        self.hearing = Hearing(parts, self.clock, stats={}, close=self._close)

    async def _close(self) -> None:
        self.closed += 1

    async def run(self) -> None:
        """Run until stopped, which is soon."""
        running = asyncio.create_task(self.hearing.run(self.stop))
        for _turn in range(TURNS):
            await asyncio.sleep(0)
        self.stop.set()
        await running


async def test_source_that_hangs_in_the_network_is_cut_off_within_its_bound() -> None:
    part, stuck = polite(), hanging()
    house = House(part, stuck)
    await house.run()
    assert (part.end, stuck.end, house.closed) == ("ended", "cut off", 1)
    assert house.clock.monotonic_ms() == STOP_WAIT_S * 1_000


async def test_sources_that_end_at_once_are_not_waited_for() -> None:
    house = House(polite(), polite())
    await house.run()
    assert house.hearing.parts[0].end == "ended"  # type: ignore[union-attr]


async def test_hearing_ends_when_all_its_sources_have() -> None:
    house = House(Part(lambda _stop: asyncio.sleep(0)))
    await house.hearing.run(house.stop)
    assert (house.closed, house.stop.is_set()) == (1, False)


async def _broken(_stop: asyncio.Event) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("switched", [False, True])
async def test_bug_in_one_source_ends_them_all_also_those_that_hang(switched: bool) -> None:
    stuck = hanging()
    house = House(Switched(stuck) if switched else stuck, Part(_broken))
    with pytest.raises(ExceptionGroup):
        await house.hearing.run(house.stop)
    assert (stuck.end, house.closed) == ("cut off", 1)


async def test_switched_source_that_hangs_is_cut_off_too() -> None:
    stuck = hanging()
    await House(Switched(stuck)).run()
    assert stuck.end == "cut off"
