"""One poller for all pages of this process: it reads what is new once, keeps it, and wakes those who wait for it.

Pages are answered from what is kept, so that the database works for one page however many are open.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog

from copytrading import states
from copytrading.dashboard.history import History
from copytrading.dashboard.queries import EVENTS_MAX, STORIES_MAX, Event, EventsPage, Fresh, State, fresh
from copytrading.dashboard.status import Status, status
from copytrading.explain.stories import Story
from ledger.clock import Clock, Randomness
from ledger.db import Database

POLL_SECONDS = 0.25
POLL_RETRY_SECONDS_MAX = 5.0
"""Between questions to a database that does not answer; pages poll over HTTP meanwhile."""

STATUS_SECONDS = 1.0
"""Between reads of leases, switches and breakers."""

FRESH_SECONDS_MAX = 2.0
"""What is kept answers pages only while the last good poll is this young; else the database is asked."""

PACE_SECONDS_MIN = 0.5
"""Between two hints to one socket: a page that moves twice a second looks alive."""

HINTS_PER_SECOND_MAX = 10
"""To all sockets together. Each hint makes a page fetch, so a hundred pages cost what five do, and move more slowly."""

SOCKETS_MAX = 500

FINAL = frozenset({states.Status.SKIPPED, states.Status.EXECUTED, states.Status.FAILED})
"""Copies in other states are read again with each news: an event names only a few of those that moved."""

log = structlog.get_logger(__name__)


class Feed:
    """The newest sequence and what led to it, known while somebody listens."""

    def __init__(self, database: Database, clock: Clock, randomness: Randomness) -> None:
        self._database, self._clock, self._randomness = database, clock, randomness
        self._listeners: set[asyncio.Event] = set()
        self._poller: asyncio.Task[None] | None = None
        self._failures = 0
        self._forget()

    def _forget(self) -> None:
        self.sequence: int | None = None
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._stories: dict[int, tuple[int, Story]] = {}  # with the sequence at which it last changed
        self._history = History()
        self._status: Status | None = None
        self._status_ms = self._polled_ms = -1e12

    @contextmanager
    def listening(self, wake: asyncio.Event) -> Iterator[None]:
        """Set `wake` at each change of the sequence; the first listener starts the poller, the last one ends it."""
        self._listeners.add(wake)
        if self._poller is None:
            self._poller = asyncio.get_running_loop().create_task(self._poll(), name="dashboard poller")
        try:
            yield
        finally:
            self._listeners.discard(wake)
            if not self._listeners:
                self._poller.cancel()
                self._poller = None
                self._forget()

    def full(self) -> bool:
        """True when no further socket may listen."""
        return len(self._listeners) >= SOCKETS_MAX

    def pace_seconds(self) -> float:
        """The least time between two hints to one socket, longer the more sockets share the bound on all."""
        return max(PACE_SECONDS_MIN, len(self._listeners) / HINTS_PER_SECOND_MAX)

    def state(self) -> State | None:
        """What a page begins with, from memory; None when what is kept is not fresh."""
        found = self._fresh_status()
        if found is None or self.sequence is None:
            return None
        return State(
            last=self.sequence,
            status=found,
            newest=self._newest(),
            history=self._history.ticks(),
            shards=self._history.newest(),
            now=self._now(found),
        )

    def events_after(self, sequence: int) -> EventsPage | None:
        """What a page has not heard, from memory; None when what is kept is not fresh or does not reach back."""
        found = self._fresh_status()
        if found is None or self.sequence is None:
            return None
        behind = not 0 <= self.sequence - sequence <= EVENTS_MAX
        events = () if behind else tuple(each for each in self._events if each.sequence > sequence)
        if not behind and len(events) != self.sequence - sequence:
            return None  # kept events do not reach back so far: the poller has only just begun
        return EventsPage(
            last=self.sequence,
            behind=behind,
            events=events,
            newest=() if behind else self._newest(sequence),
            status=found,
            now=self._now(found),
        )

    async def poll_once(self) -> None:
        """Read what is new; wake everybody if the sequence moved, also backwards (a restored database)."""
        open_ones = tuple(number for number, (_at, story) in self._stories.items() if story.status not in FINAL)
        found = await self._database.run(fresh, self.sequence, open_ones)
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._status_ms >= STATUS_SECONDS * 1_000:
            self._status = await self._database.run(status)
            self._status_ms = now_ms
        self._polled_ms = now_ms
        if found.last != self.sequence:
            self._keep(found)
            for wake in self._listeners:
                wake.set()

    def _keep(self, found: Fresh) -> None:
        if found.anew:
            self._events.clear()
            self._stories.clear()
            self._history = History()
        self.sequence = found.last
        self._events.extend(found.events)
        for event in found.events:
            if event.kind == "tick":
                self._history.add(event.created_at, event.payload)
        for story in found.newest:
            if story.id not in self._stories or self._stories[story.id][1] != story:
                self._stories[story.id] = (found.last, story)
        for number in sorted(self._stories)[:-STORIES_MAX]:
            del self._stories[number]

    def _newest(self, after: int = -1) -> tuple[Story, ...]:
        """The stories that changed after a sequence, the newest copy first."""
        ordered = (self._stories[number] for number in sorted(self._stories, reverse=True))
        return tuple(story for at, story in ordered if at > after)

    def _now(self, read: Status) -> datetime:
        """The database's clock now: the moment of the reading and what has passed since."""
        return read.now + timedelta(milliseconds=self._clock.monotonic_ms() - self._status_ms)

    def _fresh_status(self) -> Status | None:
        young = self._clock.monotonic_ms() - self._polled_ms <= FRESH_SECONDS_MAX * 1_000
        return self._status if young else None

    async def _poll(self) -> None:
        while True:
            try:
                await self.poll_once()
                self._failures = 0
            except Exception:  # a service's border: hints stop, pages notice and poll, we try again
                self._failures += 1
                log.warning("The dashboard's poller failed.", action="poll", failures=self._failures, exc_info=True)
            await self._clock.sleep(self._delay_seconds())

    def _delay_seconds(self) -> float:
        if not self._failures:
            return POLL_SECONDS
        longest = min(POLL_RETRY_SECONDS_MAX, POLL_SECONDS * 2.0 ** min(self._failures, 10))
        return longest * (0.5 + self._randomness.fraction() / 2)
