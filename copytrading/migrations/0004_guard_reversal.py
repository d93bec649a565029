"""Lets a fill that the chain undid go back: EXECUTED to FAILED, beside the moves of 0002. Postgres only, like those.

The list is literal, because a migration must not change with the code; a test holds it equal to `copytrading.states`.
"""

from importlib import import_module

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

ADDED = (("EXECUTED", "FAILED"),)

_BEFORE = import_module("copytrading.migrations.0002_guard_states")
FIRST = _BEFORE.FIRST
MOVES = (*_BEFORE.MOVES, *ADDED)


def function_of(moves: tuple[tuple[str, str], ...]) -> str:
    """The guard's function with this table of moves."""
    listed = ", ".join(f"('{before}', '{after}')" for before, after in moves)
    return f"""
CREATE OR REPLACE FUNCTION copytrading_guard_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.config_id <> OLD.config_id OR NEW.signal_id <> OLD.signal_id
        OR NEW.idempotency_key <> OLD.idempotency_key THEN
        RAISE EXCEPTION 'copy trade % may not change its config, signal or idempotency key', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.order_hash IS NOT NULL AND NEW.order_hash IS DISTINCT FROM OLD.order_hash THEN
        RAISE EXCEPTION 'copy trade % has order hash % for life', OLD.id, OLD.order_hash
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN ({listed}) THEN
        RAISE EXCEPTION 'copy trade % may not move from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""


def allow(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(function_of(MOVES), params=None)


def forbid(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(function_of(_BEFORE.MOVES), params=None)


class Migration(migrations.Migration):
    dependencies = [("copytrading", "0003_sizing_filters_stops")]

    operations = [migrations.RunPython(allow, forbid)]
