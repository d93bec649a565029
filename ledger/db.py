"""The one door from asyncio to the ORM: a sync function, a whole transaction, on a small bounded thread pool.

Django's own async methods share one thread, cannot hold a transaction and keep a dead connection forever
(reliability.md 5.1 to 5.4). Here each unit of work checks its connection before and after, and is shielded:
cancelling the caller does not pretend that the write did not happen.
"""

import asyncio
import re
import select
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any, ParamSpec, Protocol, TypeVar

from django.db import close_old_connections, connections

IDLE_MS_MAX = 5_000
"""A process that is frozen inside a transaction loses it, and its row locks, before others wait long to take over."""

MEET_S = 60.0
"""Longer than any statement may run (statement_timeout); then the threads are given up."""

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
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="slipstream-db", initializer=_keep_connections)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work on a thread of the pool; it finishes even if the caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._pool, partial(_unit, work, *args, **kwargs)))

    def close(self) -> None:
        """Wait for running work and close every thread's connection."""
        # Each thread must close its own: they meet, so that none can take two of these.
        meeting = Barrier(self._threads)
        for future in [self._pool.submit(_close_all, meeting) for _ in range(self._threads)]:
            future.result()
        self._pool.shutdown(wait=True)


class BoundedDatabase:
    """`Database` for what has time: at most so many of its units run at once, so that others find a thread."""

    def __init__(self, database: Database, most: int) -> None:
        self._database, self._room = database, asyncio.Semaphore(most)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work in its turn."""
        async with self._room:
            return await self._database.run(work, *args, **kwargs)


def _keep_connections() -> None:
    # Connections of requests end with them; those of these threads stay, checked before each unit of work.
    for connection in connections.all():
        options = dict(connection.settings_dict["OPTIONS"])
        if connection.vendor == "postgresql":
            others = re.sub(r"-c idle_in_transaction_session_timeout=\d+", "", options.get("options", ""))
            options["options"] = f"-c idle_in_transaction_session_timeout={IDLE_MS_MAX} {others}".strip()
        connection.settings_dict = {**connection.settings_dict, "CONN_MAX_AGE": None, "OPTIONS": options}


def _close_all(meeting: Barrier) -> None:
    meeting.wait(MEET_S)
    connections.close_all()


def _unit(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    _trust_the_quiet()
    try:
        return work(*args, **kwargs)
    finally:
        close_old_connections()


def _trust_the_quiet() -> None:
    """Spare connections that nothing has been heard on the question whether they are alive: it is a round trip a unit.

    A server that ends, or that ends the session, closes its side, and then there is something to read.
    """
    connection: Any
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "postgresql" and connection.connection and not connection.connection.closed:
            poll = select.poll()
            poll.register(connection.connection.fileno(), select.POLLIN)
            connection.health_check_done = not poll.poll(0)
