"""Tells the dashboard and the log what the engine does: a few rows a second, whatever the load."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from copytrading.metrics import StageTimes, Tallies, difference, percentile
from copytrading.operations.events import publish
from copytrading.stories import stories_of
from guardrails.queries import switches
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 0.25
QUIET_MS = 1_000
"""An event is written at least so often, so that a page can tell a quiet engine from a dead one."""

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

    async def run(self, stop: asyncio.Event) -> None:
        """Report until stopped, and once more at the end."""
        while not stop.is_set():
            await self.run_once()
            await self._clock.sleep(EVERY_S)
        await self.run_once(always=True)

    async def run_once(self, *, always: bool = False) -> None:
        """Publish if something happened or it was quiet for a second."""
        now_ms = self._clock.monotonic_ms()
        changed = self._before.signals != self._tallies.signals or self._before.copies != self._tallies.copies
        if changed or always or now_ms - self._before.at_ms >= QUIET_MS:
            payload, newest = self._payload(now_ms) | await self.gauges(), list(self._tallies.newest)
            self._before = self._snapshot()
            await self._database.run(_publish_tick, payload, newest)
        if now_ms - self._logged_ms >= self._log_every_ms:
            self._logged_ms = now_ms
            log.info(
                "Stages.", action="metrics", shard=self._shard, stages=self._stages.summary(), **await self.gauges()
            )

    def _payload(self, now_ms: float) -> dict[str, Any]:
        tallies, before = self._tallies, self._before
        return {
            "shard": self._shard,
            "interval_ms": round(now_ms - before.at_ms),
            "signals": tallies.signals - before.signals,
            "copies": difference(tallies.copies, before.copies),
            "skipped": difference(tallies.skipped, before.skipped),
            "failed": difference(tallies.failed, before.failed),
            "latency_ms": {
                "p50": percentile(tallies.delays_ms, 50),
                "p99": percentile(tallies.delays_ms, 99),
                "max": max(tallies.delays_ms, default=0.0),
            },
            "totals": {
                "signals": tallies.signals,
                "copies": dict(tallies.copies),
                "skipped": dict(tallies.skipped),
                "failed": dict(tallies.failed),
            },
        }

    def _snapshot(self) -> _Before:
        tallies = self._tallies
        return _Before(
            self._clock.monotonic_ms(),
            tallies.signals,
            Counter(tallies.copies),
            Counter(tallies.skipped),
            Counter(tallies.failed),
        )


async def _no_gauges() -> dict[str, int]:
    return {}


def _publish_tick(payload: dict[str, Any], newest: Sequence[int]) -> None:
    payload["paused"] = switches().global_pause
    payload["newest"] = [{**asdict(each), "at": each.at.isoformat()} for each in stories_of(newest)]
    publish("tick", payload)
