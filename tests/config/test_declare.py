"""Settings are declared with what they mean, and wrong or unknown ones stop the boot with a sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.declare import Declarations
from tests.conftest import ROOT


def number(text: str | None, **more: Any) -> int:
    environment = {} if text is None else {"QUEUE_MAX": text}
    return Declarations(environment).number(
        "QUEUE_MAX", **{"default": 7, "unit": "signals", "meaning": "Waiting."} | more
    )


def switch(text: str) -> bool:
    return Declarations({"DRY": text}).switch("DRY", default=False, meaning="Sends nothing.")


@pytest.mark.parametrize(("text", "value"), [(None, 7), ("0", 0), (" 12 ", 12), ("-1", -1)])
def test_number(text: str | None, value: int) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "1.5", "1e3", "ten", "0x10", "1_000", "٣", "9" * 16])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="QUEUE_MAX must be a whole number, not "):
        number(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("YES", True),
        ("1", True),
        ("on", True),
        ("false", False),
        ("No", False),
        ("0", False),
        ("", False),
    ],
)
def test_switch(text: str, value: bool) -> None:
    assert switch(text) is value


@pytest.mark.parametrize("text", ["ture", "2", "enabled"])
def test_word_that_is_neither_true_nor_false_is_refused(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"DRY must be true or false, not '{text}'"):
        switch(text)


@pytest.mark.parametrize(("text", "value"), [("auto", None), ("AUTO", None), ("true", True), ("false", False)])
def test_switch_or_auto(text: str, value: bool | None) -> None:
    assert Declarations({"JSON": text}).switch_or_auto("JSON", meaning="How.") is value


def test_choice_is_one_of_its_words() -> None:
    def level(text: str) -> str:
        return Declarations({"LEVEL": text}).choice(
            "LEVEL", default="INFO", options=("DEBUG", "INFO"), meaning="Which."
        )

    assert level("debug") == "DEBUG"
    with pytest.raises(ImproperlyConfigured, match="LEVEL must be one of DEBUG, INFO, not 'LOUD'"):
        level("loud")


def test_words_are_split_at_commas_and_trimmed() -> None:
    assert Declarations({"HOSTS": "a, b,,c "}).words("HOSTS", default=(), meaning="Names.") == ["a", "b", "c"]


@pytest.mark.parametrize("address", ["nothing", "mysql://u:topsecret@h/d", "postgres://u:topsecret@h:port/d", ""])
def test_address_of_no_known_database_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_URL must be sqlite:///PATH or postgres://") as caught:
        Declarations({"DATABASE_URL": address}).database(
            "DATABASE_URL", default="sqlite:///x", shown_default="x", meaning="Where."
        )
    assert "topsecret" not in str(caught.value)


def test_file_wins_and_its_line_break_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("from a file\n", encoding="utf-8")
    declare = Declarations({"KEY": "from the environment", "KEY_FILE": str(path)})
    assert declare.secret("KEY", default="", shown_default="empty", meaning="Signs.") == "from a file"


def test_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    declare = Declarations({"KEY_FILE": str(tmp_path / "missing")})
    with pytest.raises(ImproperlyConfigured, match="KEY_FILE names a file that cannot be read: No such file"):
        declare.secret("KEY", default="", shown_default="empty", meaning="Signs.")


def test_secret_is_never_shown() -> None:
    declare = Declarations({"KEY": "hunter2"})
    declare.secret("KEY", default="dev", shown_default="a public key", meaning="Signs.")
    (found,) = declare.settings
    assert found.secret and found.shown == "(set)"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"unit": " "}, "QUEUE_MAX is declared without a unit."),
        ({"meaning": ""}, "QUEUE_MAX is declared without a meaning."),
    ],
)
def test_nothing_is_declared_without_unit_and_meaning(more: dict[str, str], sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence):
        number("1", **more)


def test_nothing_is_declared_twice() -> None:
    declare = Declarations({})
    declare.text("NAME", default="", meaning="One.")
    with pytest.raises(ImproperlyConfigured, match="NAME is declared twice"):
        declare.text("NAME", default="", meaning="Two.")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("PAPER_LATNCY_MS", r"PAPER_LATNCY_MS is no setting; did you mean PAPER_LATENCY_MS\?"),
        ("PAPER_LATENCY_MS_FLIE", r"PAPER_LATENCY_MS_FLIE is no setting; did you mean PAPER_LATENCY_MS_FILE\?"),
        ("PAPER_ZZZZZZ", "PAPER_ZZZZZZ is no setting; `manage.py settings` lists what there is."),
    ],
)
def test_unknown_name_is_refused_with_the_nearest_known_one(name: str, sentence: str) -> None:
    declare = Declarations({name: "1", "PATH": "x", "PAPER_OF_ANOTHER": "1"})
    declare.number("PAPER_LATENCY_MS", default=0, unit="milliseconds", meaning="Before it answers.")
    with pytest.raises(ImproperlyConfigured, match=sentence):
        declare.refuse_unknown(("PAPER_",), spared=frozenset({"PAPER_OF_ANOTHER"}))


NEAR_MISSES = {
    "ALLOWED_HOST": "ALLOWED_HOSTS",
    "DATBASE_URL": "DATABASE_URL",
    "DATABASE_URI": "DATABASE_URL",
    "LOG_LEVL": "LOG_LEVEL",
    "SECURE_PROXI": "SECURE_PROXY",
    "SUPERVISR_METRICS_PORT": "SUPERVISOR_METRICS_PORT",
    "COPYTRADING_DRY_RUN": "COPY_TRADING_DRY_RUN",
    "SECRET_KEY_FLE": "SECRET_KEY_FILE",
    "DEBUGG": "DEBUG",
}

# What machines, shells, CI and other programs set; every name of it is somebody else's.
ORDINARY = re.findall(
    r"\S+",
    """
