"""Stand-ins around the feed and the socket: time that stands, a scripted database, the other end of a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from copytrading.dashboard.consumers import DashboardConsumer, SocketDoors
from copytrading.dashboard.feed import Feed
from copytrading.dashboard.queries import EVENTS_MAX, Event, Fresh, fresh, session_may_look
from copytrading.dashboard.status import Status, status
from copytrading.explain.stories import Story
from ledger.system import SeededRandomness
from tests.dashboard.events import payload
from tests.doors import BEGINNING, VirtualClock

TURNS = 30
"""Turns of the event loop after which everybody sleeps or waits."""


class StandingClock(VirtualClock):
    """Time moves only by `pass_time`, which wakes the sleepers in the order of their deadlines."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has passed that much time."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.monotonic_ms() / 1_000 + seconds, woken))
        await woken

    async def pass_time(self, seconds: float) -> None:
        """Let everything happen that happens in this time."""
        await settle()
        until = self.monotonic_ms() / 1_000 + seconds
        while due := sorted((at for at, woken in self._sleepers if at <= until and not woken.done())):
            self.advance(max(0.0, due[0] - self.monotonic_ms() / 1_000))
            for at, woken in list(self._sleepers):
                if at <= due[0] and not woken.done():
                    woken.set_result(None)
            self._sleepers = [(at, woken) for at, woken in self._sleepers if not woken.done()]
            await settle()
        self.advance(max(0.0, until - self.monotonic_ms() / 1_000))


NOBODY = Status(
    now=BEGINNING,
    paused=False,
    switches=(),
    breakers=(),
    waiting=(),
    shards=(),
    has_leaders=True,
    has_configs=True,
)


class ScriptedDatabase:
    """Answers the questions of the feed and the socket from its fields, and counts them."""

    def __init__(self) -> None:
        self.sequence, self.staff = 0, True
        self.polls = self.checks = self.statuses = 0
        self.broken = False
        self.stories: tuple[Story, ...] = ()
        self.watched: tuple[int, ...] = ()

    async def run(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.checks += work is session_may_look
        self.polls += work is fresh
        self.statuses += work is status
        if self.broken:
            raise OperationalError("no route to the database")
        return {session_may_look: lambda: self.staff, fresh: lambda: self.news(*args), status: lambda: NOBODY}[work]()

    def news(self, known: int | None, watched: tuple[int, ...]) -> Fresh:
        """What came after the sequence that the feed knows, as `queries.fresh` tells it."""
        anew = known is None or not 0 <= self.sequence - known <= EVENTS_MAX
        first = max(0, self.sequence - EVENTS_MAX) if anew or known is None else known
        ticks = [
            Event(sequence=number, kind="tick", created_at=BEGINNING + timedelta(seconds=number), payload=payload())
            for number in range(first + 1, self.sequence + 1)
        ]
        self.watched = watched
        return Fresh(last=self.sequence, anew=anew, events=tuple(ticks), newest=self.stories)


class Page:
    """The other end of a socket."""

    def __init__(self, doors: SocketDoors) -> None:
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        scope = {"type": "websocket", "headers": [(b"cookie", b"sessionid=abc")]}
        self._task = asyncio.create_task(DashboardConsumer(doors)(scope, self._inbox.get, self._take))
        self.say("websocket.connect")

    def say(self, kind: str, **fields: Any) -> None:
        self._inbox.put_nowait({"type": kind, **fields})

    def text(self, content: object) -> None:
        self.say("websocket.receive", text=content if isinstance(content, str) else json.dumps(content))

    def acknowledge(self, sequence: int) -> None:
        self.text({"type": "ack", "sequence": sequence})

    @property
    def hints(self) -> list[int]:
        return [json.loads(sent["text"])["sequence"] for sent in self.sent if sent["type"] == "websocket.send"]

    @property
    def closed(self) -> list[int | None]:
        return [sent.get("code") for sent in self.sent if sent["type"] == "websocket.close"]

    async def leave(self) -> None:
        self.say("websocket.disconnect", code=1001)
        await asyncio.wait_for(self._task, 5)

    async def _take(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


@asynccontextmanager
async def open_page(doors: SocketDoors) -> AsyncIterator[Page]:
    page = Page(doors)
    await settle()
    try:
        yield page
    finally:
        await page.leave()


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def database() -> ScriptedDatabase:
    return ScriptedDatabase()


@pytest.fixture
def doors(database: ScriptedDatabase, clock: StandingClock) -> SocketDoors:
    return SocketDoors(feed=Feed(database, clock, SeededRandomness(1)), database=database, clock=clock)
