"""Tells the dashboard and the log what the engine does: a few rows a second, whatever the load.

An event holds what was added since the one before it, so that pages can sum seconds and shards. Durations are
spreads for the same reason. Copies are named by their ids: who shows them reads them.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import OperationalError

from copytrading.metrics import StageTimes, Tallies, difference
from copytrading.operations.events import publish
from copytrading.pauses import sleep_or_stop
from copytrading.sources.stats import SourceTold
from guardrails.queries import switches
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 0.25
QUIET_MS = 1_000
"""An event is written at least so often, so that a page can tell a quiet engine from a dead one."""

SOURCES_MS = 1_000
"""What the sources delivered is told at most so often: it is totals, and not what an event adds."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Before:
    """Counters as of the last event."""

    at_ms: float
    signals: int
    copies: Counter[str]
    skipped: Counter[str]
    failed: Counter[str]


class Reporter:
    """Publishes what was added since the last event."""

    name = "reporter"

    def __init__(
        self, database: Database, clock: Clock, *, tallies: Tallies, stages: StageTimes, shard: str, log_every_ms: int
    ) -> None:
        self._database, self._clock, self._tallies, self._stages = database, clock, tallies, stages
        self._shard, self._log_every_ms = shard, log_every_ms
        self._before = self._snapshot()
        self._logged_ms = clock.monotonic_ms()
        self.gauges: Callable[[], Awaitable[dict[str, int]]] = _no_gauges
        self.sources: Callable[[], Sequence[SourceTold]] = tuple
        self._sources_at_ms: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Report until stopped, and once more at the end."""
        while not stop.is_set():
            await self.run_once()
            await sleep_or_stop(self._clock, stop, EVERY_S)
        await self.run_once(always=True)

    async def run_once(self, *, always: bool = False) -> None:
        """Publish if something happened or it was quiet for a second."""
        now_ms = self._clock.monotonic_ms()
        changed = self._before.signals != self._tallies.signals or self._before.copies != self._tallies.copies
        if changed or always or now_ms - self._before.at_ms >= QUIET_MS:
            told = self._payload(now_ms) | self._sources(now_ms, always=always) | await self.gauges()
            await self._publish(told)
        if now_ms - self._logged_ms >= self._log_every_ms:
            self._logged_ms = now_ms
            log.info(
                "Stages.", action="metrics", shard=self._shard, stages=self._stages.summary(), **await self.gauges()
            )

    async def _publish(self, payload: dict[str, Any]) -> None:
        try:
            await self._database.run(_publish_tick, payload)
        except OperationalError:
            # Pages notice the silence; the totals of the next event hold what this one would have told.
            log.warning("The database is away; the dashboard is told nothing.", action="report", shard=self._shard)

    def _payload(self, now_ms: float) -> dict[str, Any]:
        """What was added, taken: the next event begins where this one ends."""
        tallies, before = self._tallies, self._before
        self._before = self._snapshot()
        stages = {stage: spread.told() for stage, spread in self._stages.take_spreads().items()}
        newest = list(tallies.newest)
        tallies.newest.clear()
        return {
            "shard": self._shard,
            "interval_ms": round(now_ms - before.at_ms),
            "signals": tallies.signals - before.signals,
            "copies": difference(tallies.copies, before.copies),
            "skipped": difference(tallies.skipped, before.skipped),
            "failed": difference(tallies.failed, before.failed),
            "delay": tallies.take_delays().told(),
            "stages": stages,
            "totals": {
                "signals": tallies.signals,
                "copies": dict(tallies.copies),
                "skipped": dict(tallies.skipped),
                "failed": dict(tallies.failed),
            },
            "newest": newest,
        }

    def _sources(self, now_ms: float, *, always: bool) -> dict[str, Any]:
        """What each source delivered since the start; nothing when that was told a moment ago."""
        if not always and self._sources_at_ms is not None and now_ms - self._sources_at_ms < SOURCES_MS:
            return {}
        self._sources_at_ms = now_ms
        return {"sources": [_told(each) for each in self.sources()]}

    def _snapshot(self) -> _Before:
        tallies = self._tallies
        return _Before(
            self._clock.monotonic_ms(),
            tallies.signals,
            Counter(tallies.copies),
            Counter(tallies.skipped),
            Counter(tallies.failed),
        )


def _told(source: SourceTold) -> dict[str, Any]:
    """In whole milliseconds: an event is kept small."""
    return {
        "name": source.name,
        "counts": source.counts,
        "lag_p50_ms": round(source.lag_p50_ms),
        "lag_p95_ms": round(source.lag_p95_ms),
        "fresh_ms": None if source.fresh_ms is None else round(source.fresh_ms),
    }


async def _no_gauges() -> dict[str, int]:
    return {}


def _publish_tick(payload: dict[str, Any]) -> None:
    payload["paused"] = switches().global_pause
    publish("tick", payload)
