"""`manage.py benchmark soak`: a short one with faults ends well, and what is lost or grows is a failure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from copytrading.benchmarks.first_seen import shares
from copytrading.benchmarks.runs import Unfinished
from copytrading.benchmarks.soak import judged
from tests.conftest import ROOT
from tests.factories import SignalFactory

SECONDS_MAX = 200

DEAF = """
import os, sys
sys.path.insert(0, {root!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from copytrading.sources import live
news = live.LiveSink._is_news
live.LiveSink._is_news = lambda self, action, now: int(action.tx_hash, 16) % 3 > 0 and news(self, action, now)
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

SOAK = """
import os, sys, django
from pathlib import Path
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
from copytrading.benchmarks import soak
from copytrading.verification import processes
{change}
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "benchmark", "soak", *sys.argv[1:]])
"""


def soak(database_url: str, *words: str, change: str = "") -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SOAK.format(change=change), *words]
    return subprocess.run(command, check=False, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SECONDS_MAX)


@pytest.mark.django_db(transaction=True)
def test_a_short_soak_with_faults_copies_everything_once_in_flat_memory(database_url: str) -> None:
    done = soak(database_url, "--minutes", "0.3", "--json")
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert told["wrong"] == [] and told["memory"]["flat"]
    # A trade of which a fault held some rows back is heard, and copied, in parts: `wrong` is empty when they add up.
    assert told["signals"] >= told["trades"] > 10 and told["copies"] == 5 * told["signals"]
    assert sum(told["faults"].values()) > 0


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_what_was_not_heard_and_memory_that_grows_end_it_with_a_sentence(database_url: str, tmp_path: Path) -> None:
    program = tmp_path / "deaf.py"
    program.write_text(DEAF.format(root=str(ROOT)), encoding="utf-8")
    change = (
        f"processes.PROGRAM = Path({str(program)!r}); soak.PATIENCE_S = 3; soak.GROWTH_MB = soak.GROWTH_PERCENT = -100"
    )
    done = soak(database_url, "--minutes", "0.15", "--chain", "off", change=change)
    assert done.returncode == 1
    assert "were not heard" in done.stderr and "Memory is GROWING" in done.stderr, done.stderr[-3_000:]


def test_memory_is_judged_by_the_last_two_thirds() -> None:
    warming_up = [10.0, 50.0, 90.0]
    assert judged([*warming_up, *[100.0] * 6]).flat
    told = judged([*warming_up, 100.0, 100.0, 100.0, 106.0, 106.0, 106.0])
    assert (told.grown_mb, told.allowed_mb, told.flat) == (6.0, 5, False)


def test_of_a_large_process_a_small_part_may_be_added() -> None:
    assert judged([*[1_000.0] * 6, *[1_029.0] * 3]).flat
    assert not judged([*[1_000.0] * 6, *[1_031.0] * 3]).flat


def test_too_few_samples_say_nothing() -> None:
    with pytest.raises(Unfinished, match="fewer than 9 say nothing"):
        judged([100.0] * 8)


@pytest.mark.django_db
def test_the_source_of_a_first_part_was_first() -> None:
    SignalFactory.create_batch(3, source="chain-logs", part=1)
    SignalFactory(source="data-api", part=1)
    SignalFactory(source="data-api", part=2)
    told = shares()
    assert told["trades"] == 4
    assert {name: each["percent"] for name, each in told["sources"].items()} == {"chain-logs": 75.0, "data-api": 25.0}
