"""Commands on a database that is not migrated, or not there: one sentence, no traceback, nothing written."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from copytrading.console import require_migrated
from tests.conftest import ROOT
from tests.world import LENA

NOT_MIGRATED = "CommandError: The database is not migrated: run `manage.py migrate`.\n"


def run(words: Sequence[str], url: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "REDIS_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["follow", LENA],
        ["follow", "--clean"],
        ["runsupervisor"],
        ["replay", "FILE"],
        ["loadmarkets", "FILE"],
        ["benchmark", "cost"],
        ["verify", "prewrite", "--read-only"],
    ],
    ids=" ".join,
)
def test_database_that_is_not_migrated_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[]", encoding="utf-8")
    given = [str(tmp_path / "rows.json") if word == "FILE" else word for word in words]
    found = run(given, f"sqlite:///{tmp_path}/empty.sqlite3")
    assert (found.returncode, found.stdout, found.stderr) == (1, "", NOT_MIGRATED)


def test_database_that_does_not_answer_is_one_sentence() -> None:
    found = run(["follow", LENA], "postgres://nobody@127.0.0.1:1/nothing")
    sentence = "CommandError: The database does not answer (OperationalError); see DATABASE_URL.\n"
    assert (found.returncode, found.stdout, found.stderr) == (1, "", sentence)


@pytest.mark.django_db
def test_migrated_database_passes() -> None:
    require_migrated()
