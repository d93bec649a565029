"""`manage.py verify` as an operator runs it: what it prints, what it leaves behind, and that each step can fail."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection

from copytrading.models import CopyTrade
from copytrading.states import Status
from copytrading.verification.bench import Bench
from copytrading.verification.checks import CHECKS
from copytrading.verification.database import NAME, NotPrivate, proved_inside
from copytrading.verification.steps import Result, Step, Wrong, report, run_steps, same
from ledger.sql import database_now
from tests.canaries import kek_text
from tests.conftest import ROOT
from tests.factories import CopyTradeFactory, columns_of

SECONDS_MAX = 200

ON_THE_SANDBOX = {"dual-supervisor", "cursor-recovery", "quote-cache", "price-fallback"}
"""Real processes that are killed amid a stream, books by the real clock: minutes, and bounds that a loaded machine
passes."""

# What an operator may have set; none of it may change what a check finds.
HOSTILE = {
    "COPY_TRADING_DRY_RUN": "true",
    "COPY_TRADING_BATCH_COPIES": "1",
    "COPY_TRADING_FOLLOWER_ALLOWLIST": "0x" + "00" * 20,
    "COPY_TRADING_GLOBAL_DAILY_USD": "1",
    "COPY_TRADING_MARKET_HOURLY_COUNT": "1",
    "COPY_TRADING_MAX_PER_TRADE_USD": "1",
    "PAPER_REJECT_BPS": "10000",
}

SLOW = pytest.mark.slow  # that most checks can fail takes some ten seconds each to show

Verify = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(database_url: str, **more: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database_url, **more}


@pytest.fixture
def verify(database_url: str) -> Verify:
    """Runs the command on the test database."""

    def run(*words: str, url: str = database_url, **more: str) -> "subprocess.CompletedProcess[str]":
        return finished(["manage.py", "verify", *words], environment(url, **more))

    return run


def finished(words: list[str], env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *words]
    return subprocess.run(command, check=False, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SECONDS_MAX)


def left_behind() -> list[str]:
    """Schemas, files and Redis keys of any verification."""
    if connection.vendor == "sqlite":
        return [str(path) for path in Path(connection.settings_dict["NAME"]).parent.glob(f"{NAME}*")]
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", [NAME])
        schemas = [name for (name,) in cursor.fetchall()]
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        return [*schemas, *map(str, client.scan_iter("*verify*"))]


def every_row() -> dict[str, list[dict[str, Any]]]:
    models = [model for model in apps.get_models() if model._meta.managed]
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in models}


def promises(check: str) -> list[str]:
    return [step.promise for step in CHECKS[check].steps(Bench())]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "check", [pytest.param(name, marks=[SLOW] if name in ON_THE_SANDBOX else []) for name in CHECKS]
)
def test_every_step_passes_whatever_the_operator_has_set(verify: Verify, check: str) -> None:
    done = verify(check, "--json", **HOSTILE)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert (told["check"], told["passed"]) == (check, True)
    assert [(step["step"], step["result"]) for step in told["steps"]] == [(name, "PASS") for name in promises(check)]
    assert all(step["detail"] for step in told["steps"])


def test_people_read_a_line_for_each_step_and_their_own_rows_stay_as_they_are(verify: Verify) -> None:
    CopyTradeFactory(pending=True)
    before = every_row()
    done = verify("prewrite")
    assert done.returncode == 0, done.stderr
    lines = zip(done.stdout.splitlines(), promises("prewrite"), strict=True)
    assert all(line.startswith(f"PASS  {step}: ") for line, step in lines)
    assert ("not applicable on SQLite" in done.stdout) == (connection.vendor == "sqlite")
    assert every_row() == before
    assert left_behind() == []


def test_the_manual_names_every_check() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [name for name in CHECKS if f"`{name}`" not in manual] == []


def test_real_trading_is_refused_with_a_sentence(verify: Verify) -> None:
    done = verify("prewrite", "--json", ENABLE_REAL_TRADING="true", SLIPSTREAM_KEK=kek_text("k1"))
    assert done.returncode == 1
    assert "does not run where ENABLE_REAL_TRADING is set" in done.stderr
    assert (done.stdout, left_behind()) == ("", [])


@pytest.mark.parametrize("check", CHECKS)
def test_no_check_runs_beside_real_trading(settings: Any, check: str) -> None:
    settings.ENABLE_REAL_TRADING = True
    with pytest.raises(CommandError, match="does not run where ENABLE_REAL_TRADING is set"):
        call_command("verify", check)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(database_url: str, number: signal.Signals) -> None:
    command = [sys.executable, "manage.py", "verify", "prewrite"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(database_url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("PASS")
        assert left_behind()
        running.send_signal(number)
        rest, said = running.communicate(timeout=SECONDS_MAX)
    assert running.returncode == 130, said
    assert "Interrupted" in said
    assert len(rest.splitlines()) < len(promises("prewrite")) - 1
    assert left_behind() == []


def stale_row(expired_s: int, **more: Any) -> CopyTrade:
    return CopyTradeFactory(pending=True, expires_at=database_now() - timedelta(seconds=expired_s), **more)


def test_read_only_counts_open_orders_past_their_expiry(verify: Verify) -> None:
    stale_row(60)
    stale_row(-60)
    CopyTrade.objects.filter(pk=stale_row(60).pk).update(status=Status.UNKNOWN)
    CopyTrade.objects.filter(pk=stale_row(60).pk).update(**columns_of(Status.EXECUTED))
    done = verify("prewrite", "--read-only", "--json", ENABLE_REAL_TRADING="true", SLIPSTREAM_KEK=kek_text("k1"))
    assert (done.returncode, json.loads(done.stdout)) == (0, {"check": "prewrite", "passed": True, "stale": 2})


def test_read_only_says_it_in_a_sentence(verify: Verify) -> None:
    done = verify("prewrite", "--read-only")
    assert done.stdout == "PASS  0 orders (PENDING or UNKNOWN) are past their expiry without an answer.\n"


def test_read_only_goes_with_prewrite(verify: Verify) -> None:
    done = verify("guardrail-events", "--read-only")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--read-only goes with" in done.stderr


@pytest.mark.postgres
def test_an_account_that_may_not_make_a_schema_is_told_so(verify: Verify, database_url: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS verify_reader")
        cursor.execute("CREATE ROLE verify_reader LOGIN")
    done = verify("prewrite", url=database_url.replace("postgres@", "verify_reader@"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("CommandError: The check could not run: permission denied for database")


@pytest.mark.postgres
def test_a_redis_that_is_down_fails_the_steps_and_is_still_told_in_json(verify: Verify) -> None:
    done = verify("guardrail-events", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    told = json.loads(done.stdout)
    assert (done.returncode, told["passed"]) == (1, False)
    assert all(step["detail"].startswith("StoreDown: ") for step in told["steps"])
    assert left_behind() == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_leads_elsewhere_is_refused() -> None:
    connection.close()
    with proved_inside("a_schema_of_its_own"), pytest.raises(NotPrivate, match="leads to the schema public"):
        connection.ensure_connection()
    connection.ensure_connection()


# --- Each step can fail -------------------------------------------------------------------------------

RUN = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
{sabotage}
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "verify", *sys.argv[1:]])
"""

