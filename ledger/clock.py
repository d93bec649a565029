"""The Protocols of time, CPU time, randomness and ids, on the lowest floor so that every floor may ask for them.

Nothing above calls the operating system for these: an engine under test runs on virtual time and on a seed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Wall time, a monotonic count, and sleeping; the one door to all three."""

    def now(self) -> datetime:
        """The current aware UTC time."""
        ...

    def monotonic_ms(self) -> float:
        """Milliseconds of a clock that never goes back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task for that many seconds of this clock."""
        ...


class CpuClock(Protocol):
    """What was computed, not how long it took: counts that only rise, of which differences mean something."""

    def process_ns(self) -> int:
        """CPU nanoseconds of all threads of this process."""
        ...

    def thread_ns(self) -> int:
        """CPU nanoseconds of the calling thread."""
        ...


class Randomness(Protocol):
    """Random choices; seeded in tests and in the demo."""

    def below(self, bound: int) -> int:
        """A uniform integer in [0, bound)."""
        ...

    def fraction(self) -> float:
        """A uniform number in [0, 1); for delays and weights, never for money."""
        ...

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, uniformly; the sequence must not be empty."""
        ...


class Ids(Protocol):
    """Identifiers and salts that must not repeat."""

    def salt(self) -> int:
        """An order salt in [0, 2^53): the venue takes it as a JSON number."""
        ...

    def token(self) -> str:
        """A new 32-digit hexadecimal token: locks, lease holders, verify runs."""
        ...


class Entropy(Protocol):
    """Unpredictable bytes for keys and nonces; nothing else may make them."""

    def draw(self, count: int) -> bytes:
        """So many bytes, never the same again."""
        ...
