"""Stand-ins for the injected doors: time that only moves when asked to, and ids that count."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

BEGINNING = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class VirtualClock:
    """`Clock` that never waits: sleeping yields to other tasks once and then moves the time to the end of the sleep.

    Sleeps that overlap end together, as on a real clock; only their order of waking is that of the event loop.
    """

    def __init__(self, begins_at: datetime = BEGINNING) -> None:
        self._begins_at = begins_at
        self._seconds = 0.0

    def now(self) -> datetime:
        """The virtual time."""
        return self._begins_at + timedelta(seconds=self._seconds)

    def monotonic_ms(self) -> float:
        """Virtual milliseconds since the beginning."""
        return self._seconds * 1000

    async def sleep(self, seconds: float) -> None:
        """Move the time on."""
        until = self._seconds + seconds
        await asyncio.sleep(0)
        self._seconds = max(self._seconds, until)

    def advance(self, seconds: float) -> None:
        """Move the time on without a task."""
        self._seconds += seconds


class SequentialIds:
    """`Ids` that count from one."""

    def __init__(self) -> None:
        self._salts = 0
        self._tokens = 0

    def salt(self) -> int:
        """The next number."""
        self._salts += 1
        return self._salts

    def token(self) -> str:
        """The next number in 32 hexadecimal digits."""
        self._tokens += 1
        return f"{self._tokens:032x}"


class InlineDatabase:
    """`Database` that runs the work at once on the caller's thread, inside the test's own transaction."""

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the work; other tasks get a turn before and after, as with a real thread."""
        await asyncio.sleep(0)
        result = outside_loop(work, *args, **kwargs)
        await asyncio.sleep(0)
        return result

    def close(self) -> None:
        """Nothing to close."""


def outside_loop(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ORM code from inside a coroutine of a test, on the test's own thread and connection.

    Django keeps other connections for code inside a loop, and refuses to use the thread's own there.
    """
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return work(*args, **kwargs)
    finally:
        asyncio._set_running_loop(loop)