WITHOUT_TOKENS_AND_TRIGGER = """
import importlib
from copytrading.operations import booking, outcomes, signals
importlib.import_module("copytrading.migrations.0002_guard_states").POSTGRES = "SELECT 1"
cas, increase, legs = outcomes.compare_and_set, signals.increase, booking.fill_entries
def blind(model, *, match, assign, rows):
    return cas(model, match=match[:1], assign=assign, rows=[(row[0], *row[len(match):]) for row in rows])
outcomes.compare_and_set = blind
nothing = signals.ActedTotals(size_micros=0, notional_micros=0)
signals.increase = lambda acted, seen, **how: increase(nothing, seen, **how)
booking.fill_entries = lambda fill: legs(fill)[:-1]
"""

WITHOUT_LEASE_AND_BUDGETS = """
from types import SimpleNamespace
from copytrading.operations import copy_rows, funds, outcomes, prewrite
order = copy_rows._order
def another_hash(plan):
    return order(plan) | {"order_hash": "0x" + plan.order_hash[:1:-1]}
copy_rows._order = another_hash
prewrite.ask_hold = lambda lease: SimpleNamespace(answer=lambda: None)
funds.write_budgets = lambda before, after: None
outcomes.give_back_budgets = lambda moves: None
"""

BROKEN_ENGINE = """
from copytrading.pipeline import Pipeline
def broken(self, waiting):
    raise RuntimeError("The pipe has burst.\\nIn two lines.")
Pipeline._decide_next = broken
"""

