"""One poller for all sockets, and one socket's manners, on time that stands and a scripted database."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import OperationalError

from copytrading.dashboard import consumers, feed
from copytrading.dashboard.consumers import Close, DashboardConsumer, SocketDoors
from copytrading.dashboard.feed import Feed
from copytrading.dashboard.queries import is_staff_session
from ledger.system import SeededRandomness
from tests.doors import VirtualClock

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


class ScriptedDatabase:
    """Answers the two questions of the socket from its fields, and counts them."""

    def __init__(self) -> None:
        self.sequence, self.staff = 0, True
        self.polls = self.checks = 0
        self.broken = False

    async def run(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if work is is_staff_session:
            self.checks += 1
        else:
            self.polls += 1
        if self.broken:
            raise OperationalError("no route to the database")
        return self.staff if work is is_staff_session else self.sequence


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


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def database() -> ScriptedDatabase:
    return ScriptedDatabase()


@pytest.fixture
def doors(database: ScriptedDatabase, clock: StandingClock) -> SocketDoors:
    return SocketDoors(feed=Feed(database, clock, SeededRandomness(1)), database=database, clock=clock)


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@asynccontextmanager
async def open_page(doors: SocketDoors) -> AsyncIterator[Page]:
    page = Page(doors)
    await settle()
    try:
        yield page
    finally:
        await page.leave()


async def test_page_hears_of_the_newest_sequence(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    database.sequence = 7
    async with open_page(doors) as page:
        await clock.pass_time(1)
        assert page.sent[0]["type"] == "websocket.accept"
        assert page.hints == [7]


async def test_slow_reader_gets_one_hint_and_later_only_the_newest(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    async with open_page(doors) as page:
        for database.sequence in range(1, 21):
            await clock.pass_time(1)
        assert page.hints == [1]
        page.acknowledge(1)
        await clock.pass_time(1)
        assert page.hints == [1, 20]


async def test_page_gets_two_hints_a_second_at_the_most(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    async with open_page(doors) as page:
        for database.sequence in range(1, 101):
            heard = len(page.hints)
            await clock.pass_time(0.1)
            if len(page.hints) > heard:
                page.acknowledge(page.hints[-1])
        assert 15 <= len(page.hints) <= 21


async def test_page_that_never_acknowledges_is_closed(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    async with open_page(doors) as page:
        for database.sequence in range(1, consumers.ACK_SECONDS_MAX):
            await clock.pass_time(1)
        assert page.closed == []
        for _ in range(3):
            database.sequence += 1
            await clock.pass_time(1)
        assert page.closed == [Close.NOT_ACKNOWLEDGED]


async def test_revoked_session_is_closed_within_a_minute_of_silence(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    async with open_page(doors) as page:
        await clock.pass_time(1)
        page.acknowledge(0)
        await clock.pass_time(1)
        database.staff = False
        await clock.pass_time(consumers.RECHECK_SECONDS + 1)
        assert page.closed == [Close.NOT_ALLOWED]


async def test_message_of_a_revoked_session_is_answered_by_a_close(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    async with open_page(doors) as page:
        await clock.pass_time(1)
        database.staff = False
        page.acknowledge(0)
        await clock.pass_time(1)
        assert page.closed == [Close.NOT_ALLOWED]


async def test_handshake_without_a_staff_session_is_refused(doors: SocketDoors, database: ScriptedDatabase) -> None:
    database.staff = False
    async with open_page(doors) as page:
        assert [sent["type"] for sent in page.sent] == ["websocket.close"]


async def test_socket_fails_closed_when_the_database_is_gone(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    async with open_page(doors) as page:
        await clock.pass_time(1)
        page.acknowledge(0)
        database.broken = True
        await clock.pass_time(1)
        assert page.closed == [Close.TROUBLE]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", Close.NOT_UNDERSTOOD),
        ("ack", Close.NOT_UNDERSTOOD),
        ("[" * 30_000, Close.NOT_UNDERSTOOD),
        ('{"type": "subscribe"}', Close.NOT_UNDERSTOOD),
        ('{"type": "ack", "sequence": 99}', Close.NOT_UNDERSTOOD),
        ('{"type": "ack", "sequence": 0, "extra": 1}', Close.NOT_UNDERSTOOD),
        ("x" * (64 * 1024 + 1), Close.TOO_LARGE),
        ("é" * (32 * 1024 + 1), Close.TOO_LARGE),
    ],
    ids=["empty", "no json", "deep", "unknown", "never sent", "extra", "large", "large in bytes"],
)
async def test_message_that_is_no_acknowledgement_ends_the_socket(
    doors: SocketDoors, clock: StandingClock, text: str, code: Close
) -> None:
    async with open_page(doors) as page:
        await clock.pass_time(1)
        page.text(text)
        page.acknowledge(0)
        await settle()
        assert page.closed == [code]


async def test_flood_of_messages_ends_the_socket(doors: SocketDoors, clock: StandingClock) -> None:
    async with open_page(doors) as page:
        await clock.pass_time(1)
        for _ in range(consumers.MESSAGES_PER_SECOND_MAX):
            page.acknowledge(0)
        await settle()
        assert page.closed == []
        page.acknowledge(0)
        await settle()
        assert page.closed == [Close.TOO_MANY]


async def test_page_that_leaves_leaves_nothing_running(doors: SocketDoors, clock: StandingClock) -> None:
    async with open_page(doors):
        await clock.pass_time(1)
    await settle()
    assert [task.get_name() for task in asyncio.all_tasks() if "dashboard" in task.get_name()] == []


async def test_listeners_share_one_poller_that_ends_with_the_last(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    with doors.feed.listening(asyncio.Event()), doors.feed.listening(asyncio.Event()):
        await clock.pass_time(10)
        assert 40 <= database.polls <= 42
    polls = database.polls
    await clock.pass_time(10)
    assert database.polls == polls
    assert doors.feed.sequence is None


async def test_poller_survives_a_dead_database(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    wake = asyncio.Event()
    database.broken = True
    with doors.feed.listening(wake):
        await clock.pass_time(10)
        assert doors.feed.sequence is None
        database.broken, database.sequence = False, 5
        await clock.pass_time(feed.POLL_RETRY_SECONDS_MAX)
        assert (wake.is_set(), doors.feed.sequence) == (True, 5)


async def test_poller_backs_off_up_to_a_bound(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    database.broken = True
    with doors.feed.listening(asyncio.Event()):
        await clock.pass_time(60)
        before = database.polls
        await clock.pass_time(100)
    assert 100 / feed.POLL_RETRY_SECONDS_MAX <= database.polls - before <= 1 + 200 / feed.POLL_RETRY_SECONDS_MAX


async def test_sequence_that_falls_is_news_too(doors: SocketDoors, database: ScriptedDatabase) -> None:
    database.sequence = 9
    await doors.feed.poll_once()
    database.sequence = 2
    await doors.feed.poll_once()
    assert doors.feed.sequence == 2


@pytest.mark.parametrize(("sockets", "seconds"), [(1, 0.5), (10, 0.5), (100, 5.0)])
async def test_a_hundred_pages_cost_what_ten_do(doors: SocketDoors, sockets: int, seconds: float) -> None:
    doors.feed._listeners.update(asyncio.Event() for _ in range(sockets))
    assert doors.feed.pace_seconds() == seconds


async def test_full_house_refuses_further_sockets(doors: SocketDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SOCKETS_MAX", 0)
    async with open_page(doors) as page:
        assert [sent["type"] for sent in page.sent] == ["websocket.close"]
