"""The one door from asyncio to the ORM: a sync function, a whole transaction, on a small bounded thread pool.

Django's own async methods share one thread, cannot hold a transaction and keep a dead connection forever
(reliability.md 5.1 to 5.4). Here each unit of work checks its connection before and after, and is shielded:
cancelling the caller does not pretend that the write did not happen.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")


class Database(Protocol):
    """Runs sync units of work for asyncio."""

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work(*args, **kwargs)`, run off the event loop; raises what it raises."""
        ...


class ClosableDatabase(Database, Protocol):
    """A `Database` that its owner closes at the end."""

    def close(self) -> None:
        """Wait for running work and give every connection back."""
        ...


class ThreadedDatabase:
    """`Database` on a bounded pool of threads, one connection each."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="slipstream-db")

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work on a thread of the pool; it finishes even if the caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._pool, partial(_unit, work, *args, **kwargs)))

    def close(self) -> None:
        """Wait for running work and close every thread's connection."""
        count = self._pool._max_workers
        for future in [self._pool.submit(connections.close_all) for _ in range(count)]:
            future.result()
        self._pool.shutdown(wait=True)


def _unit(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    try:
        return work(*args, **kwargs)
    finally:
        close_old_connections()
