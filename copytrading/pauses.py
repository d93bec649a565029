"""How a service waits between its rounds: until the time is over or it is told to stop, whichever comes first."""

import asyncio

from ledger.clock import Clock


async def sleep_or_stop(clock: Clock, stop: asyncio.Event, seconds: float) -> None:
    """Sleep on the clock; return at once when `stop` is set, before or meanwhile."""
    if stop.is_set():
        return
    sleeping, asked = asyncio.create_task(clock.sleep(seconds)), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({sleeping, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()
        asked.cancel()


async def one_of(*events: asyncio.Event) -> None:
    """Return as soon as one of these is set."""
    if any(event.is_set() for event in events):
        return
    asked = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in asked:
            each.cancel()
