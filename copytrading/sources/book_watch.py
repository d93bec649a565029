"""Holds the books of the market channel against fetched ones, and sees to it that what is asked for is heard."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import structlog

from copytrading.pauses import sleep_or_stop
from execution.metrics import BOOK_COMPARISONS_TOTAL
from execution.quotes.live import LiveBooks
from ledger.clock import Clock

LOOK_S = 1.0

WANTED_S = 600
"""A token that nobody asked for within this is not looked after."""

AT_ONCE_MAX = 5
"""Comparisons of one look: with a second of settling, so many a second, of 150 that the venue allows."""

SETTLE_S = 1.0
"""The channel tells of a change about 0.2 s after it; so much longer the levels are noted."""

SNAPSHOT_S = 5.0
"""A subscription is answered within 0.2 s by the whole book; without it for so long it is made anew, and once more so
long after that its connection is given up."""

AGAIN_S = 30.0
"""Between two such tries for one token."""

log = structlog.get_logger(__name__)


class Channel(Protocol):
    """What is subscribed on the market channel."""

    def again(self, tokens: Collection[int]) -> None:
        """Subscribe anew to these."""
        ...

    def renew(self, token_id: int) -> None:
        """Give up the connection of this token for a new one."""
        ...

    def hears(self, token_id: int) -> bool:
        """Whether this token is subscribed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BookWatchDoors:
    """What is looked after, and who subscribes; the truth is fetched through the books, which ask for each once."""

    books: LiveBooks
    channel: Channel
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class _Missing:
    """A subscribed token without a book: when something is done about it, and whether it was subscribed anew."""

    due_ms: float
    asked_again: bool = False


class BookWatch:
    """Compares each book that is in use every `compare_s` seconds; one that is wrong is dropped and subscribed anew."""

    name = "book watch"

    def __init__(self, doors: BookWatchDoors, *, compare_s: float) -> None:
        self._books, self._channel, self._clock = doors.books, doors.channel, doors.clock
        self._compare_ms = compare_s * 1_000
        self._compared_ms: dict[int, float] = {}
        self._missing: dict[int, _Missing] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until stopped."""
        while not stop.is_set():
            await self.run_once()
            await sleep_or_stop(self._clock, stop, LOOK_S)

    async def run_once(self) -> None:
        """Let old books go, ask anew for what is missing, compare what is due."""
        self._books.forget_old()
        self._books.streamed.forget_old()
        now_ms = self._clock.monotonic_ms()
        asked_for = self._books.wanted_since(now_ms - WANTED_S * 1_000)
        wanted = frozenset(token for token in asked_for if self._channel.hears(token))
        self._compared_ms = {token: at for token, at in self._compared_ms.items() if token in wanted}
        self._missing = {token: each for token, each in self._missing.items() if token in wanted}
        await self._look_for_missing(wanted, now_ms)
        await self._compare_due(wanted, now_ms)

    async def _look_for_missing(self, wanted: Collection[int], now_ms: float) -> None:
        for token in wanted:
            if token in self._books.streamed.tokens:
                self._missing.pop(token, None)
                continue
            missing = self._missing.setdefault(token, _Missing(due_ms=now_ms + SNAPSHOT_S * 1_000))
            if now_ms < missing.due_ms:
                continue
            if missing.asked_again:
                await self._give_up_connection_of(token)
                self._missing[token] = _Missing(due_ms=now_ms + AGAIN_S * 1_000)
            else:
                self._channel.again([token])
                self._missing[token] = _Missing(due_ms=now_ms + SNAPSHOT_S * 1_000, asked_again=True)

    async def _give_up_connection_of(self, token: int) -> None:
        """Where the venue has a book and its channel does not tell it."""
        found = None if self._books.paused else await self._books.anew(token)
        if found is not None:
            log.warning("The market channel is open and tells nothing.", action="compare", token=str(token))
            self._channel.renew(token)

    async def _compare_due(self, wanted: Collection[int], now_ms: float) -> None:
        streamed = self._books.streamed.tokens
        looked_after = [token for token in wanted if token in streamed]
        # A book that was just told whole is right: the first comparison comes a round later.
        due = [
            token for token in looked_after if now_ms - self._compared_ms.setdefault(token, now_ms) >= self._compare_ms
        ]
        due.sort(key=self._compared_ms.__getitem__)
        if due and not self._books.paused:
            await asyncio.gather(*(self.compare(token) for token in due[:AT_ONCE_MAX]))

    async def compare(self, token: int) -> bool:
        """Hold one book against the venue's; False when it was another one and is gone."""
        streamed = self._books.streamed
        self._compared_ms[token] = self._clock.monotonic_ms()
        heard_ms, watched = streamed.stamp_ms(token), streamed.watch(token)
        if watched is None:
            return True
        # An answer to an earlier request may be older than what is noted from here on.
        found = await self._books.anew(token)
        if found is None or found.is_stale(heard_ms):
            BOOK_COMPARISONS_TOTAL.labels("nothing" if found is None else "stale").inc()
            return streamed.compare(watched, None)
        await self._clock.sleep(SETTLE_S)
        same = streamed.compare(watched, found.book)
        BOOK_COMPARISONS_TOTAL.labels("same" if same else "different").inc()
        if not same:
            self._channel.again([token])
        return same
