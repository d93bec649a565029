"""`manage.py runsupervisor` as a real process: it drains on SIGTERM, survives kill -9, and shares no shard."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import Count
from structlog.testing import capture_logs

from copytrading.management.commands.runsupervisor import SOURCES, Command, _tell_of_open_orders, shard
from copytrading.models import CopyTrade, Follower, Leader, ShardLease, ShardStandby, Signal
from copytrading.operations.cast import seed_configs, seed_followers, seed_leaders
from copytrading.sources.silent import NOBODY_IS_HEARD
from copytrading.states import OPEN
from ledger.models import CashBalance
from ledger.units import ONE
from tests.conftest import ROOT
from tests.factories import CopyTradeFactory, SignalFactory

on_database = pytest.mark.django_db(transaction=True)

FOLLOWERS = 4
TTL_S, DRAIN_MS, WAIT_S = 5, 15_000, 40

# A short lease and expiry, so that a dead process is forgotten within seconds.
QUICK = {
    "COPY_TRADING_LEASE_TTL_S": str(TTL_S),
    "COPY_TRADING_EXPIRE_AFTER_S": "3",
    "COPY_TRADING_DRAIN_MS": str(DRAIN_MS),
    "LOG_LEVEL": "INFO",
}

RATE = 5
"""Of the sandbox's trades: some fifteen signals a second."""

Start = Callable[..., "subprocess.Popen[str]"]


def launch(database_url: str, *words: str, **more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "manage.py", "runsupervisor", *words]
    environment = {**os.environ, **QUICK, "DATABASE_URL": database_url, **more}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def ended(processes: "list[subprocess.Popen[str]]") -> Iterator[None]:
    """No process outlives its test."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def venue() -> Iterator[dict[str, Any]]:
    """What a sandbox without a chain says of itself; it trades on while the tests come and go."""
    words = ["runsandbox", "--json", "--chain", "off", "--delays", "0", "--rate", str(RATE)]
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "manage.py", *words], cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    with ended([process]):
        assert process.stdout is not None
        told: dict[str, Any] = json.loads(process.stdout.readline())
        yield told


@pytest.fixture
def start(database_url: str, venue: dict[str, Any]) -> Iterator[Start]:
    """Starts supervisors that hear the sandbox, with followers of all its leaders, on the test database."""
    leaders = seed_leaders({each["wallet"]: each["name"] for each in venue["leaders"]}, holdings_complete=False)
    names = [f"follower {number}" for number in range(FOLLOWERS)]
    seed_configs(leaders, seed_followers(names, label="supervised", cash_micros=10_000 * ONE))
    running: list[subprocess.Popen[str]] = []

    def begin(*words: str, **more: str) -> "subprocess.Popen[str]":
        running.append(launch(database_url, "--shard", "0/1", *words, **{**venue["environment"], **more}))
        return running[-1]

    with ended(running):
        yield begin


def wait_until(process: "subprocess.Popen[str]", what: Callable[[], bool]) -> None:
    """Look at the database until it is so; a process that ends meanwhile is a failure."""
    give_up = time.monotonic() + WAIT_S
    while not what():
        assert process.poll() is None, process.communicate()[1][-3_000:]
        assert time.monotonic() < give_up, "it took too long"
        time.sleep(0.05)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit code, standard output and error of a process that is about to end."""
    output, errors = process.communicate(timeout=WAIT_S)
    return process.returncode, output, errors


def is_settled() -> bool:
    undecided = Signal.objects.filter(done_at__isnull=True)
    return not undecided.exists() and not CopyTrade.objects.filter(status__in=OPEN).exists()


@on_database
def test_sigterm_drains_and_exits_zero_within_its_bound(start: Start) -> None:
    process = start("--json", PAPER_LATENCY_MS="100")
    wait_until(process, lambda: CopyTrade.objects.filter(status="EXECUTED").count() > 20)
    process.send_signal(signal.SIGTERM)
    asked_at = time.monotonic()
    code, output, errors = finish(process)
    assert code == 0, errors[-3_000:]
    assert time.monotonic() - asked_at < DRAIN_MS / 1_000 + 2
    (line,) = output.splitlines()
    report = json.loads(line)
    assert report["signals"] == Signal.objects.count() > 5
    assert sum(report["copies"].values()) == CopyTrade.objects.count() == report["signals"] * FOLLOWERS
    assert is_settled()
    assert ShardLease.objects.get().holder == ""
    # The last decisions may ask for markets, and nothing of the network is left open after them.
    assert "error" not in {json.loads(line)["level"] for line in errors.splitlines()}


