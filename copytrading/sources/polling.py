"""Asks the Data API what each leader did, evenly over time, and replays from each leader's cursor what was missed.

Why the activity and not the trades: it shows redemptions, merges, splits and conversions too, which the known
holdings need; it has twice the allowance and a shorter memory in front of it (polymarket.md 5.1); and it has both
roles of a trade without asking. `Replay.trades_only` reads the trades instead, should the activity fall behind.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import Counter as PrometheusCounter

from copytrading.operations.cursors import forget_unfollowed
from copytrading.pauses import sleep_or_stop
from copytrading.signals import DATA_API
from copytrading.sources.live import Ear
from copytrading.sources.looks import CUT, FAILED, STALE, WHOLE, LeaderPolls, Looks, PollingDoors, Replay
from copytrading.sources.polls import Agenda, PollPace

TICK_S = 0.25
"""Longest sleep while nobody is due: so soon is seen whom another source heard, and who is newly followed."""

STOP_WAIT_S = 2.0
"""A poll under way may finish so long after a stop; one that is cut off is read again from its cursor."""

POLLS_TOTAL = PrometheusCounter("slipstream_polls_total", "Looks at a leader through the Data API.", ["outcome"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingSettings:
    """How often, how many at once, and how far back."""

    normal: PollPace
    fast: PollPace
    replay: Replay = field(default_factory=Replay)
    concurrency: int = 8


class PollingSource:
    """The source `data-api`."""

    name = DATA_API

    def __init__(self, doors: PollingDoors, ear: Ear, settings: PollingSettings) -> None:
        self._doors, self._ear, self._settings = doors, ear, settings
        self._looks = Looks(doors, ear, settings.replay)
        self._agenda = Agenda(settings.normal)
        self._leaders: dict[str, LeaderPolls] = {}
        self._version: int | None = None
        self.outcomes: Counter[str] = Counter()
        for outcome in (WHOLE, STALE, CUT, FAILED):
            POLLS_TOTAL.labels(outcome)

    def pace(self, *, fast: bool) -> None:
        """Look more often, or as usual again: for the time in which the stream is unwell."""
        self._agenda.change_pace(self._settings.fast if fast else self._settings.normal, self._now_s())

    def heard(self, wallet: str) -> None:
        """Another source heard this leader: look soon."""
        self._agenda.heard(wallet, self._now_s())

    async def run(self, stop: asyncio.Event) -> None:
        """Poll whoever is due until stopped."""
        polls: set[asyncio.Task[None]] = set()
        try:
            while not stop.is_set():
                await self._follow()
                while len(polls) < self._settings.concurrency and (wallet := self._agenda.take(self._now_s())):
                    polls.add(asyncio.create_task(self._poll(wallet)))
                await self._wait(stop, polls)
                polls = _unfinished(polls)
        finally:
            await self._end(polls)

    async def run_once(self) -> int:
        """Poll everybody who is due now, one after the other; how many."""
        await self._follow()
        number = 0
        while (wallet := self._agenda.take(self._now_s())) is not None:
            await self._poll(wallet)
            number += 1
        return number

    async def _follow(self) -> None:
        leaders = self._ear.leaders
        if leaders.version == self._version:
            return
        self._version, wallets = leaders.version, leaders.wallets
        # Before anybody is polled: whoever is followed again must not find the cursor of the last time.
        await self._doors.database.run(forget_unfollowed, DATA_API)
        self._leaders = {wallet: self._leaders.get(wallet) or LeaderPolls(wallet) for wallet in wallets}
        self._agenda.follow(list(wallets), self._now_s())

    async def _poll(self, wallet: str) -> None:
        leader, since = self._leaders.get(wallet), self._ear.leaders.wallets.get(wallet)
        try:
            if leader is not None and since is not None:
                outcome = await self._looks.look(leader, since_s=int(since.timestamp()))
                self.outcomes[outcome] += 1
                POLLS_TOTAL.labels(outcome).inc()
        finally:
            self._agenda.done(wallet, self._now_s(), jitter=self._ear.randomness.fraction())

    async def _wait(self, stop: asyncio.Event, polls: set[asyncio.Task[None]]) -> None:
        """Until somebody is due; with all hands full until one is free."""
        wait_s = self._agenda.wait_s(self._now_s(), longest_s=TICK_S)
        if len(polls) < self._settings.concurrency:
            await sleep_or_stop(self._ear.clock, stop, wait_s)
            return
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({asked, *polls}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()

    async def _end(self, polls: set[asyncio.Task[None]]) -> None:
        if not polls:
            return
        patience = asyncio.create_task(self._ear.clock.sleep(STOP_WAIT_S))
        try:
            unfinished = polls
            while unfinished and not patience.done():
                waited = {patience, *unfinished}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                unfinished = {poll for poll in unfinished if not poll.done()}
        finally:
            for each in (patience, *polls):
                each.cancel()
            await asyncio.gather(patience, *polls, return_exceptions=True)

    def _now_s(self) -> float:
        return self._ear.clock.monotonic_ms() / 1_000


def _unfinished(polls: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Those still under way; raises what another one raised."""
    for poll in polls:
        if poll.done():
            poll.result()
    return {poll for poll in polls if not poll.done()}
