"""Breakers of before there were venues and accounts keep their state and their meaning."""

import json
import os
import subprocess
import sys

import psycopg
import pytest

from tests.conftest import ROOT

PROGRAM = """
import json, django
django.setup()
from datetime import UTC, datetime
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

call_command("migrate", "guardrails", "0002", verbosity=0)
Old = MigrationExecutor(connection).loader.project_state([("guardrails", "0002_breakers")]).apps.get_model(
    "guardrails", "Breaker"
)
since = datetime(2026, 11, 21, 12, tzinfo=UTC)
counts = {"bad": 9, "seen": 10, "openings": 1, "granted": 0, "good": 0}
Old.objects.create(kind="FAILURE_RATE", scope="GLOBAL", state="OPEN", counts=counts, opened_at=since, version=3)
Old.objects.create(kind="UNKNOWN_RATE", scope="GLOBAL")
Old.objects.create(kind="CONSECUTIVE_LOSSES", scope="FOLLOWER", key="7", state="OPEN", opened_at=since, version=1)
call_command("migrate", verbosity=0)
from guardrails.queries import breakers
print(json.dumps([
    [*map(str, row.name), str(row.circuit.state), row.circuit.bad, row.circuit.opened_at == since, row.version]
    for row in breakers()
]))
"""


def migrated(url: str) -> list[list[object]]:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    found: list[list[object]] = json.loads(ended.stdout)
    return found


@pytest.mark.postgres
def test_rows_for_everybody_and_of_followers_keep_their_meaning(postgres_url: str) -> None:
    server = postgres_url.rpartition("/")[0]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as client:
        client.execute("CREATE DATABASE breakers")
    assert migrated(f"{server}/breakers") == [
        ["FAILURE_RATE", "GLOBAL", "", "OPEN", 9, True, 3],
        ["UNKNOWN_RATE", "GLOBAL", "", "CLOSED", 0, False, 0],
        ["CONSECUTIVE_LOSSES", "FOLLOWER", "7", "OPEN", 0, True, 1],
    ]
