"""What a log line looks like: a sentence on a terminal, JSON elsewhere, never a secret, always on stderr."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from config.logs import configure_logs, human_line
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests find logging as the settings had set it up."""
    yield
    configure_logs(level="INFO", as_json=None)


def human(**fields: object) -> str:
    return human_line(None, "info", {"timestamp": "2026-11-21T12:00:01.250123Z", "level": "info", **fields})


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"event": "Shard taken.", "shard": "0/1", "term": 3}, "12:00:01.250 INFO     Shard taken.  shard=0/1 term=3"),
        ({"event": "Done."}, "12:00:01.250 INFO     Done."),
        ({"event": "Why.", "why": "two words", "no": None}, '12:00:01.250 INFO     Why.  why="two words"'),
        (
            {"event": "Deep.", "a": {"p50": 1, "p99": 2}, "b": [1, 2]},
            "12:00:01.250 INFO     Deep.  a=(p50 1, p99 2) b=1,2",
        ),
        ({"event": "A\x1b[31m", "title": "B\nC"}, r"12:00:01.250 INFO     A\x1b[31m  title=B\nC"),
        ({"event": "No.", "exception": "Traceback\n  x"}, "12:00:01.250 INFO     No.\nTraceback\n  x"),
    ],
)
def test_human_line(fields: dict[str, object], line: str) -> None:
    assert human(**fields) == line


def test_both_loggers_write_json_of_one_shape(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="INFO", as_json=True, secrets={"hunter22"})
    structlog.get_logger().warning("One hunter22.", action="a")
    logging.getLogger("lib").warning("Two %s.", "hunter22")
    output = capsys.readouterr()
    first, second = (json.loads(line) for line in output.err.splitlines())
    assert output.out == "" and list(first)[:3] == list(second)[:3] == ["timestamp", "level", "event"]
    assert (first["event"], first["level"], first["action"]) == ("One ***.", "warning", "a")
    assert (second["event"], second["level"], second["logger"]) == ("Two ***.", "warning", "lib")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", second["timestamp"])


@pytest.mark.parametrize("as_json", [True, False])
def test_exception_is_told_without_its_secret(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    configure_logs(level="INFO", as_json=as_json)
    try:
        raise ValueError("postgres://olga:hunter22@db")
    except ValueError as error:
        structlog.get_logger().error("It failed.", exc_info=error)
        logging.getLogger("lib").exception("It failed too.")
    told = capsys.readouterr().err
    assert told.count("ValueError: postgres://olga:***@db") == 2
    assert "hunter22" not in told


def test_plain_handler_that_a_server_has_set_up_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(before)
    configure_logs(level="INFO", as_json=True)
    logging.getLogger("daphne.server").info("Listening.")
    assert before not in logging.getLogger().handlers
    assert len(capsys.readouterr().err.splitlines()) == 1


def asked_and_told(client: Client, capsys: pytest.CaptureFixture[str], path: str, **more: str) -> list[dict[str, str]]:
    """The lines that a question of the web leaves in the log."""
    configure_logs(level="INFO", as_json=True)
    capsys.readouterr()
    client.get(path, **more)  # type: ignore[arg-type]
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_wrong_host_is_one_warning_without_a_traceback(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    (told,) = asked_and_told(client, capsys, "/healthz", HTTP_HOST="scanner.example")
    assert (told["level"], told["logger"]) == ("warning", "django.security.DisallowedHost")
    assert "scanner.example" in told["event"] and "exception" not in told


@pytest.mark.django_db
def test_forbidden_page_is_one_warning_without_a_traceback(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.force_login(get_user_model().objects.create_user("fay", is_staff=True))
    (told,) = asked_and_told(client, capsys, reverse("admin:auth_user_changelist"))
    assert (told["level"], told["event"]) == ("warning", "Forbidden (Permission denied): /admin/auth/user/")
    assert "exception" not in told


def test_what_is_our_own_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="ERROR", as_json=True)
    error = ValueError("broken")
    for status in (500, 400):
        logging.getLogger("django.request").error("A page.", exc_info=error, extra={"status_code": status})
    (told,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (told["level"], told["event"]) == ("error", "A page.") and "ValueError: broken" in told["exception"]


def test_less_important_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="WARNING", as_json=True)
    structlog.get_logger().info("No.")
    logging.getLogger("lib").info("No.")
    assert capsys.readouterr().err == ""


SAY = "import django; django.setup(); import structlog; structlog.get_logger().info('Hello.', shard='0/1')"


def test_web_process_begins_without_a_warning() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import config.asgi"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""


def said(stderr: int, **more: str) -> None:
    environment = {**os.environ, "DATABASE_URL": "sqlite:///unused.sqlite3", **more}
    subprocess.run([sys.executable, "-c", SAY], cwd=ROOT, env=environment, stderr=stderr, check=True)


@pytest.mark.parametrize(
    ("log_json", "terminal", "pattern"),
    [
        ("auto", True, r"\d\d:\d\d:\d\d\.\d{3} \x1b\[32mINFO    \x1b\[0m Hello\.  shard=0/1\r?\n"),
        ("auto", False, r'\{.*"event": ?"Hello\.".*\}\n'),
        ("true", True, r'\{.*"event": ?"Hello\.".*\}\r?\n'),
        ("false", False, r"\d\d:\d\d:\d\d\.\d{3} INFO     Hello\.  shard=0/1\n"),
    ],
)
def test_terminal_and_setting_choose_the_form(log_json: str, terminal: bool, pattern: str) -> None:
    ours, theirs = pty.openpty() if terminal else os.pipe()
    said(theirs, LOG_JSON=log_json)
    text = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert re.fullmatch(pattern, text), text


def test_colours_can_be_refused() -> None:
    ours, theirs = pty.openpty()
    said(theirs, NO_COLOR="1")
    assert "\x1b" not in os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
