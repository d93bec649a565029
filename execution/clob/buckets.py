"""A token bucket that fills by itself and is asked before anything is taken. Pure but for what it remembers."""

ROUNDING_MS = 1e-6
"""A wait as short as this is none: fractions do not add up exactly."""


class Bucket:
    """Holds at most `burst` tokens and gains `per_second`; times are milliseconds of one monotonic clock.

    Written as one moment (the generic cell rate algorithm): when it would be full again.
    """

    def __init__(self, *, per_second: float, burst: float) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError("A bucket gains something and holds at least one token.")
        self._every_ms = 1_000 / per_second
        self._depth_ms = burst * self._every_ms
        self._full_at_ms = 0.0

    def wait_ms(self, now_ms: float, *, ahead: int = 0) -> float:
        """Until there is a token, when so many others are taken before it; 0 when there is one."""
        taken_at_ms = max(self._full_at_ms, now_ms) + ahead * self._every_ms if ahead else self._full_at_ms
        wait = taken_at_ms + self._every_ms - self._depth_ms - now_ms
        return wait if wait > ROUNDING_MS else 0.0

    def take(self, now_ms: float) -> None:
        """Take one, also when there is none: then it is owed."""
        self._full_at_ms = max(self._full_at_ms, now_ms) + self._every_ms

    def give_back(self) -> None:
        """Put back one that was not used."""
        self._full_at_ms -= self._every_ms

    def at_most(self, tokens: int, now_ms: float) -> None:
        """Somebody who counts too says that no more than these are left."""
        self._full_at_ms = max(self._full_at_ms, now_ms + self._depth_ms - tokens * self._every_ms)

    def empty_for(self, now_ms: float, duration_ms: float) -> None:
        """There is no token for so long."""
        self._full_at_ms = max(self._full_at_ms, now_ms + duration_ms + self._depth_ms - self._every_ms)