EVENTS_ONE_BY_ONE = """
from copytrading.operations import prewrite
from guardrails.queries import Switches
record = prewrite.record_events
prewrite.record_events = lambda refusals, *, now: [record([each], now=now) for each in refusals]
Switches.market_paused = lambda self, condition_id: False
"""

EVENTS_FORGOTTEN = """
from copytrading import decide
from copytrading.operations import prewrite
record = prewrite.record_events
prewrite.record_events = lambda refusals, *, now: record(list(refusals)[1:], now=now)
decide.deviation_refusal = lambda *facts, **how: None
"""

CONFIGS_READ_ONCE = """
from copytrading.config_index import ConfigIndex
from guardrails.queries import Switches
refresh, paused = ConfigIndex._refresh, Switches.follower_paused
async def once(self):
    if self._refreshed_ms is None:
        await refresh(self)
    self._refreshed_ms = self._clock.monotonic_ms()
ConfigIndex._refresh = once
Switches.follower_paused = lambda self, follower: not paused(self, follower)
"""


DEDUP_BROKEN = """
from copytrading.operations import signals
from guardrails.stores import memory, redis
async def forget(self, totals):
    self._last = totals
async def nothing(self, keys):
    return [None for _key in keys]
for store in (memory.MemoryDedup, redis.RedisDedup):
    store.remember, store.known = forget, nothing
increase = signals.increase
zero = signals.ActedTotals(size_micros=0, notional_micros=0)
signals.increase = lambda acted, seen, **how: increase(zero, seen, **how)
"""

QUEUE_WITHOUT_BOUND = """
from guardrails.stores import memory, redis
for store in (memory.MemoryQueue, redis.RedisQueue):
    def roomy(self, *args, _init=store.__init__, **bounds):
        _init(self, *args, **{**bounds, "queue_max": 10**6})
    store.__init__ = roomy
"""

POOL_WITHOUT_BOUND = """
from copytrading import pipeline, sending, wiring
async def at_once(self, copies):
    return None
sending.Sender.room_for = at_once
wiring.min = lambda *sizes: 1000
pipeline.next_batch = lambda waiting, subscribers, *, copies_max, fan_out_max, _next=pipeline.next_batch: _next(
    waiting[:1], subscribers, copies_max=copies_max
)[0:1] + (_next(waiting[:1], subscribers, copies_max=copies_max)[1] + list(waiting[1:]),)
"""

