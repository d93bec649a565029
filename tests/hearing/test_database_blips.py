"""The database goes away under an engine that listens: it ends, is started again, and nothing is lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
import pytest
from django.db import connection

from tests.hearing.listener import CHAIN, POLLS, SOCKET
from tests.hearing.stage import Stage, stage
from tests.sandbox.chain_stage import needs_chain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

SOURCES = [(SOCKET, POLLS), pytest.param((CHAIN,), marks=needs_chain)]
CUTS = 6


def end_sessions(pids: list[int]) -> None:
    """Whatever they were doing; what was not committed is undone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", [pids])


@contextmanager
def nobody_let_in(postgres_url: str) -> Iterator[None]:
    """The database takes no new connections, as one that restarts; those that stand are left alone."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    with psycopg.connect(f"{postgres_url.rpartition('/')[0]}/postgres", autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        try:
            yield
        finally:
            other.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


def sessions() -> set[int]:
    """Everybody's but this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in cursor.fetchall()}


@asynccontextmanager
async def stage_with_sessions(*sources: str) -> AsyncIterator[tuple[Stage, set[int]]]:
    """A stage, and the sessions that are not its engines'."""
    async with stage(*sources, begins=False) as s:
        spared = await s.ask(sessions)
        await s.listen()
        yield s, spared


async def cut(s: Stage, spared: set[int]) -> None:
    """Every session of the engine ends, in the middle of whatever it does."""
    its_own = sorted(await s.ask(sessions) - spared)
    assert its_own, "it has none"
    await s.ask(end_sessions, its_own)


@pytest.mark.parametrize("sources", SOURCES, ids="+".join)
async def test_an_engine_whose_database_was_away_ends_and_the_next_one_loses_nothing(
    sources: tuple[str, ...], postgres_url: str
) -> None:
    async with stage_with_sessions(*sources) as (s, spared):
        await s.play()
        with nobody_let_in(postgres_url):
            await cut(s, spared)
            await s.play()
            assert await s.listener.ends_without_database()
        await s.listener.kill()
        await s.play()
        await s.listen()
        await s.play()
        await s.ends_with_the_truth()


@pytest.mark.parametrize("sources", SOURCES, ids="+".join)
async def test_connections_that_drop_in_the_middle_lose_and_double_nothing(sources: tuple[str, ...]) -> None:
    async with stage_with_sessions(*sources) as (s, spared):
        for _ in range(CUTS):
            playing = asyncio.create_task(s.play(24))
            await cut(s, spared)
            await playing
            # What was amid a transaction ends the process, which its supervisor starts again; the rest reconnects.
            if await s.listener.ends_without_database(within_s=0.2):
                await s.listener.kill()
                await s.listen()
        await s.play()
        await s.ends_with_the_truth()
