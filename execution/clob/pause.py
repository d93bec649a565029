"""When the venue takes orders of nobody: for how long, why, and that one order tries first when the time is over."""

from execution.ports import HoldUp
from ledger.clock import Clock, Randomness

AGAIN_BASE_S, AGAIN_MAX_S = 1.0, 8.0
"""Each refusal in a row doubles the least pause: a restart takes 90 s, and wants 1 to 2 s at first (polymarket.md
3.4)."""

DOUBLINGS_MAX = 3

TRY_MS = 5_000
"""An order that tries first has its answer by then; after it the next one tries."""

LOOK_MS = 200
"""The others look again after this and up to half as much more, so that not all are back in the same moment."""


class VenuePause:
    """One pause for everybody in this process. Refusals of orders that were under way together count as one."""

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self._clock, self._randomness = clock, randomness
        self._until_ms = self._trying_until_ms = 0.0
        self._refusals = 0
        self.why = HoldUp.UNAVAILABLE

    @property
    def held(self) -> bool:
        """Whether nothing is posted at the moment."""
        return self._clock.monotonic_ms() < self._until_ms

    def begin(self, seconds: float, why: HoldUp) -> None:
        """The venue took an order of nobody's: post nothing for so long, and for longer with each refusal in a row."""
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._until_ms:
            self._refusals += 1
        least_s = min(AGAIN_BASE_S * 2 ** min(self._refusals - 1, DOUBLINGS_MAX), AGAIN_MAX_S)
        if now_ms + seconds * 1_000 >= self._until_ms:
            self.why = why
        self._until_ms = max(self._until_ms, now_ms + max(seconds, least_s) * 1_000)
        self._trying_until_ms = 0.0

    def follow(self, seconds: float) -> None:
        """Another process was told so: post nothing for so long, which is no refusal; then one order tries first."""
        self._until_ms = max(self._until_ms, self._clock.monotonic_ms() + seconds * 1_000)
        self._refusals = max(self._refusals, 1)

    def end(self) -> None:
        """It looks at orders again."""
        self._refusals = 0
        self._trying_until_ms = 0.0

    def unheard(self) -> None:
        """The order that tried has no answer: the next one tries."""
        self._trying_until_ms = 0.0

    def wait_ms(self) -> float:
        """For how long an order has to wait: the rest of the pause, or until the one that tries has its answer."""
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._until_ms:
            return self._until_ms - now_ms
        if now_ms < self._trying_until_ms:
            return LOOK_MS * (1 + self._randomness.fraction() / 2)
        return 0.0

    def goes(self) -> None:
        """An order is posted: after a pause it is the one that tries."""
        if self._refusals:
            self._trying_until_ms = self._clock.monotonic_ms() + TRY_MS