@on_database
def test_after_kill_minus_nine_every_signal_is_decided_once_for_everybody(start: Start) -> None:
    killed = start(PAPER_LATENCY_MS="400")
    copies = CopyTrade.objects.values_list("status", flat=True)
    # Killed while orders are under way: each is for 400 ms.
    wait_until(killed, lambda: (found := list(copies.all())).count("EXECUTED") > 20 and "PENDING" in found)
    killed.kill()
    killed.wait()
    lost = set(CopyTrade.objects.filter(status="PENDING").values_list("pk", flat=True))
    assert lost

    again = start("--source", "none", "--json")
    wait_until(again, lambda: is_settled() and ShardLease.objects.get().term == 2)
    again.send_signal(signal.SIGTERM)
    code, _output, errors = finish(again)
    assert code == 0, errors[-3_000:]
    decided = CopyTrade.objects.values_list("signal_id").annotate(number=Count("id")).order_by()
    assert {number for _signal, number in decided} == {FOLLOWERS}
    assert {signal_id for signal_id, _number in decided} == set(Signal.objects.values_list("pk", flat=True))
    # The venue of the dead process knew them, the one of its successor does not: asked for, never sent again.
    found = CopyTrade.objects.filter(pk__in=lost)
    assert {(row.status, row.reasons[-1]["reason"]) for row in found} == {("FAILED", "EXPIRED")}
    assert {cash.reserved_micros for cash in CashBalance.objects.all()} == {0}


@on_database
@pytest.mark.postgres
def test_a_second_supervisor_stands_by_and_takes_over_within_ten_seconds_of_a_death(start: Start) -> None:
    first = start(COPY_TRADING_LEASE_TTL_S="8")
    wait_until(first, lambda: CopyTrade.objects.filter(status="EXECUTED").exists())
    second = start(COPY_TRADING_LEASE_TTL_S="8")
    wait_until(second, ShardStandby.objects.exists)
    first.kill()
    died_at = time.monotonic()
    wait_until(second, lambda: CopyTrade.objects.filter(lease_term=2, status="EXECUTED").exists())
    assert time.monotonic() - died_at < 10
    second.send_signal(signal.SIGTERM)
    code, _output, errors = finish(second)
    assert code == 0 and errors.count("Standing by: the shard is held.") == 1


@on_database
@pytest.mark.postgres
def test_an_old_holder_that_wakes_up_writes_no_copy_and_ends(start: Start) -> None:
    first = start()
    wait_until(first, lambda: CopyTrade.objects.filter(status="EXECUTED").count() > 10)
    second = start("--source", "none")
    wait_until(second, ShardStandby.objects.exists)
    first.send_signal(signal.SIGSTOP)
    wait_until(second, lambda: ShardLease.objects.get().term == 2)
    before = set(CopyTrade.objects.filter(lease_term=1).values_list("pk", flat=True))
    first.send_signal(signal.SIGCONT)
    code, _output, errors = finish(first)
    assert code == 1 and "took the shard over" in errors, errors[-3_000:]
    assert set(CopyTrade.objects.filter(lease_term=1).values_list("pk", flat=True)) <= before
    wait_until(second, is_settled)
    copies = CopyTrade.objects.values_list("signal_id").annotate(number=Count("id")).order_by()
    assert {number for _signal, number in copies} == {FOLLOWERS}
    second.send_signal(signal.SIGTERM)
    assert finish(second)[0] == 0


@pytest.mark.postgres
@on_database
def test_the_number_of_shards_changes_without_two_owners_or_none(start: Start) -> None:
    old = start()
    wait_until(old, lambda: ShardLease.objects.exclude(holder="").exists())
    new = [start("--shard", f"{index}/2") for index in range(2)]
    held = ShardLease.objects.exclude(holder="").order_by("shard").values_list("shard", "of")
    wait_until(new[0], lambda: list(held.all()) == [(0, 2), (1, 2)])
    wait_until(old, lambda: ShardStandby.objects.filter(of=1).exists())
    for process in (*new, old):
        process.send_signal(signal.SIGTERM)
    assert [finish(process)[0] for process in (*new, old)] == [0, 0, 0]


@on_database
def test_a_dry_run_plans_and_sends_nothing(start: Start) -> None:
    code, output, errors = finish(start("--dry-run", "--seconds", "4", "--json"))
    assert code == 0, errors[-3_000:]
    assert set(json.loads(output)["copies"]) == {"SKIPPED"}
    assert set(CopyTrade.objects.values_list("status", flat=True)) == {"SKIPPED"}
    planned = CopyTrade.objects.filter(order_hash__isnull=False)
    assert {row.reasons[0]["reason"] for row in planned} == {"DRY_RUN"}
    assert {cash.cash_micros for cash in CashBalance.objects.all()} == {10_000 * ONE}


