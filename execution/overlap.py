"""Does several things at once, but never too many."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

T = TypeVar("T")


async def overlapped(works: Sequence[Callable[[], Coroutine[object, object, T]]], *, at_once: int) -> list[T]:
    """What each work answers, in their order. The first failure is raised; the others are then cancelled."""
    gate = asyncio.Semaphore(at_once)

    async def through(work: Callable[[], Coroutine[object, object, T]]) -> T:
        async with gate:
            return await work()

    tasks = [asyncio.create_task(through(work)) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