SHARDS_WITHOUT_OWNERS = """
from copytrading import queries
from copytrading.operations import leases
from copytrading.verification import sharing
from copytrading.models import ShardLease
sharing.shard_of = lambda wallet, of: 0
queries.Shard.leader_ids = lambda self: None
def given(*, shard, of, holder, ttl_s):
    now = leases.database_now()
    row, _new = ShardLease.objects.get_or_create(shard=shard, of=of)
    ShardLease.objects.filter(pk=row.pk).update(holder=holder, expires_at=now)
    return leases.Lease(shard=shard, of=of, holder=holder, term=row.term)
sharing.acquire = given
sharing.newer_count = lambda **_asked: 3
"""


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("check", "sabotage", "failing"),
    [
        pytest.param("dedup-shared", DEDUP_BROKEN, {0, 1, 2, 3}, id="dedup and totals", marks=SLOW),
        pytest.param("queue-backpressure", QUEUE_WITHOUT_BOUND, {0, 1, 2}, id="no bound", marks=SLOW),
        pytest.param("worker-pool", POOL_WITHOUT_BOUND, {0, 1}, id="no pool, no turns", marks=SLOW),
        pytest.param("shard-ownership", SHARDS_WITHOUT_OWNERS, {0, 1, 2, 3, 4, 5}, id="no owners", marks=SLOW),
        pytest.param("config-refresh", CONFIGS_READ_ONCE, set(range(7)), id="read once, pauses", marks=SLOW),
        pytest.param("prewrite", WITHOUT_TOKENS_AND_TRIGGER, {2, 5, 7, 9}, id="tokens, trigger, totals, fees"),
        pytest.param("prewrite", WITHOUT_LEASE_AND_BUDGETS, {1, 3, 4, 6, 8}, id="hash, lease, budgets"),
        pytest.param("prewrite", BROKEN_ENGINE, set(range(10)), id="everything"),
        pytest.param("guardrail-events", EVENTS_ONE_BY_ONE, {1, 3}, id="one by one, market pause", marks=SLOW),
        pytest.param("guardrail-events", EVENTS_FORGOTTEN, {0, 1, 2, 3, 4}, id="forgotten, deviation", marks=SLOW),
    ],
)
def test_what_is_broken_fails_and_the_other_steps_still_run(
    database_url: str, check: str, sabotage: str, failing: set[int]
) -> None:
    env = environment(database_url, PYTHONPATH=str(ROOT))
    done = finished(["-c", RUN.format(sabotage=sabotage), check, "--json"], env)
    told = json.loads(done.stdout)
    failed = {index for index, step in enumerate(told["steps"]) if step["result"] == "FAIL"}
    assert failed == failing, told
    assert (done.returncode, told["passed"]) == (1, False)
    assert f"{len(failed)} of {len(told['steps'])} steps failed" in done.stderr
    assert left_behind() == []


# --- The runner ---------------------------------------------------------------------------------------


def wrong() -> str:
    raise Wrong("Nothing was there.")


def burst() -> str:
    raise ValueError("The pipe has burst.\nIn two lines.")


def test_a_step_that_fails_or_raises_does_not_stop_the_next() -> None:
    told: list[Result] = []
    steps = [Step("one", lambda: "Fine."), Step("two", wrong), Step("three", burst), Step("four", lambda: "Fine.")]
    results = run_steps(steps, tell=told.append)
    assert [str(result) for result in results] == [
        "PASS  one: Fine.",
        "FAIL  two: Nothing was there.",
        "FAIL  three: ValueError: The pipe has burst.",
        "PASS  four: Fine.",
    ]
    assert tuple(told) == results


def test_one_failed_step_fails_the_check() -> None:
    results = run_steps([Step("one", lambda: "Fine."), Step("two", wrong)], tell=lambda _result: None)
    assert report("a", results) == {
        "check": "a",
        "passed": False,
        "steps": [
            {"step": "one", "result": "PASS", "detail": "Fine."},
            {"step": "two", "result": "FAIL", "detail": "Nothing was there."},
        ],
    }
    assert report("a", results[:1])["passed"] is True


def test_a_check_without_steps_has_proved_nothing() -> None:
    assert report("a", ())["passed"] is False


def test_what_differs_is_told_with_both_values() -> None:
    same("Rows", 1, 1)
    with pytest.raises(Wrong, match=r"Rows: found 2, expected 1\."):
        same("Rows", 2, 1)
