"""The ten measured pitfalls of Django with asyncio, SQLite and Channels (reliability.md section 5).

Each has a test here, or a line that names the test or the reason:

 1 one thread for the async ORM, a hung query stops everything: here
 2 dead connections stay dead: here
 3 cancelling an await does not cancel the write: here
 4 transactions do not span awaits: here; a batch is written whole or not at all: tests/test_pipeline.py
 5 SQLite defers, waits and syncs too little by default: here; several shards: tests/commands/test_runsupervisor.py
 6 amounts and uint256 bend: tests/database/test_uint256.py, tests/ledger/test_units.py; no float: tests/test_tidy.py
 7 update(), bulk_*, admin and raw SQL skip save(): test_triggers.py and test_compare_and_set.py in tests/database
 8 channel layers lose messages: the outbox and its sequence, test_feed.py and test_socket.py in tests/dashboard
 9 long-lived processes: here; DEBUG in production: tests/test_checks.py; what is left open or never awaited fails
   any test, because warnings are errors (pyproject.toml)
10 time and settings: here; changed configs: tests/admin/test_people.py; the database's clock in leases:
   tests/database/test_leases.py; naive times and the system's clock are refused by ruff (DTZ, TID251)
"""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Barrier, Event, get_ident
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, connections, transaction

from copytrading.models import CopyConfig, CopyConfigVersion, ShardLease
from copytrading.operations.cast import seed_configs
from copytrading.supervisor import Supervisor
from guardrails.models import Switch
from ledger.db import BoundedDatabase, ThreadedDatabase
from tests.conftest import ROOT
from tests.factories import FollowerFactory, LeaderFactory
from tests.test_pipeline import worlds

on_database = pytest.mark.django_db(transaction=True)
THREADS = 3
WAIT_S = 20


@pytest.fixture
def database() -> Iterator[ThreadedDatabase]:
    """The door to the database with three threads, closed at the end."""
    door = ThreadedDatabase(THREADS)
    yield door
    door.close()


def at_once(database: ThreadedDatabase, *works: Callable[[], Any]) -> list[Any]:
    """What each piece of work answers; all are asked for at the same moment."""

    async def ask() -> list[Any]:
        return await asyncio.gather(*(database.run(work) for work in works), return_exceptions=True)

    return asyncio.run(ask())


