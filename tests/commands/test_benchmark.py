"""`manage.py benchmark`: tiny runs of the real engine. The figures themselves are never judged here."""

import gc
import json
import signal
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from copytrading.benchmarks.cast import require_scratch
from copytrading.benchmarks.cost import flatness_of, sentence_of
from copytrading.benchmarks.servers import database_cpu_ms
from copytrading.benchmarks.stages import LOOP, OTHER, STAGES, stages_of
from copytrading.models import CopyTrade, Follower, Leader, ShardLease, Signal
from copytrading.operations.cast import seed_leaders, wallet_named
from guardrails.models import Budget, GuardrailEvent
from ledger.system import SystemClock

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDING_US = 0.1
ALL_BUDGETS = 0b1111_1111


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The engine takes SIGTERM and SIGINT for its run; afterwards they are pytest's again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def benchmark(*words: str) -> str:
    printed = StringIO()
    call_command("benchmark", *words, stdout=printed)
    return printed.getvalue()


def cost(*words: str) -> dict[str, Any]:
    (line,) = benchmark("cost", "--json", *words).splitlines()
    told: dict[str, Any] = json.loads(line)
    return told


def recording(folder: Path, rows: int) -> Path:
    path = folder / "rows.json"
    path.write_text(json.dumps([_row(number) for number in range(rows)]), encoding="utf-8")
    return path


def _row(number: int) -> dict[str, object]:
    return {
        "proxyWallet": "0x" + "1e" * 20,
        "timestamp": 1_795_262_400 + number,
        "conditionId": "0x" + "c0" * 32,
        "size": 100,
        "transactionHash": f"0x{number + 1:064x}",
        "price": 0.5,
        "asset": "7",
        "side": "BUY",
        "title": "Will it rain?",
    }


def test_each_number_of_followers_is_measured_and_the_stages_add_up_to_the_total() -> None:
    told = cost("--followers", "1,3", "--copies", "12")
    assert [each["followers"] for each in told["measured"]] == [1, 3]
    for each in told["measured"]:
        assert tuple(each["stages"]) == (*STAGES, OTHER, LOOP)
        added = sum(stage["us"] for stage in each["stages"].values())
        assert added == pytest.approx(each["cpu_us"], abs=ROUNDING_US * len(each["stages"]))
        for stage in list(each["stages"].values())[:-1]:
            parts = stage["parts"]
            assert sum(parts.values()) == pytest.approx(stage["us"], abs=ROUNDING_US * (1 + len(parts)))
        assert sum(each["copies"].values()) == 12


def test_every_stage_of_a_copy_was_really_measured() -> None:
    (each,) = cost("--followers", "4", "--copies", "40")["measured"]
    assert all(each["stages"][name]["us"] > 0 for name in STAGES)
    assert each["copies"]["EXECUTED"] > 0
    assert each["copies_per_s"] > 0


def test_the_json_has_the_shape_of_its_description() -> None:
    told = cost("--followers", "1,2", "--copies", "4")
    assert set(told) == {"measured", "flatness"}
    assert set(told["flatness"]) == {"us_per_copy", "us_per_signal", "ratio"}
    assert set(told["flatness"]["ratio"]) == {"1", "2"}
    assert set(told["measured"][0]) == {
        *("followers", "signals", "copies", "copies_per_s"),
        *("cpu_us", "database_us", "measuring_us", "stages"),
    }


def test_people_read_a_table_and_a_sentence_about_flatness() -> None:
    printed = benchmark("cost", "--followers", "2", "--copies", "4")
    for stage in (*STAGES, OTHER, LOOP, "this process, all threads"):
        assert f"  {stage} " in printed
    assert "of it the measuring itself" in printed
    assert printed.splitlines()[-1].startswith("A copy costs")


def test_the_line_through_several_numbers_of_followers_tells_a_signal_from_a_copy() -> None:
    points = {1: 1_300, 10: 400, 100: 310}
    told = [
        {"followers": each, "signals": 100, "copies": {"EXECUTED": 60 * each, "SKIPPED": 40 * each}, "cpu_us": us}
        for each, us in points.items()
    ]
    flatness = flatness_of(told)
    assert flatness == {"us_per_copy": 300.0, "us_per_signal": 1_000.0, "ratio": {"1": 4.19, "10": 1.29, "100": 1.0}}
    assert sentence_of(flatness).startswith("A copy costs about 300.0 us and a signal 1000.0 us besides")


