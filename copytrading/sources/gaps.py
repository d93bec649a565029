"""The times in which the activity stream was not heard: it has no memory, so what came then it never shows again."""

import structlog

from copytrading.sources.stats import SourceStats
from ledger.clock import Clock

log = structlog.get_logger(__name__)


class Gaps:
    """Counts each such time once, as soon as it is noticed, and logs its end and its length.

    A gap begins with the last data of a connection that was lost, or with the first try that failed, and lasts until
    data come again. A frame that the venue itself leaves out of a connection that goes on leaves no trace here.
    """

    def __init__(self, clock: Clock, stats: SourceStats) -> None:
        self._clock, self._stats = clock, stats
        self._since_ms: float | None = None

    def lost(self, since_ms: float) -> None:
        """Nothing is heard since then; a gap that has begun already goes on."""
        if self._since_ms is None:
            self._since_ms = since_ms
            self._stats.gap()

    def heard(self) -> None:
        """Data came."""
        if self._since_ms is not None:
            seconds = round((self._clock.monotonic_ms() - self._since_ms) / 1_000, 1)
            self._since_ms = None
            log.warning("The activity stream was not heard for a while.", action="gap", seconds=seconds)

    def forget(self) -> None:
        """Nobody is followed any more: what comes now concerns nobody, and is not missed."""
        self._since_ms = None
