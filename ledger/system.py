"""The real clock, randomness and ids: the only file that asks the operating system for them."""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

T = TypeVar("T")

SALT_BITS = 53


class SystemClock:
    """`Clock` of this machine."""

    def now(self) -> datetime:
        """The current aware UTC time."""
        return datetime.now(UTC)

    def monotonic_ms(self) -> float:
        """Milliseconds of the monotonic clock."""
        return time.monotonic_ns() / 1e6

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)


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

    def salt(self) -> int:
        """An unpredictable 53-bit salt."""
        return secrets.randbits(SALT_BITS)

    def token(self) -> str:
        """An unpredictable 128-bit token in hexadecimal."""
        return secrets.token_hex(16)
