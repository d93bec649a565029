"""How `manage.py runsupervisor` begins: the self-test first, the signs of life from the beginning, the shard last."""

import json
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from django.apps import apps

from copytrading.models import ShardLease
from copytrading.operations.leases import acquire
from copytrading.readiness import known_migrations
from copytrading.states import Status
from tests.commands.test_runsupervisor import Start, ended, finish, launch, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start(database_url: str) -> Iterator[Start]:
    """Starts supervisors without followers on the test database; their shard comes from the environment."""
    running: list[subprocess.Popen[str]] = []

    def begin(*words: str, **more: str) -> "subprocess.Popen[str]":
        running.append(launch(database_url, *words, **{"LOG_JSON": "true", **more}))
        return running[-1]

    with ended(running):
        yield begin


def rows() -> dict[str, int]:
    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ask(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 while nobody listens."""
    asking = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        asking.request("GET", path)
        answer = asking.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        asking.close()


def lines(errors: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in errors.splitlines() if line.startswith("{")]


def test_selftest_exit_tests_and_ends(start: Start) -> None:
    before = rows()
    code, output, errors = finish(start(SUPERVISOR_SELFTEST_EXIT="true"))
    assert (code, output) == (0, ""), errors
    (told,) = lines(errors)
    assert told["event"] == "The self-test passed; nothing of it was written."
    assert isinstance(told["milliseconds"], dict) and "send" in told["milliseconds"]
    assert rows() == before


@pytest.mark.parametrize("name", ["SUPERVISOR_SELFTEST", "SUPERVISOR_SELFTEST_EXIT"])
def test_failed_selftest_keeps_the_supervisor_from_starting(start: Start, tmp_path: Path, name: str) -> None:
    broken = tmp_path / "tables_lost.sqlite3"
    with closing(sqlite3.connect(broken)) as file:
        file.execute("CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied TEXT)")
        file.executemany("INSERT INTO django_migrations (app, name) VALUES (?, ?)", known_migrations())
        file.commit()
    code, output, errors = finish(start(**{name: "true", "DATABASE_URL": f"sqlite:///{broken}", "REDIS_URL": ""}))
    assert (code, output) == (1, "")
    sentence = "CommandError: The self-test failed at the step `begin`: "
    assert errors.splitlines()[-1].startswith(sentence)


def test_after_a_selftest_the_engine_starts_and_counts_from_zero(start: Start) -> None:
    port = free_port()
    process = start(SUPERVISOR_SELFTEST="true", SUPERVISOR_METRICS_PORT=str(port))
    wait_until(process, lambda: ask(port, "/readyz")[0] == 200)
    metrics = ask(port, "/metrics")[1]
    assert "slipstream_signals_total 0.0" in metrics
    counted = set(re.findall(r'slipstream_copies_total\{status="(\w+)"\} (\S+)', metrics))
    assert counted == {(status.value, "0.0") for status in Status}
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


def test_it_is_alive_before_it_holds_the_shard_and_ready_afterwards(start: Start) -> None:
    other = acquire(shard=0, of=1, holder="other", ttl_s=600)
    assert other is not None
    port = free_port()
    process = start("--metrics-port", str(port), COPY_TRADING_LEASE_TTL_S="60")
    wait_until(process, lambda: ask(port, "/healthz")[0] == 200)
    wait_until(process, lambda: json.loads(ask(port, "/readyz")[1])["lease"] == "standing by")
    assert ask(port, "/readyz")[0] == 503
    ShardLease.objects.update(holder="")
    wait_until(process, lambda: ask(port, "/readyz")[0] == 200)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


def test_sigterm_while_another_holds_the_shard_ends_at_once(start: Start) -> None:
    acquire(shard=0, of=1, holder="other", ttl_s=600)
    port = free_port()
    process = start("--metrics-port", str(port), COPY_TRADING_LEASE_TTL_S="600")
    wait_until(process, lambda: ask(port, "/healthz")[0] == 200)
    process.send_signal(signal.SIGTERM)
    code, _output, errors = finish(process)
    assert code == 0
    assert lines(errors)[-1]["event"] == "Stopped while another supervisor held the shard."


def test_port_in_use_is_one_sentence_and_nothing_is_begun(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output, errors = finish(start("--metrics-port", str(port)))
    assert (code, output) == (1, "")
    sentence = f"Port {port} of 127.0.0.1 cannot be served: Address already in use. Choose another --metrics-port."
    assert errors == f"CommandError: {sentence}\n"
    assert not ShardLease.objects.exists()


@pytest.mark.postgres
def test_shard_comes_from_the_environment_and_its_port_is_counted_from_it(start: Start) -> None:
    port = free_port()
    environment = {"SUPERVISOR_SHARD_INDEX": "1", "SUPERVISOR_SHARD_COUNT": "2"}
    process = start(SUPERVISOR_METRICS_PORT=str(port - 1), **environment)
    wait_until(process, lambda: ask(port, "/readyz")[0] == 200)
    assert list(ShardLease.objects.exclude(holder="").values_list("shard", "of")) == [(1, 2)]
    assert json.loads(ask(port, "/readyz")[1])["redis"] == "ok"
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0