def test_one_number_of_followers_says_nothing_about_flatness() -> None:
    flatness = flatness_of([{"followers": 5, "signals": 1, "copies": {"EXECUTED": 5}, "cpu_us": 320.0}])
    assert sentence_of(flatness).startswith("A copy costs 320.0 us; with several numbers")


def test_a_recording_can_be_measured_for_several_numbers_of_followers(tmp_path: Path) -> None:
    told = cost("--followers", "1,2", "--rows", str(recording(tmp_path, 5)))
    assert [sum(each["copies"].values()) for each in told["measured"]] == [5, 10]


def test_a_replay_has_every_budget_and_guardrail_on_and_none_of_them_refuses(tmp_path: Path) -> None:
    report = json.loads(benchmark("replay", str(recording(tmp_path, 6)), "--followers", "8", "--json"))
    assert sum(report["copies"].values()) == 48
    assert report["copies_per_s"] > 0
    assert report["cpu_us"] > 0
    bought = CopyTrade.objects.filter(status="EXECUTED", side="BUY")
    assert bought.exists()
    assert set(bought.values_list("budget_mask", flat=True)) == {ALL_BUDGETS}
    assert Budget.objects.values("scope", "period").distinct().count() == 8
    refused = set(GuardrailEvent.objects.values_list("reason", flat=True))
    assert refused <= {"BELOW_MINIMUM", "ALREADY_COPIED", "NO_FILL", "SIDE_FILTERED", "PRICE_DEVIATION", "MAX_ODDS"}


def test_every_limit_filter_and_stop_of_the_cast_is_set(tmp_path: Path) -> None:
    benchmark("replay", str(recording(tmp_path, 1)), "--followers", "2")
    (leader,), followers = Leader.objects.all(), list(Follower.objects.all())
    for row in (leader, *followers):
        limits = (row.hourly_limit_micros, row.daily_limit_micros, row.hourly_limit_count, row.daily_limit_count)
        assert None not in limits
    for config in leader.configs.all():
        assert config.categories
        names = ("max_trade", "max_odds", "min_liquidity", "min_volume", "max_per_market")
        stops = ("take_profit", "stop_loss", "max_drawdown")
        assert None not in [getattr(config, f"{name}_micros") for name in (*names, *stops)]


@pytest.mark.parametrize("words", [("cost", "--copies", "1"), ("replay", "rows.json")], ids=lambda words: words[0])
def test_a_database_with_rows_of_somebody_is_refused_and_left_alone(words: tuple[str, ...]) -> None:
    seed_leaders({wallet_named("lena"): "Lena"}, holdings_complete=True)
    with pytest.raises(CommandError, match="name an empty scratch database with DATABASE_URL"):
        benchmark(*words)
    assert Leader.objects.count() == 1
    assert not Follower.objects.exists()
    assert not Signal.objects.exists()


@pytest.mark.parametrize("words", ["0", "1,x", "", "20000"])
def test_absurd_numbers_of_followers_are_refused(words: str) -> None:
    with pytest.raises(CommandError, match="name numbers between 1 and 10000"):
        benchmark("cost", "--followers", words)
    require_scratch()


def test_nothing_is_left_running_and_the_interpreter_is_as_it_was() -> None:
    before = gc.get_threshold(), sys.getswitchinterval(), gc.get_freeze_count()
    threads = set(threading.enumerate())
    benchmark("cost", "--followers", "1", "--copies", "2")
    assert (gc.get_threshold(), sys.getswitchinterval(), gc.get_freeze_count()) == before
    assert [each.name for each in set(threading.enumerate()) - threads if each.name.startswith("slipstream-db")] == []
    assert all(lease.expires_at <= SystemClock().now() for lease in ShardLease.objects.all())


def test_the_server_is_asked_for_its_time_where_it_runs_on_this_machine() -> None:
    before = database_cpu_ms()
    if connection.vendor != "postgresql":
        assert before is None
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM generate_series(1, 1000000)")
    after = database_cpu_ms()
    assert before is not None
    assert after is not None
    assert after > before


def test_steps_become_stages_and_what_nobody_measured_is_the_event_loop() -> None:
    taken = {"decide": 5, "db.prewrite": 7, "prewrite.rows": 2, "somebody's": 1}
    stages = {stage.name: stage for stage in stages_of(taken, total_ns=20)}
    assert (stages["decide"].ns, stages["prewrite"].ns) == (5, 9)
    assert stages["prewrite"].parts["build rows"] == 2
    assert (stages[OTHER].parts, stages[LOOP].ns) == ({"somebody's": 1}, 5)
    assert sum(stage.ns for stage in stages.values()) == 20
