"""The real clock, randomness and ids: the only file that asks the operating system for them."""

import asyncio
import gc
import random
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

T = TypeVar("T")

SALT_BITS = 53
SALT_WORD_BYTES = 8
SALTS_DRAWN = 512
"""Salts taken from the operating system at once: each call lets another thread run, and waits for it."""

COLLECT_AFTER = 50_000
"""Young objects before the collector looks for cycles, some milliseconds each time. The interpreter's own number, 700,
is met several times within one batch, and a fifth of all CPU time went into it (docs/benchmarks.md)."""

THREAD_TURN_S = 0.0005
"""How long a thread computes while another waits for the interpreter; its own number is ten times as much. The event
loop gives way at every hash and signature and must soon come back: copies a second rose by a quarter."""


@contextmanager
def tuned_interpreter() -> Iterator[None]:
    """For the life of an engine: cyclic garbage is sought seldom, and never among what exists now; threads take turns
    quickly. Afterwards the interpreter is as it was.
    """
    thresholds, turn_s = gc.get_threshold(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *thresholds[1:])
    sys.setswitchinterval(THREAD_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(turn_s)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


# Linux's monotonic clock stands still while a virtual machine is suspended; not every system has the other one.
_SINCE_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """`Clock` of this machine."""

    def now(self) -> datetime:
        """The current aware UTC time."""
        return datetime.now(UTC)

    def monotonic_ms(self) -> float:
        """Milliseconds of a clock that goes on while the machine sleeps: a lease ends then, too."""
        return time.clock_gettime_ns(_SINCE_BOOT) / 1e6

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)


class SystemCpuClock:
    """`CpuClock` of this process."""

    def process_ns(self) -> int:
        """User and system time of the process."""
        return time.process_time_ns()

    def thread_ns(self) -> int:
        """User and system time of the calling thread."""
        return time.thread_time_ns()


class SeededRandomness:
    """`Randomness` that repeats from its seed; without one it starts from the operating system's entropy."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)

    def below(self, bound: int) -> int:
        """A uniform integer in [0, bound)."""
        return self._random.randrange(bound)

    def fraction(self) -> float:
        """A uniform number in [0, 1)."""
        return self._random.random()

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, uniformly."""
        return self._random.choice(options)


class SystemIds:
    """`Ids` from the operating system's entropy."""

    def __init__(self) -> None:
        self._salts: list[int] = []

    def salt(self) -> int:
        """An unpredictable 53-bit salt, given out once. One thread at a time."""
        if not self._salts:
            words = memoryview(secrets.token_bytes(SALT_WORD_BYTES * SALTS_DRAWN)).cast("Q")
            self._salts = [word >> (8 * SALT_WORD_BYTES - SALT_BITS) for word in words]
        return self._salts.pop()

    def token(self) -> str:
        """An unpredictable 128-bit token in hexadecimal."""
        return secrets.token_hex(16)


class SystemEntropy:
    """`Entropy` of the operating system."""

    def draw(self, count: int) -> bytes:
        """So many unpredictable bytes. Any thread."""
        return secrets.token_bytes(count)
