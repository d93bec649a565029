"""`manage.py benchmark pages`: the engine's speed beside open pages, measured with real ones."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from copytrading.benchmarks.pages import Round, line_of, sentence_of
from tests.conftest import ROOT

SECONDS_MAX = 110
ALONE = Round(
    pages=0,
    copies=100,
    copies_per_s=1_000.0,
    engine_us=300.0,
    database_us=None,
    web_ms=0,
    elapsed_ms=100,
    heard={},
)
WATCHED = replace(ALONE, pages=100, copies_per_s=990.0, engine_us=303.0, web_ms=9, heard={"fetches": 7, "failures": 0})


@pytest.mark.django_db(transaction=True)
def test_pages_open_read_and_leave_while_the_engine_replays(database_url: str) -> None:
    command = ["manage.py", "benchmark", "pages", "--pages", "3", "--rounds", "1", "--copies", "200", "--json"]
    told = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )
    alone, watched = json.loads(told.stdout)["rounds"]
    assert (alone["pages"], alone["copies"], alone["heard"]) == (0, 200, {})
    assert (watched["pages"], watched["copies"], watched["heard"]["failures"]) == (3, 200, 0)
    assert watched["heard"]["hints"] >= 3
    assert watched["heard"]["fetches"] >= 3


def test_pairs_are_compared_by_their_median() -> None:
    outlier = replace(WATCHED, copies_per_s=500.0)
    told = sentence_of([ALONE, WATCHED, outlier, ALONE, ALONE, WATCHED])
    assert "none against 100 pages: speed -1.0 %, the engine's own CPU for a copy +1.0 %" in told
    assert "speed -50.0 to -1.0 %" in told


def test_round_tells_what_the_pages_read() -> None:
    assert line_of(WATCHED) == (
        "100 pages: 990.0 copies a second, 303.0 us of the engine for each; "
        "web process at 9 % of a processor, 7 fetches, 0 failures"
    )
