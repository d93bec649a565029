"""A service's pause ends with its time or with its stop, whichever comes first."""

import asyncio

import pytest

from copytrading.pauses import sleep_or_stop
from tests.doors import VirtualClock
from tests.world import World


class EndlessNight(VirtualClock):
    """A clock on which no sleep ends; `cancelled` says that one was given up, `pauses` how many there were."""

    cancelled, pauses = False, 0

    async def sleep(self, seconds: float) -> None:
        self.pauses += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


async def test_pause_ends_with_its_time() -> None:
    clock = VirtualClock()
    await sleep_or_stop(clock, asyncio.Event(), 5)
    assert clock.monotonic_ms() == 5_000


async def test_pause_ends_at_once_when_the_stop_is_set_meanwhile() -> None:
    clock, stop = EndlessNight(), asyncio.Event()
    pause = asyncio.create_task(sleep_or_stop(clock, stop, 5))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(pause, 1)
    await asyncio.sleep(0)
    assert clock.cancelled


async def test_no_pause_after_the_stop() -> None:
    clock, stop = VirtualClock(), asyncio.Event()
    stop.set()
    await sleep_or_stop(clock, stop, 5)
    assert clock.monotonic_ms() == 0


async def test_cancelled_pause_gives_its_sleep_up() -> None:
    clock = EndlessNight()
    pause = asyncio.create_task(sleep_or_stop(clock, asyncio.Event(), 5))
    await asyncio.sleep(0)
    pause.cancel()
    await asyncio.wait({pause})
    await asyncio.sleep(0)
    assert pause.cancelled() and clock.cancelled


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["sweeper", "rescue", "reporter", "lease"])
def test_services_end_in_the_middle_of_a_pause(world: World, name: str) -> None:
    service, clock = getattr(world.engine, name), EndlessNight(world.clock.now())
    service._clock = clock

    async def stop_it() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(service.run(stop))
        while not clock.pauses:  # noqa: ASYNC110  (the clock is what is waited for)
            await asyncio.sleep(0)
        stop.set()
        await asyncio.wait_for(running, 10)

    world.run(stop_it)
    assert clock.pauses == 1
