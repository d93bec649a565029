"""One socket's manners, on time that stands and a scripted database."""

import asyncio

import pytest

from copytrading.dashboard import consumers, feed
from copytrading.dashboard.consumers import Close, SocketDoors
from tests.dashboard.scripted import ScriptedDatabase, StandingClock, clock, database, doors, open_page, settle

__all__ = ["clock", "database", "doors"]


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


@pytest.mark.parametrize(("sockets", "seconds"), [(1, 0.5), (5, 0.5), (100, 10.0)])
async def test_a_hundred_pages_cost_what_five_do(doors: SocketDoors, sockets: int, seconds: float) -> None:
    doors.feed._listeners.update(asyncio.Event() for _ in range(sockets))
    assert doors.feed.pace_seconds() == seconds


async def test_full_house_refuses_further_sockets(doors: SocketDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SOCKETS_MAX", 0)
    async with open_page(doors) as page:
        assert [sent["type"] for sent in page.sent] == ["websocket.close"]
