"""Watches how much a shard has still to decide, and has the engine put work off while it is too much."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from copytrading.metrics import SHEDDING_LEVEL
from copytrading.operations.incidents import record_incidents
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard, backlog
from copytrading.shedding import Level, Load, ShedBounds, Window, next_load
from guardrails.intents import Reason, Refusal, Unit
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 1.0
"""The length of a window: the settings count healthy ones as seconds."""

log = structlog.get_logger(__name__)


class FanOut(Protocol):
    """What bounds a leader's copies in one batch: the pipeline."""

    def limit_fan_out(self, copies: int | None) -> None:
        """So many from now on; None is the usual bound."""
        ...


class OldEntries(Protocol):
    """What offers and takes signals: the queue."""

    @property
    def entries_since(self) -> datetime | None:
        """Entries before it are put off."""
        ...

    def refuse_oldest(self, older_than: timedelta | None) -> None:
        """Put entries of this age off; None takes them again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ShedSettings:
    """The bounds, and what shedding means in numbers."""

    bounds: ShedBounds
    fan_out: int
    entry_age: timedelta


class Shedder:
    """A service that sheds load in steps and takes them back."""

    name = "shedder"

    def __init__(
        self, database: Database, clock: Clock, *, shard: Shard, settings: ShedSettings, queue: OldEntries
    ) -> None:
        self._database, self._clock, self._shard = database, clock, shard
        self._settings, self._queue = settings, queue
        self.load = Load()
        self.fan_outs: Sequence[FanOut] = ()
        self.mempool: Callable[[bool], None] = lambda _on: None
        """Told False when the mempool is to be left alone and True when it may be heard again."""
        SHEDDING_LEVEL.set(0)

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until stopped."""
        while not stop.is_set():
            await self.run_once()
            await sleep_or_stop(self._clock, stop, EVERY_S)

    async def run_once(self) -> None:
        """Look now, and take a step if it is time."""
        window, before = await self._window(), self.load.level
        self.load = next_load(self.load, window, self._settings.bounds)
        if self.load.level is not before:
            self._apply(before)
            await self._tell(window, before)

    async def _window(self) -> Window:
        now = self._clock.now()
        found = await self._database.run(
            backlog, before=now, shard=self._shard, entries_since=self._queue.entries_since
        )
        lag = timedelta(0) if found.p95_since is None else now - found.p95_since
        return Window(depth=found.depth, lag_ms=lag // timedelta(milliseconds=1))

    def _apply(self, before: Level) -> None:
        level, settings = self.load.level, self._settings
        for each in self.fan_outs:
            each.limit_fan_out(settings.fan_out if level >= Level.LESS_FAN_OUT else None)
        if (level >= Level.NO_MEMPOOL) != (before >= Level.NO_MEMPOOL):
            self.mempool(level < Level.NO_MEMPOOL)
        self._queue.refuse_oldest(settings.entry_age if level >= Level.NO_OLD_ENTRIES else None)
        SHEDDING_LEVEL.set(level)

    async def _tell(self, window: Window, before: Level) -> None:
        level = self.load.level
        log.warning(
            "The load is shed." if level > before else "Less of the load is shed.",
            action="shed",
            level=level.name,
            depth=window.depth,
            lag_ms=window.lag_ms,
            shard=str(self._shard),
        )
        if level and before:
            return
        reason, bounds = (Reason.LOAD_SHED if level else Reason.LOAD_NORMAL), self._settings.bounds
        deep = bool(bounds.depth_max) and window.depth > bounds.depth_max
        seen = (window.depth, bounds.depth_max, Unit.COUNT) if deep or not level else _seconds(window, bounds)
        subject = f"load of shard {self._shard}"
        await self._database.run(record_incidents, [Refusal(reason, *seen)], subject=subject, now=self._clock.now())


def _seconds(window: Window, bounds: ShedBounds) -> tuple[int, int, Unit]:
    return window.lag_ms // 1_000, bounds.lag_ms_max // 1_000, Unit.SECONDS
