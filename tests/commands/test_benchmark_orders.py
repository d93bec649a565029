"""`manage.py benchmark latency` and `fanout`: a few real orders to a sandbox. The figures are never judged here."""

import json
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from copytrading.benchmarks.latency import sentence_of
from copytrading.benchmarks.least import least
from copytrading.benchmarks.timeline import STAGES, Stamp, Unpaired, spread, stage_spreads, travelled
from copytrading.models import CopyTrade, Follower, Leader
from tests.conftest import ROOT

SECONDS_MAX = 110
NAMES = [name for name, _means in STAGES]

WAY = (
    *(("db.record_signals>", 3, 0), ("db.record_signals<", 5, 0), ("begin>", 6, 0), ("decide>", 9, 0)),
    *(("plan<", 10, 0), ("db.prewrite>", 11, 0), ("db.prewrite<", 13, 0), ("asked", 14, 71), ("written", 15, 71)),
    *(("asked", 16, 72), ("written", 18, 72), ("answered", 20, 71), ("answered", 21, 72)),
)


def stamps(*more: tuple[str, float, int]) -> list[Stamp]:
    return [Stamp(what=what, at_ms=1_000 + at_ms, salt=salt) for what, at_ms, salt in (*WAY, *more)]


def test_stages_of_the_last_order_add_up_to_its_way() -> None:
    found = travelled(1_000, stamps(), salts=frozenset({71, 72}), until_ms=2_000)
    assert list(found.stages_ms.values()) == [3, 2, 1, 3, 1, 3, 3, 2]
    assert sum(found.stages_ms.values()) == found.total_ms == 18
    assert (found.first_ms, found.answered_ms) == (15, 3)


def test_what_came_before_the_frame_or_after_the_next_is_of_another_signal() -> None:
    others = stamps(("db.record_signals>", -5, 0), ("db.record_signals<", -4, 0), ("db.prewrite<", 900, 0))
    found = travelled(1_000, others, salts=frozenset({71, 72}), until_ms=1_800)
    assert (found.stages_ms["hear"], found.stages_ms["prewrite"]) == (3, 3)


def test_second_frame_that_is_written_down_late_counts_in_no_stage() -> None:
    late = stamps(("db.record_signals>", 6.5, 0), ("db.record_signals<", 8, 0))
    assert travelled(1_000, late, salts=frozenset({71, 72}), until_ms=2_000).stages_ms["record"] == 2


@pytest.mark.parametrize(
    ("salts", "left_out", "words"),
    [
        ({71, 72, 73}, "", "Of 3 orders 2 were seen to be written and 2 answered."),
        (set(), "", "Of 0 orders"),
        ({71, 72}, "plan<", "Nothing was stamped of plan."),
    ],
)
def test_way_that_was_not_seen_whole_is_no_figure(salts: set[int], left_out: str, words: str) -> None:
    seen = [each for each in stamps() if each.what != left_out]
    with pytest.raises(Unpaired, match=words):
        travelled(1_000, seen, salts=frozenset(salts), until_ms=2_000)


def test_sentence_names_the_longest_stages() -> None:
    found = travelled(1_000, stamps(), salts=frozenset({71, 72}), until_ms=2_000)
    told = sentence_of(stage_spreads([found]))
    assert told.startswith("At the median most of it is hear (3 ms) and gather (3 ms); at the 99th percentile")
    assert (spread([1, 2, 3]).p50, spread(range(1, 101)).p99) == (2, 99)


@pytest.mark.django_db(transaction=True)
def test_the_least_is_two_writes_that_change_nothing(lena: Leader) -> None:
    before = Leader.objects.values().get()
    found = least(rest_s=0.0, rounds=3)
    assert 0 < found.rested.p50 <= found.rested.p99 and 0 < found.in_a_row.p50 <= found.in_a_row.p99
    assert Leader.objects.values().get() == before


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("words", "followers", "figures"),
    [
        (("latency", "--signals", "2", "--window-ms", "20"), 1, ("total_ms", "answer_ms")),
        (("fanout", "--signals", "1", "--followers", "3"), 3, ("first_order_ms", "last_order_ms")),
    ],
    ids=["latency", "fanout"],
)
def test_orders_are_really_sent_and_timed_by_stage(
    database_url: str, redis_url: str, words: tuple[str, ...], followers: int, figures: tuple[str, ...]
) -> None:
    env = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "REDIS_PREFIX": "benchmark"}
    command = [sys.executable, "manage.py", "benchmark", *words, "--json"]
    done = subprocess.run(command, check=False, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert list(told["stages_ms"]) == NAMES
    assert all(0 < told[name]["p50"] <= told[name]["p99"] for name in figures)
    assert Follower.objects.filter(mode="EXCHANGE").count() == followers
    assert CopyTrade.objects.filter(status="EXECUTED", executor="clob").count() >= followers * told["signals"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("words", [("latency", "--signals", "0"), ("fanout", "--followers", "1001")])
def test_absurd_numbers_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"must be at least 1|at most 1000"):
        call_command("benchmark", *words)
