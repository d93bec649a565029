"""Looks every second whether the activity stream is well, and lets polling go faster while it is not."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from django.db import OperationalError

from copytrading.hybrid import Health, HybridState, HybridTerms, Observation, Races, Trouble, after
from copytrading.metrics import STREAM_DEGRADED
from copytrading.operations.incidents import record_incidents
from copytrading.pauses import sleep_or_stop
from copytrading.signals import LeaderAction
from copytrading.sources.base import Reading, Sink
from copytrading.sources.leaders import LeaderSet
from copytrading.sources.stats import SourceStats
from guardrails.intents import Reason, Refusal, Unit
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 1.0

UNTOLD_MAX = 20
"""Changes that wait for the database; older ones are only in the log."""

log = structlog.get_logger(__name__)


class Paced(Protocol):
    """The poller, as far as the mode is concerned."""

    def pace(self, *, fast: bool) -> None:
        """From now on poll faster, or at the usual pace again."""
        ...


class Feed(Protocol):
    """The stream as a whole, whoever is followed."""

    def lag_ms(self, now_ms: float) -> float | None:
        """How old its rows were when they came, lately, at the 95th percentile; None when nothing came."""
        ...


class RacingSink:
    """A `Sink` before another one that notes which source showed a trade first; it goes behind the `LiveSink`."""

    def __init__(self, sink: Sink, clock: Clock, races: Races) -> None:
        self._sink, self._clock, self._races = sink, clock, races

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        """Note and pass on."""
        now, now_ms = self._clock.now(), self._clock.monotonic_ms()
        for reading in readings:
            if isinstance(reading, LeaderAction):
                self._races.heard(reading, now, now_ms)
        await self._sink.offer(walk, readings, complete=complete)

    async def end_walk(self, walk: str) -> None:
        """The walk is over."""
        await self._sink.end_walk(walk)

    async def withdraw(self, source: str, tx_hashes: Sequence[str]) -> None:
        """These transactions are not in the chain."""
        await self._sink.withdraw(source, tx_hashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is looked at: the stream and the counters of its labels, those of polls and chain logs, who was first."""

    leaders: LeaderSet
    feed: Feed
    socket: Sequence[SourceStats]
    others: Sequence[SourceStats]
    races: Races


class StreamWatch:
    """The health of the stream. Each change is logged, becomes an event, and sets the gauge and the poller's pace.

    Without a poller (WS_ONLY) it only tells.
    """

    name = "stream watch"

    def __init__(
        self, database: Database, clock: Clock, watched: Watched, *, terms: HybridTerms, poller: Paced | None = None
    ) -> None:
        self._database, self._clock, self._watched = database, clock, watched
        self._terms, self._poller = terms, poller
        self._untold: list[Refusal] = []
        self.state = HybridState(since_ms=clock.monotonic_ms())

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until stopped."""
        STREAM_DEGRADED.set(0)
        while not stop.is_set():
            await self.run_once()
            await sleep_or_stop(self._clock, stop, EVERY_S)

    async def run_once(self) -> None:
        """One look."""
        now_ms, before = self._clock.monotonic_ms(), self.state
        self.state = after(before, self._seen(now_ms), self._terms, now_ms)
        if (before.listening_ms is None) != (self.state.listening_ms is None):
            self._watched.races.begin(None if self.state.listening_ms is None else self._clock.now())
        if self.state.health is not before.health:
            self._tell(self.state)
        await self._save()

    def _seen(self, now_ms: float) -> Observation:
        compared, behind = self._watched.races.told(now_ms)
        return Observation(
            listening=bool(self._watched.leaders.wallets),
            fresh_ms=_newest(self._watched.socket, now_ms),
            others_fresh_ms=_newest(self._watched.others, now_ms),
            lag_ms=self._watched.feed.lag_ms(now_ms),
            compared=compared,
            behind=behind,
        )

    def _tell(self, state: HybridState) -> None:
        degraded = state.health is Health.DEGRADED
        STREAM_DEGRADED.set(degraded)
        if self._poller is not None:
            self._poller.pace(fast=degraded)
        refusal = _refusal(state)
        self._untold = [*self._untold, refusal][-UNTOLD_MAX:]
        if degraded:
            log.warning("The activity stream is not well: polling goes faster.", action="mode", why=refusal.subject)
        else:
            log.info("The activity stream is well again.", action="mode")

    async def _save(self) -> None:
        if not self._untold:
            return
        try:
            await self._database.run(
                record_incidents, list(self._untold), subject="activity stream", now=self._clock.now()
            )
        except OperationalError:
            log.warning("The database is away; a change of mode waits in memory.", action="mode")
        else:
            self._untold.clear()


_SUBJECTS = {
    Trouble.SILENT: "no fresh data",
    Trouble.LAGGING: "its data are old",
    Trouble.BEHIND: "others show trades first",
}


def _refusal(state: HybridState) -> Refusal:
    if state.trouble is None:
        return Refusal(Reason.STREAM_RECOVERED)
    subject = _SUBJECTS[state.trouble]
    if state.trouble is Trouble.BEHIND:
        return Refusal(Reason.STREAM_DEGRADED, state.value, state.limit, Unit.COUNT, subject)
    return Refusal(Reason.STREAM_DEGRADED, state.value // 1_000, state.limit // 1_000, Unit.SECONDS, subject)


def _newest(stats: Sequence[SourceStats], now_ms: float) -> float | None:
    ages = [age for each in stats if (age := each.fresh_ms(now_ms)) is not None]
    return min(ages, default=None)
