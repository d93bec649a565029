"""`manage.py settings`: what it lists, that it shows no secret, and that the manual's table is the one it makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from copytrading.management.commands.settings import BEGIN, END, table
from tests.conftest import ROOT

MANUAL = ROOT / "docs" / "operations.md"


def test_manual_is_up_to_date() -> None:
    call_command("settings", "--check", str(MANUAL))


def test_table_has_a_row_for_every_setting() -> None:
    made = table(settings.SETTINGS)
    assert [each.name for each in settings.SETTINGS if made.count(f"| `{each.name}`") != 1] == []
    assert len(settings.SETTINGS) > 40


def test_outdated_table_is_refused_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "manual.md"
    path.write_text(f"# Before\n{BEGIN}\noutdated\n{END}\nafter\n", encoding="utf-8")
    with pytest.raises(CommandError, match="is out of date; run"):
        call_command("settings", "--check", str(path))
    call_command("settings", "--write", str(path))
    call_command("settings", "--check", str(path))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Before\n") and text.endswith("\nafter\n") and "outdated" not in text


@pytest.mark.parametrize("text", ["nothing", BEGIN, END, f"{END} {BEGIN}"])
def test_file_without_a_place_for_the_table_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manual.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CommandError, match="has no place for the table"):
        call_command("settings", "--write", str(path))
    assert path.read_text(encoding="utf-8") == text


def test_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("settings", "--check", str(tmp_path / "missing"))


@pytest.mark.parametrize("how", [[], ["--json"], ["--markdown"]])
def test_values_are_told_and_secrets_are_not(how: list[str]) -> None:
    secret = {
        "SECRET_KEY": "hunter2-the-key",
        "DATABASE_URL": "postgres://olga:hunter2@db/x",
        "REDIS_URL": "redis://:hunter2@h",
    }
    output = subprocess.check_output(
        [sys.executable, "manage.py", "settings", *how],
        cwd=ROOT,
        env={**os.environ, **secret, "COPY_TRADING_DRAIN_MS": "12345"},
        text=True,
    )
    assert "hunter2" not in output
    assert ("12345" in output) is (how != ["--markdown"])
    if how == ["--json"]:
        found = {each["name"]: each for each in json.loads(output)}
        assert (found["SECRET_KEY"]["value"], found["SECRET_KEY"]["secret"]) == ("(set)", True)
        drain = found["COPY_TRADING_DRAIN_MS"]
        assert (drain["value"], drain["default"], drain["unit"], drain["given"]) == (
            "12345",
            "10000",
            "milliseconds",
            True,
        )