@on_database
def test_a_recording_is_followed_at_its_own_pace_until_it_ends(start: Start, tmp_path: Path) -> None:
    trade = {
        "proxyWallet": Leader.objects.order_by("pk")[0].wallet,
        "conditionId": "0x" + "c0" * 32,
        "size": 100,
        "price": 0.5,
        "asset": "7",
        "side": "BUY",
    }
    rows = [{**trade, "timestamp": 1_795_262_400 + n, "transactionHash": f"0x{n:064x}"} for n in range(2)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    code, output, errors = finish(start("--source", "replay", "--file", str(path), "--json"))
    assert code == 0, errors[-3_000:]
    assert json.loads(output)["copies"]["EXECUTED"] > 0
    first, second = Signal.objects.order_by("pk")
    assert (second.detected_at - first.detected_at).total_seconds() > 0.5


@on_database
def test_without_a_source_nothing_is_invented_and_what_the_database_holds_is_worked_off(start: Start) -> None:
    leader, long_ago = Leader.objects.order_by("pk")[0], datetime(2020, 1, 1, tzinfo=UTC)
    waiting = SignalFactory(group__leader=leader, traded_at=long_ago, detected_at=long_ago, done_at=None)
    people = (Leader.objects.count(), Follower.objects.count())
    process = start("--source", "none", "--json", LOG_JSON="true")
    wait_until(process, is_settled)
    process.send_signal(signal.SIGTERM)
    code, output, errors = finish(process)
    assert code == 0, errors[-3_000:]
    assert Signal.objects.get() == waiting and (Leader.objects.count(), Follower.objects.count()) == people
    # An old signal is not traded: what was heard before is judged like what is heard now.
    assert list(CopyTrade.objects.values_list("status", flat=True)) == ["SKIPPED"] * FOLLOWERS
    assert json.loads(output)["signals"] == 0
    told = [json.loads(line) for line in errors.splitlines()]
    assert [line["level"] for line in told if line["event"] == NOBODY_IS_HEARD] == ["warning"]


def test_the_default_is_to_hear_the_venue() -> None:
    parser = Command().create_parser("manage.py", "runsupervisor")
    assert parser.parse_args([]).source == "live"
    told = " ".join(parser.format_help().split())
    assert all(name in told.partition("--source")[2] for name in SOURCES)


@pytest.mark.parametrize(
    ("database_url", "sentence"),
    [
        ("sqlite:///{folder}/two.sqlite3", "Several shards need Postgres: SQLite has one writer. Set DATABASE_URL."),
        (
            "postgres://nobody@127.0.0.1:1/nothing",
            "Several shards need Redis: memory is not shared between processes. Set REDIS_URL.",
        ),
    ],
    ids=["sqlite", "memory"],
)
def test_several_shards_without_what_they_share_are_refused(tmp_path: Path, database_url: str, sentence: str) -> None:
    process = launch(database_url.format(folder=tmp_path), "--shard", "0/2", REDIS_URL="")
    with ended([process]):
        assert finish(process) == (1, "", f"CommandError: {sentence}\n")


@pytest.mark.parametrize(
    ("text", "parsed"), [("0/1", (0, 1)), ("1/2", (1, 2)), ("255/256", (255, 256)), ("00/01", (0, 1))]
)
def test_a_shard_is_read(text: str, parsed: tuple[int, int]) -> None:
    assert shard(text) == parsed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        *((text, "is not of the form i/n, such as 0/1") for text in ("", "0", "/", "0/", "/1", "a/b", "0/1/2", "-1/2")),
        *((text, "is not of the form i/n, such as 0/1") for text in (" 0/1", "0/1 ", "0.0/1", "+0/1", "\u0660/\u0661")),
        *((text, "i must lie below n, and n between 1 and 256") for text in ("0/0", "1/1", "2/1", "0/257")),
    ],
)
def test_a_bad_shard_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=f"argument --shard: .*{sentence}"):
        call_command("runsupervisor", f"--shard={text}")


@on_database
@pytest.mark.parametrize(
    ("mode", "real", "told"), [("EXCHANGE", False, [1]), ("EXCHANGE", True, []), ("PAPER", False, [])]
)
def test_orders_that_nobody_asks_about_are_told_of(mode: str, real: bool, told: list[int], settings: Any) -> None:
    CopyTradeFactory(pending=True, mode=mode)
    CopyTradeFactory(mode=mode)
    settings.ENABLE_REAL_TRADING = real
    with capture_logs() as said:
        _tell_of_open_orders()
    assert [each["orders"] for each in said if each["log_level"] == "error"] == told


@on_database
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--source", "replay"], "--source replay needs at least one --file"),
        (["--source", "replay", "--file", "missing.json"], "missing.json: no such file"),
    ],
)
def test_a_bad_option_is_a_sentence_and_nothing_is_begun(words: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("runsupervisor", "--shard", "0/1", *words)
    assert not ShardLease.objects.exists()
    assert not Leader.objects.exists() and not Follower.objects.exists()
