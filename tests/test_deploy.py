"""The examples of docs/deploy: every command that they name exists with those options, and every setting is one."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from daphne.cli import CommandLineInterface
from django.conf import settings
from django.core.management import load_command_class
from django.core.management.base import CommandError

from tests.conftest import ROOT

DEPLOY = ROOT / "docs" / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
INSTALLED = "/opt/slipstream"
PYTHON, DAPHNE = f"{INSTALLED}/.venv/bin/python", f"{INSTALLED}/.venv/bin/daphne"

KNOWN = {name for each in settings.SETTINGS for name in (each.name, f"{each.name}_FILE")}
DRAIN_S = int(next(each.default for each in settings.SETTINGS if each.name == "COPY_TRADING_DRAIN_MS")) / 1_000

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def directives(unit: Path) -> list[tuple[str, str]]:
    """The unit's lines as (name, value); a name may stand there more than once."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [(name, value) for name, sign, value in (line.partition("=") for line in lines) if sign and name[:1] != "#"]


def supervisord() -> ConfigParser:
    parser = ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    parser.read(DEPLOY / "supervisord.conf", encoding="utf-8")
    return parser


def programs() -> list[str]:
    return [name for name in supervisord().sections() if name.startswith("program:")]


def commands() -> Iterator[str]:
    """Every command line of the examples, for shard 1 where one is counted."""
    for unit in UNITS:
        yield from (v.replace("%i", "1") for name, v in directives(unit) if name in ("ExecStart", "ExecStartPre"))
    yield from (supervisord()[name]["command"].replace("%(process_num)d", "1") for name in programs())


def parse(command: str) -> None:
    """Parse the words as the program itself would. Raises for a command or option that it does not have."""
    program, *words = shlex.split(command)
    if (program, words[0]) == ("/bin/sh", "-c"):
        command, sentence = words[1].split(" || ")
        assert sentence == '{ echo "The database is not migrated: run manage.py migrate." >&2; exit 1; }'
        parse(command)
        return
    if program == DAPHNE:
        assert CommandLineInterface().parser.parse_args(words).application == "config.asgi:application"
        return
    assert (program, words[0]) == (PYTHON, "manage.py")
    app = "django.core" if words[1] in ("check", "migrate") else "copytrading"
    load_command_class(app, words[1]).create_parser("manage.py", words[1]).parse_args(words[2:])


def test_every_command_exists_with_its_options() -> None:
    found = list(commands())
    assert len(found) == 10
    for command in found:
        parse(command)


@pytest.mark.parametrize("wrong", ["manage.py runsupervisor --shards 0/1", "manage.py runsupervisors", "other.py"])
def test_command_rule_can_fail(wrong: str) -> None:
    with pytest.raises((SystemExit, CommandError, ModuleNotFoundError, AssertionError)):
        parse(f"{PYTHON} {wrong}")


def test_two_processes_of_a_shard_on_one_machine_have_ports_of_their_own() -> None:
    ports = [word for command in commands() for word in re.findall(r"runsupervisor.*", command)]
    assert sorted("--metrics-port 9201" in each for each in ports) == [False, False, True, True]
    assert "SUPERVISOR_METRICS_PORT=9100" in environment_lines()


def test_what_supervisord_writes_into_and_reads_is_made_by_the_manual() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    text = (DEPLOY / "supervisord.conf").read_text(encoding="utf-8")
    folders = set(re.findall(r"=(/(?:run|var)/[a-z/]+)/[^/]+$", text, re.MULTILINE))
    assert folders == {"/run/slipstream", "/var/log/slipstream"}
    assert f"install -d -o slipstream -g slipstream -m 0750 {' '.join(sorted(folders))}\n" in manual
    secrets = re.findall(r'_FILE="(/etc/slipstream/[a-z_]+)"', text)
    assert len(secrets) == 3
    for path in secrets:
        assert f"install -o root -g slipstream -m 0640 /dev/null {path}\n" in manual


def test_pages_say_that_the_database_is_not_migrated(tmp_path: Path) -> None:
    (before,) = [value for name, value in directives(DEPLOY / "slipstream-web.service") if "migrate" in value]
    command = before.replace(f"{INSTALLED}/.venv/bin/python", sys.executable)
    url = f"sqlite:///{tmp_path}/empty.sqlite3"
    environment = {**os.environ, "DATABASE_URL": url}
    found = subprocess.run(shlex.split(command), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (1, "The database is not migrated: run manage.py migrate.\n")


def named_settings() -> list[str]:
    texts = [value for unit in UNITS for name, value in directives(unit) if name == "Environment"]
    texts.append(supervisord()["supervisord"]["environment"])
    texts += [line for line in environment_lines() if not line.startswith("#")]
    return [name for text in texts for name in re.findall(r"(?:^|[ ,])([A-Z_]+)=", text)]


def environment_lines() -> list[str]:
    return (DEPLOY / "slipstream.env").read_text(encoding="utf-8").splitlines()


def test_every_setting_that_they_name_is_one() -> None:
    found = named_settings()
    assert len(found) > 12
    assert [name for name in found if name not in KNOWN] == []


def test_they_wait_longer_than_the_engine_drains() -> None:
    waits = [
        int(value)
        for unit in UNITS
        for name, value in directives(unit)
        if name == "TimeoutStopSec" and "web" not in unit.name
    ]
    waits += [int(supervisord()[name]["stopwaitsecs"]) for name in programs() if "web" not in name]
    assert len(waits) == 4 and all(wait > DRAIN_S + 5 for wait in waits)


def test_units_start_again_for_ever_and_have_no_rights() -> None:
    for unit in UNITS:
        found = directives(unit)
        for wanted in (("Restart", "always"), ("StartLimitIntervalSec", "0"), ("NoNewPrivileges", "yes")):
            assert wanted in found, unit.name
    for name in programs():
        assert supervisord()[name]["autorestart"] == "true"


def verified(folder: Path, **replaced: str) -> "subprocess.CompletedProcess[str]":
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace(f"{INSTALLED}/.venv/bin/", f"{Path(sys.executable).parent}/")
        for old, new in {INSTALLED: str(ROOT), **replaced}.items():
            text = text.replace(old, new)
        (folder / unit.name.replace("@", "@0")).write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", *map(str, sorted(folder.iterdir()))]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    found = verified(tmp_path)
    assert (found.returncode, found.stderr) == (0, "")


@needs_systemd
def test_systemd_would_refuse_a_wrong_unit(tmp_path: Path) -> None:
    assert "Restartt" in verified(tmp_path, Restart="Restartt").stderr


def test_their_settings_pass_the_deployment_check(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("0123456789abcdef" * 4 + "\n", encoding="utf-8")
    (tmp_path / "database_url").write_text("postgres://slipstream:secret@127.0.0.1/slipstream\n", encoding="utf-8")
    given = dict(line.split("=", 1) for line in environment_lines() if line and not line.startswith("#"))
    (tmp_path / "rpc_urls").write_text("https://node.example/key,wss://node.example/key\n", encoding="utf-8")
    names = ("secret_key", "database_url", "rpc_urls")
    files = {f"{name.upper()}_FILE": str(tmp_path / name) for name in names}
    inherited = {name: value for name, value in os.environ.items() if name not in KNOWN}
    found = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**inherited, **given, **files, "SUPERVISOR_SHARD_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
