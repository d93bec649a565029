"""`manage.py replay`: every recording with its exact totals, a second time without effect; bad files leave no trace."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from copytrading.metrics import STAGES
from copytrading.models import CopyTrade, Follower, Leader, Signal, SignalGroup
from copytrading.operations.leases import acquire
from copytrading.states import OPEN
from tests.conftest import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("database_url")]

FOLLOWERS = 2
KEYS = (
    *("rows", "trade_rows", "repeated_rows", "other_rows", "unreadable", "groups", "signals"),
    *("leader_size_micros", "signal_size_micros", "copies", "skipped", "dropped", "stages_ms", "copies_per_s"),
)

# File, rows, trade rows, repeated rows, other rows by type, groups, the leaders' size in micros.
RECORDINGS: tuple[tuple[str, int, int, int, dict[str, int], int, int], ...] = (
    (
        "activity/v1_activity_24h_500rows_20260216.json",
        *(500, 298, 0, {"MAKER_REBATE": 1, "REDEEM": 201}, 298, 1_832_878_679),
    ),
    (
        "activity/v1_activity_all_types_50rows_20260714.json",
        *(50, 42, 0, {"MAKER_REBATE": 1, "REDEEM": 2, "REWARD": 4, "TAKER_REBATE": 1}, 42, 2_614_906_896_243),
    ),
    (
        "activity/v1_activity_redeem_merge_21rows_202609.json",
        *(21, 14, 0, {"MERGE": 2, "REDEEM": 5}, 14, 1_100_597_408),
    ),
    (
        "activity/v1_trades_event_665_wallets_paged_2500rows_20251010.json",
        *(2_500, 1_500, 1_000, {}, 1_500, 1_952_084_580_986),
    ),
    ("activity/v1_trades_maker_1000rows_20260220.json", 1_000, 1_000, 0, {}, 931, 7_024_343_408),
    ("activity/v2_activity_official_fixture.json", 2, 2, 0, {}, 2, 169_315_715),
    ("activity/v2_trades_envelope.json", 3, 3, 0, {}, 3, 338_054_786),
    ("rtds/captured_120events_20260819.json", 120, 120, 0, {}, 117, 6_213_966_118),
)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The engine takes SIGTERM and SIGINT for its run; afterwards they are pytest's again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def replay(*files: Path, followers: int = FOLLOWERS) -> dict[str, Any]:
    """The report of a replay in this process."""
    printed = StringIO()
    call_command("replay", *map(str, files), followers=followers, json=True, stdout=printed)
    (line,) = printed.getvalue().splitlines()
    report: dict[str, Any] = json.loads(line)
    return report


def recording(folder: Path, content: str, name: str = "rows.json") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def row(number: int = 1, **changes: object) -> dict[str, object]:
    """A trade that every follower of the replay can read."""
    return {
        "proxyWallet": "0x" + "1e" * 20,
        "timestamp": 1_795_262_400 + number,
        "conditionId": "0x" + "c0" * 32,
        "size": 100,
        "transactionHash": f"0x{number:064x}",
        "price": 0.5,
        "asset": "7",
        "side": "BUY",
        **changes,
    }


@pytest.mark.parametrize("told", RECORDINGS, ids=lambda told: told[0].partition("/")[2])
def test_a_recording_is_replayed_with_its_exact_totals_and_a_second_time_without_effect(
    shared_data: Path, told: tuple[str, int, int, int, dict[str, int], int, int]
) -> None:
    name, rows, trades, repeated, others, groups, size = told
    report = replay(shared_data / name)
    read = {key: report[key] for key in KEYS[:5]}
    assert read == dict(zip(KEYS, (rows, trades, repeated, others, 0), strict=False))
    assert (report["groups"], report["signals"]) == (groups, groups)
    assert report["leader_size_micros"] == report["signal_size_micros"] == size
    assert sum(report["copies"].values()) == groups * FOLLOWERS == CopyTrade.objects.count()
    assert sum(report["skipped"].values()) == report["copies"].get("SKIPPED", 0)
    assert report["dropped"] == 0
    assert not CopyTrade.objects.filter(status__in=OPEN).exists()
    assert not Signal.objects.filter(done_at__isnull=True).exists()

    again = replay(shared_data / name)
    assert {key: again[key] for key in KEYS[:5]} == read
    assert (again["signals"], again["copies"], again["skipped"], again["dropped"]) == (0, {}, {}, 0)
    assert again["leader_size_micros"] == again["signal_size_micros"] == size
    assert CopyTrade.objects.count() == groups * FOLLOWERS


def test_the_report_has_the_keys_of_the_contract_and_something_was_copied(shared_data: Path) -> None:
    report = replay(shared_data / RECORDINGS[2][0], followers=8)
    assert tuple(report) == KEYS
    assert report["copies"]["EXECUTED"] > 0
    assert report["copies_per_s"] > 0
    assert tuple(report["stages_ms"]) == STAGES
    assert all(set(times) == {"count", "p50", "p99", "max"} for times in report["stages_ms"].values())
    assert all(times["count"] > 0 and times["max"] >= times["p99"] >= 0 for times in report["stages_ms"].values())


def test_a_file_given_twice_in_one_run_adds_nothing(shared_data: Path) -> None:
    path = shared_data / RECORDINGS[5][0]
    report = replay(path, path)
    assert (report["rows"], report["groups"], report["signals"]) == (4, 2, 2)
    assert report["leader_size_micros"] == report["signal_size_micros"] == RECORDINGS[5][6]


def test_more_followers_later_copy_what_comes_later(tmp_path: Path) -> None:
    assert replay(recording(tmp_path, json.dumps([row(1)])), followers=2)["copies"] == {"EXECUTED": 2}
    report = replay(recording(tmp_path, json.dumps([row(1), row(2)])), followers=3)
    assert (report["signals"], sum(report["copies"].values())) == (1, 3)


def test_one_unreadable_row_among_lines_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = [json.dumps(row(1)), "{not json", json.dumps(row(2, size=-1)), json.dumps(row(3))]
    report = replay(recording(tmp_path, "\n".join(lines), "rows.jsonl"))
    assert (report["rows"], report["trade_rows"], report["unreadable"]) == (4, 2, 2)
    assert (report["signals"], sum(report["copies"].values())) == (2, 2 * FOLLOWERS)


BAD_FILES = {
    "missing.json": (None, r"missing\.json: no such file"),
    "truncated.json": (json.dumps([row(), row(2)])[:-30], r"truncated\.json: .*is it truncated\?"),
    "shapeless.json": ('{"hello": "world"}', r"shapeless\.json: of an unknown shape"),
    "empty.json": ("", r"empty\.json: the file is empty"),
    "broken.jsonl": ("{\n{\n", r"broken\.jsonl line 1: .*no other line can be read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_a_sentence_naming_it_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    content, sentence = BAD_FILES[name]
    good, bad = recording(tmp_path, json.dumps([row()])), tmp_path / name
    if content is not None:
        bad.write_text(content, encoding="utf-8")
    with pytest.raises(CommandError, match=sentence):
        replay(good, bad)
    for model in (Leader, Follower, SignalGroup, Signal, CopyTrade):
        assert not model.objects.exists()


@pytest.mark.parametrize("followers", [0, -1, 100_001])
def test_an_absurd_number_of_followers_is_refused(tmp_path: Path, followers: int) -> None:
    with pytest.raises(CommandError, match="--followers must lie between 1 and 100000"):
        replay(recording(tmp_path, json.dumps([row()])), followers=followers)


def run_replay(database_url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", "replay", *words]
    environment = {**os.environ, "DATABASE_URL": database_url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_stdout_is_one_line_of_json_whatever_is_logged(database_url: str, tmp_path: Path) -> None:
    path = recording(tmp_path, json.dumps(row()) + "\n{not json\n", "rows.jsonl")
    ended = run_replay(database_url, str(path), "--followers", "2", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["unreadable"] == 1
    assert ended.stdout.count("\n") == 1
    assert "rows.jsonl line 2" in ended.stderr


def test_a_bad_file_exits_with_a_code_and_without_a_traceback(database_url: str, tmp_path: Path) -> None:
    ended = run_replay(database_url, str(tmp_path / "missing.json"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.strip() == "CommandError: missing.json: no such file"


def test_a_replay_that_is_interrupted_says_that_it_is_not_complete(database_url: str, tmp_path: Path) -> None:
    path = recording(tmp_path, json.dumps([row(1), row(3_600)]))
    command = [sys.executable, "manage.py", "replay", str(path), "--speed", "1", "--json"]
    environment = {**os.environ, "DATABASE_URL": database_url}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        give_up = time.monotonic() + 40
        while not Signal.objects.exists() and time.monotonic() < give_up:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=40)
    assert json.loads(output)["signals"] == 1
    assert process.returncode == 1
    assert errors.strip().splitlines()[-1].startswith("CommandError: The replay was stopped before everything")


def test_a_replay_beside_a_running_supervisor_is_refused_with_a_sentence(tmp_path: Path, settings: Any) -> None:
    settings.COPY_TRADING_LEASE_TTL_S = 1
    assert acquire(shard=0, of=1, holder="a supervisor", ttl_s=600)
    with pytest.raises(CommandError, match="shard 0/1 is held by another supervisor"):
        replay(recording(tmp_path, json.dumps([row()])))
    assert not Signal.objects.exists()