PATH HOME USER SHELL LANG LC_ALL TERM PWD TMPDIR EDITOR PAGER LOGNAME MAIL HOSTNAME DISPLAY LOGLEVEL LOG_FILE LOG_DIR
PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE POSTGRES_PASSWORD DATABASE_USER DATABASE_HOST DATABASE_PORT DATABASE_NAME
REDIS_HOST REDIS_PORT REDIS_DB REDIS_TLS REDIS_PASSWORD REDIS_SERVICE_HOST REDIS_PORT_6379_TCP REDIS_MASTER
CI GITHUB_ACTIONS GITHUB_TOKEN GITHUB_REPOSITORY RUNNER_DEBUG ACTIONS_STEP_DEBUG CI_DEBUG_TRACE GITLAB_CI BUILD_NUMBER
HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy VIRTUAL_ENV PYTHONPATH PYTHONWARNINGS DJANGO_SETTINGS_MODULE PIP_INDEX_URL
NPM_CONFIG_LOGLEVEL RUST_LOG DD_LOG_LEVEL SECRET_KEY_BASE AWS_SECRET_ACCESS_KEY TEST_DATABASE_URL
DBUS_SESSION_BUS_ADDRESS DEBUGINFOD_URLS DEBUGGER DEBIAN_FRONTEND NODE_DEBUG DEBUG_COLORS SUPERVISOR_ENABLED
NOTIFY_SOCKET INVOCATION_ID CREDENTIALS_DIRECTORY JOURNAL_STREAM LS_COLORS SHLVL OLDPWD _ SSH_AUTH_SOCK
XDG_RUNTIME_DIR COLORTERM
""",
)


def near_misses_of(*names: str) -> None:
    """Look at these variables as the settings do at theirs."""
    declare = Declarations(dict.fromkeys(names, "x"))
    for each in settings.SETTINGS:
        declare._settings[each.name] = each
    declare.refuse_near_misses(spared=frozenset({"LOGLEVEL", "SUPERVISOR_ENABLED"}))


@pytest.mark.parametrize(("wrong", "right"), NEAR_MISSES.items())
def test_near_miss_of_any_setting_is_refused(wrong: str, right: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"^{wrong} is no setting; did you mean {right}\?$"):
        near_misses_of(wrong)


def test_names_of_others_pass() -> None:
    near_misses_of(*ORDINARY, *(each.name for each in settings.SETTINGS), "SECRET_KEY_FILE")


UNITS = {
    "_MS": {"milliseconds"},
    "_S": {"seconds"},
    "_BPS": {"of 10,000 orders", "basis points", "basis points of the price"},
    "_USD": {"dollars"},
    "_SHARES": {"shares"},
    "_THREADS": {"threads"},
}


def test_every_setting_of_ours_is_declared_and_every_declared_one_exists() -> None:
    declared = {each.name for each in settings.SETTINGS}
    ours = {name for name in dir(settings) if name.startswith(("COPY_TRADING_", "PAPER_", "SUPERVISOR_", "REDIS_"))}
    assert ours - declared == set()
    assert [name for name in sorted(declared - {"DATABASE_URL"}) if not hasattr(settings, name)] == []


def test_every_name_ends_in_its_unit() -> None:
    for each in settings.SETTINGS:
        for suffix, units in UNITS.items():
            if each.kind == "whole number" and each.name.endswith(suffix):
                assert each.unit in units, each.name


def manage(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("COPY_TRADING_DRY_RUN", "ture", "COPY_TRADING_DRY_RUN must be true or false, not 'ture'."),
        ("SECRET_KEY", "", "SECRET_KEY is empty; set it to a long random text, or leave it out to try things."),
        ("COPY_TRADING_LEASE_TTL_S", "4", "COPY_TRADING_LEASE_TTL_S must be at least 5 seconds."),
        (
            "SUPERVISOR_SHARD_INDEX",
            "1",
            "SUPERVISOR_SHARD_INDEX must lie below SUPERVISOR_SHARD_COUNT, and not below 0.",
        ),
        (
            "COPY_TRADING_MAX_PER_TRADE",
            "5",
            "COPY_TRADING_MAX_PER_TRADE is no setting; did you mean COPY_TRADING_MAX_PER_",
        ),
        ("ALLOWED_HOST", "x", "ALLOWED_HOST is no setting; did you mean ALLOWED_HOSTS?"),
    ],
)
def test_wrong_setting_stops_the_boot_with_one_line(name: str, value: str, sentence: str) -> None:
    ended = manage("check", **{name: value})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Settings: {sentence}") and len(ended.stderr.splitlines()) == 1


def test_what_supervisord_tells_its_children_is_no_mistake() -> None:
    assert manage("check", SUPERVISOR_ENABLED="1", SUPERVISOR_PROCESS_NAME="slipstream").returncode == 0
