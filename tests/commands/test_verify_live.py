"""The checks with live engines: what is broken in an engine fails the step that promises it, and judges are strict."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from copytrading.verification import dual, recovery
from copytrading.verification.database import address
from copytrading.verification.processes import environment_of_its_own, environment_with
from copytrading.verification.recovery import LateClock, Once
from copytrading.verification.steps import Wrong
from tests.commands.test_verify import RUN, environment, left_behind
from tests.conftest import ROOT

SECONDS_MAX = 240

DEAF_TO_NEWS = """
from copytrading.sources import market_news
async def nothing(self, *args, **more):
    return None
market_news.RecordedNews.tick_changed = market_news.RecordedNews.resolved = nothing
"""

EAGER_AND_ASKING_TWICE = """
from copytrading.sources.market_news import RecordedNews
from execution.gamma_client import GammaClient
from execution.models import Market
by_conditions = GammaClient.by_conditions
async def twice(self, ids):
    await by_conditions(self, ids)
    return await by_conditions(self, ids)
GammaClient.by_conditions = twice
async def at_once(self, market):
    await self._database.run(lambda: Market.objects.get_or_create(condition_id=market.condition_id))
RecordedNews.new_market = at_once
"""

ENGINE = """
import os, sys
sys.path.insert(0, {root!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
{broken}
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

WITH_ENGINE = """
from pathlib import Path
from copytrading.verification import dual, processes, recovery
processes.PROGRAM = Path({program!r})
dual.WAIT_S_MAX, recovery.PATIENCE_S = 8, 5
{more}
"""

CURSOR_AHEAD = """
import time
from copytrading.sources import looks
move = looks.move_cursor
looks.move_cursor = lambda name, *, before, after: move(name, before=before, after=int(time.time()))
"""

EVERYBODY_HOLDS = """
from copytrading import shardlease
from copytrading.operations.leases import Lease
shardlease.acquire = lambda *, shard, of, holder, ttl_s: Lease(shard=shard, of=of, holder=holder, term=1)
shardlease.renew = lambda lease, ttl_s: None
"""


def verify(database_url: str, check: str, sabotage: str) -> tuple[dict[str, Any], "subprocess.CompletedProcess[str]"]:
    command = [sys.executable, "-c", RUN.format(sabotage=sabotage), check, "--json"]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=environment(database_url, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 1, done.stderr[-3_000:]
    return json.loads(done.stdout), done


def failed(told: dict[str, Any]) -> set[int]:
    return {index for index, step in enumerate(told["steps"]) if step["result"] == "FAIL"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sabotage", "failing"),
    [
        pytest.param(DEAF_TO_NEWS, {0, 1}, id="deaf to news"),
        pytest.param(EAGER_AND_ASKING_TWICE, {2, 3}, id="eager, asking twice"),
    ],
)
def test_markets_that_are_not_minded_fail(database_url: str, sabotage: str, failing: set[int]) -> None:
    told, _done = verify(database_url, "market-events", sabotage)
    assert failed(told) == failing, told
    assert left_behind() == []


@pytest.mark.slow
@pytest.mark.postgres
def test_a_cursor_that_is_moved_too_far_fails_the_polls_alone(database_url: str, tmp_path: Path) -> None:
    told, _done = verify(database_url, "cursor-recovery", with_engine(tmp_path, CURSOR_AHEAD))
    # Where it is moved before anything was heard, nothing is ever copied either.
    assert {0, 1} <= failed(told) <= {0, 1, 2}, told
    assert re.search("were not heard|heard nothing more", told["steps"][0]["detail"])
    assert left_behind() == []


@pytest.mark.slow
@pytest.mark.postgres
def test_two_holders_of_one_shard_fail(database_url: str, tmp_path: Path) -> None:
    told, _done = verify(database_url, "dual-supervisor", with_engine(tmp_path, EVERYBODY_HOLDS))
    assert failed(told) == set(range(5)), told
    assert left_behind() == []


@pytest.mark.parametrize("check", ["dual", "recovery"])
def test_without_a_chain_dual_fails_and_recovery_is_judged_by_the_polls(
    monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    module = {"dual": dual, "recovery": recovery}[check]
    monkeypatch.setattr(module, "missing_parts", lambda: "Install Node.")
    if check == "recovery":
        assert [step.promise.partition(":")[0] for step in recovery.recovery_steps(environment_with)] == ["polls"] * 3
        return
    for step in dual.dual_steps(environment_with):
        with pytest.raises(Wrong, match=r"There is no chain to hear\. Install Node\."):
            step.prove()


def with_engine(folder: Path, broken: str, more: str = "") -> str:
    program = folder / "broken.py"
    program.write_text(ENGINE.format(root=str(ROOT), broken=broken), encoding="utf-8")
    return WITH_ENGINE.format(program=str(program), more=more)


# --- The judges ---------------------------------------------------------------------------------------

KEY = ("0xlena", "0x1", "0xc", 7, "BUY")
RUN_TOLD = recovery.Told(
    truth={KEY: 5},
    acted={KEY: 5},
    signals={KEY: 5},
    copies={1: 1},
    steps=9,
    wrong="",
    not_copied="",
    orders_changed=0,
    orders_before=1,
)
DUAL_TOLD = dual.Told(
    holders=("a",),
    standbys=1,
    froze_ms=8_000,
    froze_copy_ms=8_100,
    died_ms=9_999,
    died_copy_ms=12_000,
    trades=3,
    wrong="",
    not_copied="",
    copied="3 signals",
    terms={1: 1, 2: 1, 3: 1},
    changed=(),
    ended=1,
    said_why=True,
)


@pytest.mark.parametrize(
    ("judge", "changes"),
    [
        (recovery._whole, {"wrong": "One was not heard."}),
        (recovery._whole, {"signals": {KEY: 4}}),
        (recovery._once, {"not_copied": "Two copies."}),
        (recovery._once, {"orders_changed": 1}),
    ],
)
def test_a_run_with_deaths_is_judged(judge: Any, changes: dict[str, Any]) -> None:
    assert judge(RUN_TOLD)
    with pytest.raises(Wrong):
        judge(replace(RUN_TOLD, **changes))


@pytest.mark.parametrize(
    "changes",
    [{"wrong": "x"}, {"not_copied": "x"}, {"acted": {KEY: 6}}, {"signals": {KEY: 6}}, {"copies": {1: 2}}],
    ids=lambda changes: next(iter(changes)),
)
def test_it_is_compared_with_the_one_without(changes: dict[str, Any]) -> None:
    other_hashes = replace(RUN_TOLD, acted={(KEY[0], "0x2", *KEY[2:]): 5}, signals={(KEY[0], "0x2", *KEY[2:]): 5})
    assert recovery._even(RUN_TOLD, other_hashes)
    with pytest.raises(Wrong):
        recovery._even(RUN_TOLD, replace(RUN_TOLD, **changes))


@pytest.mark.parametrize(
    ("judge", "changes"),
    [
        (dual._one_holder, {"holders": ("a", "b")}),
        (dual._one_holder, {"standbys": 0}),
        (dual._froze, {"froze_ms": 10_001}),
        (dual._died, {"died_ms": 10_001}),
        (dual._copied_once, {"wrong": "One was not heard."}),
        (dual._copied_once, {"not_copied": "Two copies."}),
        (dual._woke, {"changed": ("copytrading_copytrade",)}),
        (dual._woke, {"ended": None}),
        (dual._woke, {"said_why": False}),
    ],
)
def test_what_several_processes_did_is_judged(judge: Any, changes: dict[str, Any]) -> None:
    assert judge(DUAL_TOLD)
    with pytest.raises(Wrong):
        judge(replace(DUAL_TOLD, **changes))


# --- What they stand on -------------------------------------------------------------------------------


def test_an_operators_settings_reach_no_process_of_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPY_TRADING_DRY_RUN", "true")
    monkeypatch.setenv("DATABASE_URL_FILE", "/nowhere")
    made = environment_of_its_own(
        {"DATABASE_URL": "sqlite:///x", "RPC_URLS": ""}, declared=["COPY_TRADING_DRY_RUN", "DATABASE_URL", "RPC_URLS"]
    )
    assert "COPY_TRADING_DRY_RUN" not in made and "DATABASE_URL_FILE" not in made
    assert (made["DATABASE_URL"], made["RPC_URLS"], made["PATH"]) == ("sqlite:///x", "", os.environ["PATH"])


@pytest.mark.django_db
def test_the_address_leads_to_the_same_database() -> None:
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c"]
    code = "from django.db import connection as c; print(c.settings_dict['NAME'], c.settings_dict['OPTIONS'])"
    env = {**os.environ, "DATABASE_URL": address()}
    done = subprocess.run([*command, code], check=True, cwd=ROOT, env=env, capture_output=True, text=True)
    assert str(connection.settings_dict["NAME"]) in done.stdout
    assert str(connection.settings_dict["OPTIONS"].get("options", "")) in done.stdout


def test_a_late_clock_catches_up_and_no_further() -> None:
    clock = LateClock(recovery.timedelta(hours=2))
    late = clock.now()
    clock.jump(recovery.timedelta(hours=1))
    assert clock.now() - late >= recovery.timedelta(hours=1)
    clock.jump(recovery.timedelta(days=1))
    assert clock.now() - late < recovery.timedelta(hours=3)


def test_what_failed_once_is_not_tried_again() -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise Wrong("No.")

    once = Once(fail)
    for _asked in range(2):
        with pytest.raises(Wrong):
            once()
    assert len(tries) == 1