def query(sql: str, *parameters: object) -> Any:
    """The first value of the answer."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def write(key: str) -> None:
    Switch.objects.create(scope="LEADER", key=key)


def written() -> set[str]:
    return set(Switch.objects.values_list("key", flat=True))


# --- 1: one thread ------------------------------------------------------------------------------------


def test_units_of_work_run_side_by_side_on_threads_of_their_own(database: ThreadedDatabase) -> None:
    together = Barrier(THREADS)

    def meet() -> int:
        together.wait(WAIT_S)
        return get_ident()

    assert len({*at_once(database, *[meet] * THREADS), get_ident()}) == THREADS + 1


def test_a_hung_unit_does_not_hold_up_the_pause_button(database: ThreadedDatabase) -> None:
    release = Event()

    async def press_while_another_hangs() -> str:
        hung = asyncio.create_task(database.run(release.wait, WAIT_S))
        answer = await asyncio.wait_for(database.run(lambda: "paused"), WAIT_S)
        assert not hung.done()
        release.set()
        await hung
        return answer

    assert asyncio.run(press_while_another_hangs()) == "paused"


@on_database
@pytest.mark.postgres
def test_the_database_itself_ends_what_hangs(database: ThreadedDatabase) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    answers = at_once(database, *(partial(query, f"SHOW {name}") for name in names))
    # A frozen engine loses its row locks soon; an operator's shell has more time.
    assert answers == ["30s", "10s", "5s"]


ASYNC_ORM = re.compile(
    r"\.a(get|create|update|save|delete|count|exists|first|last|iterator|aggregate|bulk_create|bulk_update|in_bulk|contains"
    r"|get_or_create|update_or_create|refresh_from_db)\("
)


def test_nobody_uses_the_async_orm() -> None:
    folders = ("config", "copytrading", "execution", "guardrails", "ledger")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    assert [path.name for path in files if ASYNC_ORM.search(path.read_text(encoding="utf-8"))] == []
    assert ASYNC_ORM.search("await Signal.objects.aget(pk=1)")


# --- 2: dead connections ------------------------------------------------------------------------------


@on_database
@pytest.mark.postgres
def test_a_killed_connection_heals_with_the_next_unit_of_work() -> None:
    door = ThreadedDatabase(1)
    (killed,) = at_once(door, lambda: query("SELECT pg_backend_pid()"))
    assert query("SELECT pg_terminate_backend(%s, 5000)", killed) is True
    (healed,) = at_once(door, lambda: query("SELECT pg_backend_pid()"))
    assert isinstance(healed, int) and healed != killed
    door.close()


@on_database
def test_closing_gives_the_connection_of_every_thread_back() -> None:
    database = ThreadedDatabase(THREADS)
    together = Barrier(THREADS)

    def connect() -> Any:
        together.wait(WAIT_S)
        query("SELECT 1")
        return connections["default"]

    opened = at_once(database, *[connect] * THREADS)
    assert len({id(each) for each in opened}) == THREADS
    database.close()
    assert [each.connection for each in opened] == [None] * THREADS


# --- 3: cancelled callers -----------------------------------------------------------------------------


@on_database
@pytest.mark.parametrize("how", ["cancelled", "out of time"])
def test_a_caller_that_gives_up_does_not_stop_the_write(how: str) -> None:
    database = ThreadedDatabase(THREADS)
    begun, release = Event(), Event()

    def slowly() -> None:
        begun.set()
        release.wait(WAIT_S)
        write("late")

    async def give_up() -> None:
        waiting = asyncio.create_task(database.run(slowly))
        await asyncio.to_thread(begun.wait, WAIT_S)
        if how == "cancelled":
            waiting.cancel()
            await waiting
        await asyncio.wait_for(waiting, 0)

    with pytest.raises(asyncio.CancelledError if how == "cancelled" else TimeoutError):
        asyncio.run(give_up())
    assert written() == set()
    release.set()
    database.close()
    assert written() == {"late"}


# --- 4: transactions and awaits -----------------------------------------------------------------------


@on_database
def test_a_unit_that_fails_rolls_itself_back_and_nothing_else(database: ThreadedDatabase) -> None:
    @transaction.atomic
    def fail() -> None:
        write("undone")
        raise ZeroDivisionError

    answers = at_once(database, lambda: write("first"), fail, lambda: write("second"))
    assert [type(answer) for answer in answers] == [type(None), ZeroDivisionError, type(None)]
    assert written() == {"first", "second"}


# --- 5: SQLite ----------------------------------------------------------------------------------------


def only_on_sqlite() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite: run with --database=sqlite")


@on_database
def test_sqlite_is_durable_and_patient_on_every_thread(database: ThreadedDatabase) -> None:
    only_on_sqlite()
    names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
    synchronous_full = 2
    answers = at_once(database, *(partial(query, f"PRAGMA {name}") for name in names))
    assert answers == ["wal", synchronous_full, 20_000, 1]


@on_database
def test_sqlite_takes_the_write_lock_when_a_transaction_begins() -> None:
    only_on_sqlite()
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0, isolation_level=None)
    try:
        with transaction.atomic(), pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    finally:
        other.close()


@on_database
def test_readers_that_write_wait_for_each_other_and_none_fails(database: ThreadedDatabase) -> None:
    write("0")

    @transaction.atomic
    def raise_by_one() -> None:
        row = Switch.objects.select_for_update().get()
        row.key = str(int(row.key) + 1)
        row.save()

    assert at_once(database, *[raise_by_one] * 30) == [None] * 30
    assert written() == {"30"}


# --- 9: long-lived processes --------------------------------------------------------------------------


@on_database
def test_no_query_is_kept_in_memory(database: ThreadedDatabase) -> None:
    def remembered() -> int:
        written()
        return len(connections["default"].queries_log)

    assert settings.DEBUG is False
    assert at_once(database, remembered) == [0]


class FailingSource:
    """A feed with a bug in it."""

    name = "failing"

    async def run(self, stop: asyncio.Event) -> None:
        raise ZeroDivisionError


class EndlessSource:
    """A feed without news."""

    name = "endless"

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()


@pytest.mark.django_db
@pytest.mark.parametrize("service", ["source", "sweeper", "pipeline", "rescue", "reporter", "lease", "intake"])
def test_an_exception_that_escapes_a_service_ends_the_engine_and_frees_the_shard(service: str) -> None:
    async def fail(stop: asyncio.Event) -> None:
        raise ZeroDivisionError

    with worlds() as make:
        world = make()
        if service != "source":
            getattr(world.engine, service).run = fail
        source = FailingSource() if service == "source" else EndlessSource()
        supervisor = Supervisor(world.engine, drain_ms=5_000)
        with pytest.raises(ExceptionGroup) as escaped, asyncio.Runner() as runner:
            runner.run(supervisor.run(source, asyncio.Event()))
    assert escaped.group_contains(ZeroDivisionError)
    assert ShardLease.objects.get().holder == ""


@pytest.mark.django_db
def test_a_service_whose_library_swallows_its_cancellation_does_not_keep_a_failed_engine_alive() -> None:
    async def fail(stop: asyncio.Event) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def deaf(stop: asyncio.Event) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await stop.wait()

    with worlds() as make:
        world = make()
        world.engine.rescue.run, world.engine.reporter.run = fail, deaf
        supervisor = Supervisor(world.engine, drain_ms=5_000)
        with pytest.raises(ExceptionGroup) as escaped, asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(supervisor.run(EndlessSource(), asyncio.Event()), timeout=20))
    assert escaped.group_contains(ZeroDivisionError)


# --- 10: time and settings ----------------------------------------------------------------------------


@on_database
def test_a_day_is_a_utc_day_everywhere(database: ThreadedDatabase) -> None:
    assert (settings.TIME_ZONE, settings.USE_TZ) == ("UTC", True)
    assert Switch.objects.create(scope="LEADER", key="1").changed_at.utcoffset() == timedelta(0)
    if connection.vendor == "postgresql":
        assert at_once(database, lambda: query("SHOW timezone")) == ["UTC"]


@pytest.mark.django_db
def test_every_seeded_config_keeps_its_first_version_as_it_was() -> None:
    seed_configs([LeaderFactory()], [FollowerFactory() for _number in range(8)])
    for config in CopyConfig.objects.all():
        (kept,) = CopyConfigVersion.objects.filter(config=config)
        names = [field.name for field in CopyConfigVersion._meta.fields if hasattr(config, field.name)]
        assert {"sizing", "percentage_bps", "version", "max_odds_micros", "sides"} <= set(names)
        unlike = {"id", "created_at"}
        assert [name for name in names if name not in unlike and getattr(kept, name) != getattr(config, name)] == []


@pytest.mark.django_db
def test_a_version_of_a_config_is_written_once() -> None:
    seed_configs([LeaderFactory()], [FollowerFactory()])
    with pytest.raises(IntegrityError), transaction.atomic():
        CopyConfigVersion.objects.create(config=CopyConfig.objects.get(), version=1)


# --- what has time -------------------------------------------------------------------------------------


@on_database
def test_what_has_time_leaves_threads_to_what_has_none(database: ThreadedDatabase) -> None:
    patient, release = BoundedDatabase(database, THREADS - 1), Event()

    async def crowded() -> str:
        waiting = [asyncio.create_task(patient.run(release.wait, WAIT_S)) for _ in range(2 * THREADS)]
        urgent = await asyncio.wait_for(database.run(lambda: "urgent"), WAIT_S)
        release.set()
        await asyncio.gather(*waiting)
        return urgent

    assert asyncio.run(crowded()) == "urgent"
