"""One poller for all pages, and what it keeps for them, on time that stands and a scripted database."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from copytrading.dashboard import feed
from copytrading.dashboard.consumers import SocketDoors
from copytrading.dashboard.queries import EVENTS_MAX
from copytrading.explain.stories import Story
from tests.dashboard.scripted import ScriptedDatabase, StandingClock, clock, database, doors, settle
from tests.doors import BEGINNING

__all__ = ["clock", "database", "doors"]

STORY = Story(
    id=1,
    at=BEGINNING,
    follower="Fay",
    leader="Lena",
    side="BUY",
    market="Will it rain?",
    outcome="Yes",
    size="100",
    limit="0.51",
    status="PENDING",
    fill_size="0",
    fill_price="0",
    fee="0",
    reasons=(),
    delay_ms=12,
)


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


async def test_pages_are_answered_from_memory(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    database.sequence = 7
    with doors.feed.listening(asyncio.Event()):
        await clock.pass_time(1)
        questions = database.polls + database.statuses
        answers = [doors.feed.events_after(4) for _page in range(100)]
        assert {tuple(event.sequence for event in answer.events) for answer in answers if answer} == {(5, 6, 7)}
        assert all(doors.feed.state() for _page in range(100))
        assert database.polls + database.statuses == questions


async def test_memory_begins_and_ends_with_the_listeners(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    assert doors.feed.state() is None
    with doors.feed.listening(asyncio.Event()):
        await clock.pass_time(1)
        assert doors.feed.state() is not None
    assert (doors.feed.state(), doors.feed.events_after(0)) == (None, None)


async def test_memory_that_is_old_answers_nobody(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    with doors.feed.listening(asyncio.Event()):
        await clock.pass_time(1)
        database.broken = True
        await clock.pass_time(feed.FRESH_SECONDS_MAX + 1)
        assert doors.feed.events_after(0) is None


async def test_page_further_back_than_the_memory_asks_the_database(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    database.sequence = EVENTS_MAX + 200
    with doors.feed.listening(asyncio.Event()):
        await clock.pass_time(1)
        answer = doors.feed.events_after(199)
        assert answer is not None
        assert (answer.behind, answer.events) == (True, ())


async def test_restored_database_replaces_the_memory(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    database.sequence = 50
    with doors.feed.listening(asyncio.Event()):
        await clock.pass_time(1)
        database.sequence = 20
        await clock.pass_time(1)
        ahead, level = doors.feed.events_after(50), doors.feed.events_after(19)
        assert ahead is not None
        assert ahead.behind
        assert level is not None
        assert [event.sequence for event in level.events] == [20]


async def test_now_is_the_databases_clock_and_moves_on_between_its_readings(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    with doors.feed.listening(asyncio.Event()):
        await settle()
        clock.advance(0.2)
        answer = doors.feed.events_after(0)
        assert answer is not None
        assert answer.now == BEGINNING + timedelta(milliseconds=200)


async def test_a_hundred_pages_ask_the_database_for_news_as_often_as_one(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    asked = []
    for pages in (1, 100):
        before = database.polls + database.statuses
        wakes = [doors.feed.listening(asyncio.Event()) for _page in range(pages)]
        for wake in wakes:
            wake.__enter__()
        await clock.pass_time(10)
        for wake in wakes:
            wake.__exit__(None, None, None)
        asked.append(database.polls + database.statuses - before)
    assert asked[0] == asked[1]


async def test_copy_that_moved_is_told_to_whoever_has_not_heard_of_it(
    doors: SocketDoors, database: ScriptedDatabase, clock: StandingClock
) -> None:
    pending, executed = (replace(STORY, status=status) for status in ("PENDING", "EXECUTED"))
    database.sequence, database.stories = 7, (pending,)
    with doors.feed.listening(asyncio.Event()):
        await clock.pass_time(1)
        assert database.watched == (STORY.id,)
        database.sequence, database.stories = 8, (executed,)
        await clock.pass_time(1)
        heard, deaf = doors.feed.events_after(7), doors.feed.events_after(8)
        assert heard is not None
        assert deaf is not None
        assert (heard.newest, deaf.newest) == ((executed,), ())
        await clock.pass_time(1)
        assert database.watched == ()
