"""The self-test carries one paper trade through everything, and no row of it stays, whatever happens."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from pytest_django.fixtures import Settings

from copytrading.metrics import COPIES_TOTAL, SIGNALS_TOTAL, STAGE_MS
from copytrading.models import Leader
from copytrading.operations.events import publish
from copytrading.rehearsal import Rehearsal
from copytrading.selftest import SelfTestDoors, SelfTestFailed, run_selftest
from execution.orders import OrderPlan
from execution.ports import Outcome, Rejected, RejectReason
from guardrails.models import Scope, Switch
from tests.conftest import ROOT
from tests.doors import outside_loop
from tests.venues import ScriptedVenue

P = ParamSpec("P")
T = TypeVar("T")

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = ["begin", "lease", "record", "decide", "send", "check"]


def rows() -> dict[str, int]:
    """How many rows every table has."""
    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Counted around every test of this file."""
    Leader.objects.create(wallet="0x" + "1e" * 20, name="Lena")
    Switch.objects.create(kind="PAUSE", scope=Scope.GLOBAL, on=True)
    with transaction.atomic():
        publish("tick", {})
    before = rows()
    yield
    assert rows() == before


def doors(**more: Any) -> SelfTestDoors:
    return SelfTestDoors(seconds_max=10, **more)


def test_each_step_is_timed_when_it_passes() -> None:
    assert list(run_selftest(doors())) == STEPS


@pytest.fixture(autouse=True)
def paused_and_limited(settings: Settings, nothing_stays: None) -> None:
    """An installation on which no real trade could pass now."""
    settings.COPY_TRADING_DRY_RUN = True
    settings.COPY_TRADING_FOLLOWER_ALLOWLIST = ["0x" + "00" * 20]
    settings.COPY_TRADING_MAX_PER_TRADE_USD = settings.COPY_TRADING_GLOBAL_DAILY_USD = 1
    settings.PAPER_REJECT_BPS = 10_000


def test_metrics_say_nothing_of_it() -> None:
    run_selftest(doors())
    samples = [each for metric in (COPIES_TOTAL, SIGNALS_TOTAL, STAGE_MS) for each in metric.collect()[0].samples]
    assert [each for each in samples if each.value and not each.name.endswith("_created")] == []


def test_refused_order_fails_the_check_with_its_reason() -> None:
    venue = ScriptedVenue()
    venue.answer = Rejected(reason=RejectReason.REJECTED, detail="no")
    with pytest.raises(SelfTestFailed, match=r"step `check`: the copy is FAILED \['REJECTED'\] instead of EXECUTED"):
        run_selftest(doors(venue=venue))


def test_venue_that_never_answers_fails_in_time() -> None:
    class Silent(ScriptedVenue):
        async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
            await asyncio.Event().wait()
            raise AssertionError

    with pytest.raises(SelfTestFailed, match="step `send`: it took longer than 1 s"):
        run_selftest(SelfTestDoors(seconds_max=1, venue=Silent()))


class Failing(Rehearsal):
    """A database that fails at one unit of work; `units` counts them."""

    units = 0
    fails_at = 0

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        Failing.units += 1
        if Failing.units == Failing.fails_at:
            raise ValueError("the disk is full")
        return await super().run(work, *args, **kwargs)


def test_database_that_fails_at_any_step_fails_the_test_and_leaves_nothing() -> None:
    Failing.units = Failing.fails_at = 0
    run_selftest(doors(rehearsal=Failing))
    units, before = Failing.units, rows()
    failed = set()
    for number in range(1, units + 1):
        Failing.units, Failing.fails_at = 0, number
        with pytest.raises(SelfTestFailed, match="ValueError: the disk is full") as caught:
            run_selftest(doors(rehearsal=Failing))
        failed.add(caught.value.step)
        assert rows() == before
    assert failed == set(STEPS)


def test_interrupt_leaves_nothing() -> None:
    venue = ScriptedVenue()
    venue.on_submit = lambda _plan: os.kill(os.getpid(), signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a terminal's
    try:
        with pytest.raises(KeyboardInterrupt):
            run_selftest(doors(venue=venue))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.postgres
def test_nobody_waits_for_its_locks() -> None:
    venue, locked = ScriptedVenue(), []

    def lock_everything(_plan: OrderPlan) -> None:
        with transaction.atomic():
            models = apps.get_models()
            locked.extend(len(model._default_manager.select_for_update(nowait=True)) for model in models)
            Switch.objects.filter(scope=Scope.GLOBAL).update(on=True)

    venue.on_submit = lambda plan: outside_loop(lock_everything, plan)
    run_selftest(doors(venue=venue))
    assert sum(locked) == sum(rows().values())


@pytest.mark.postgres
def test_lost_connection_fails_it_and_nothing_is_written_by_another_one() -> None:
    venue = ScriptedVenue()
    venue.on_submit = lambda plan: outside_loop(_end_other_sessions)
    with pytest.raises(SelfTestFailed, match="step `send`: "):
        run_selftest(SelfTestDoors(seconds_max=2, venue=venue))


def _end_other_sessions() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchone()[0] >= 1


@pytest.mark.postgres
def test_its_transaction_is_bounded_by_the_server() -> None:
    async def bounds() -> list[str]:
        async with Rehearsal(seconds_max=7) as database:
            return await database.run(_bounds)

    assert asyncio.run(bounds()) == ["7s", "7s", "7s"]


def _bounds() -> list[str]:
    found = []
    with connection.cursor() as cursor:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SHOW {name}")
            found.append(cursor.fetchone()[0])
    return found


def test_rehearsed_work_that_fails_leaves_the_rest_usable() -> None:
    async def play() -> tuple[bool, bool]:
        async with Rehearsal(seconds_max=10) as database:
            with pytest.raises(IntegrityError):
                await database.run(Leader.objects.create, wallet="0x" + "1e" * 20)
            await database.run(Leader.objects.create, wallet="0x" + "2e" * 20)
            return await database.run(Leader.objects.filter(wallet="0x" + "2e" * 20).exists), True

    assert asyncio.run(play()) == (True, True)


KILLED = """
import asyncio, sys, django
django.setup()
from copytrading.selftest import SelfTestDoors, run_selftest
class Hanging:
    name = "hanging"
    async def submit(self, plan, signature, *, follower_id):
        sys.stdout.write("sending\\n"); sys.stdout.flush()
        await asyncio.Event().wait()
run_selftest(SelfTestDoors(seconds_max=60, venue=Hanging()))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_kill_in_the_middle_leaves_nothing_and_the_next_one_passes(database_url: str, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "sending\n"
        before = rows()
        process.send_signal(number)
        assert process.wait(30) == -number
    assert rows() == before
    assert list(run_selftest(doors())) == STEPS
