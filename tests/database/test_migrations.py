"""Every migration of ours can be undone and done again on an empty database, and the schema is the same afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.db.migrations.loader import MigrationLoader

from copytrading.readiness import known_migrations
from tests.conftest import ROOT

APPS = ("copytrading", "execution", "guardrails", "ledger")

PROGRAM = """
import json, sys, django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

POSTGRES = {
    "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    " WHERE table_schema = 'public'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_functiondef(tgfoid) FROM pg_trigger"
    " WHERE NOT tgisinternal",
}
# By columns: the text of a table that SQLite had to make anew is written differently.
SQLITE = {
    "columns": "SELECT m.name, p.name, p.type, p.[notnull], p.pk FROM sqlite_master m JOIN pragma_table_info(m.name) p",
    "others": "SELECT name, tbl_name FROM sqlite_master WHERE type IN ('index', 'trigger')",
}

def schema():
    questions = POSTGRES if connection.vendor == "postgresql" else SQLITE
    with connection.cursor() as cursor:
        found = {}
        for name, question in questions.items():
            cursor.execute(question)
            found[name] = sorted(json.dumps(row, default=str) for row in cursor.fetchall())
    return found

def migrate(app, name):
    # Not the command, which fills permissions and content types again after each step.
    MigrationExecutor(connection).migrate([(app, name)])

call_command("migrate", verbosity=0)
apps = sys.argv[1:]
executor = MigrationExecutor(connection)
plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
ours = [(each.app_label, each.name) for each, _backwards in plan if each.app_label in apps]
downwards = [schema()]
for index in range(len(ours) - 1, -1, -1):
    app = ours[index][0]
    earlier = [name for other, name in ours[:index] if other == app]
    migrate(app, earlier[-1] if earlier else None)
    downwards.append(schema())
left = [table for table in connection.introspection.table_names() if table.split("_")[0] in apps]
same = []
for (app, name), before in zip(ours, reversed(downwards[:-1])):
    migrate(app, name)
    same.append([app, name, schema() == before])
print(json.dumps({"same": same, "left": left}))
"""


def undo_all(url: str) -> dict[str, object]:
    words = [sys.executable, "-c", PROGRAM, *APPS]
    ended = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def must_be_reversible(found: dict[str, object]) -> None:
    ours = [[*key, True] for key in sorted(known_migrations()) if key[0] in APPS]
    assert sorted(found.pop("same")) == ours  # type: ignore[call-overload]
    assert found == {"left": []}


@pytest.mark.postgres
def test_every_migration_reverses_and_applies_again_on_postgres(postgres_url: str) -> None:
    server = postgres_url.rpartition("/")[0]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as client:
        client.execute("CREATE DATABASE undoing")
    must_be_reversible(undo_all(f"{server}/undoing"))


def test_every_migration_reverses_and_applies_again_on_sqlite(tmp_path: Path) -> None:
    must_be_reversible(undo_all(f"sqlite:///{tmp_path}/undoing.sqlite3"))


def test_there_is_one_newest_migration_for_each_app() -> None:
    loader = MigrationLoader(None)
    assert {app: len(loader.graph.leaf_nodes(app)) for app in APPS} == dict.fromkeys(APPS, 1)
