"""The database's own refusal of an illegal change to a copy trade, on Postgres; SQLite has one operator and no trigger.

`queryset.update()`, raw SQL, an admin action and an older engine all pass through it. The two lists are literal,
because a migration must not change with the code; a test holds them equal to `copytrading.states`.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

FIRST = ("SKIPPED", "READY", "PENDING")

MOVES = (
    ("READY", "PENDING"),
    ("READY", "SKIPPED"),
    ("PENDING", "UNKNOWN"),
    ("PENDING", "LIVE"),
    ("PENDING", "MATCHED"),
    ("PENDING", "SETTLEMENT_PENDING"),
    ("PENDING", "EXECUTED"),
    ("PENDING", "FAILED"),
    ("UNKNOWN", "LIVE"),
    ("UNKNOWN", "MATCHED"),
    ("UNKNOWN", "SETTLEMENT_PENDING"),
    ("UNKNOWN", "EXECUTED"),
    ("UNKNOWN", "FAILED"),
    ("LIVE", "MATCHED"),
    ("LIVE", "SETTLEMENT_PENDING"),
    ("LIVE", "EXECUTED"),
    ("LIVE", "FAILED"),
    ("MATCHED", "SETTLEMENT_PENDING"),
    ("MATCHED", "EXECUTED"),
    ("MATCHED", "FAILED"),
    ("SETTLEMENT_PENDING", "EXECUTED"),
    ("SETTLEMENT_PENDING", "FAILED"),
    ("FAILED", "MATCHED"),
    ("FAILED", "SETTLEMENT_PENDING"),
    ("FAILED", "EXECUTED"),
    ("EXECUTED", "SETTLEMENT_PENDING"),
)

_FIRST_SQL = ", ".join(f"'{status}'" for status in FIRST)
_MOVES_SQL = ", ".join(f"('{before}', '{after}')" for before, after in MOVES)

# check_violation, so that Django raises IntegrityError as for any other constraint. The WHEN clauses keep
# inserts and the frequent updates of other columns out of PL/pgSQL.
POSTGRES = f"""
CREATE FUNCTION copytrading_guard_birth() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a copy trade may not be born as %', NEW.status USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION copytrading_guard_change() RETURNS trigger LANGUAGE plpgsql AS $$
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
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN ({_MOVES_SQL}) THEN
        RAISE EXCEPTION 'copy trade % may not move from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER copytrade_guard_birth BEFORE INSERT ON copytrading_copytrade
    FOR EACH ROW WHEN (NEW.status NOT IN ({_FIRST_SQL}))
    EXECUTE FUNCTION copytrading_guard_birth();

CREATE TRIGGER copytrade_guard_change BEFORE UPDATE ON copytrading_copytrade
    FOR EACH ROW WHEN (
        NEW.status <> OLD.status
        OR NEW.order_hash IS DISTINCT FROM OLD.order_hash
        OR NEW.config_id <> OLD.config_id
        OR NEW.signal_id <> OLD.signal_id
        OR NEW.idempotency_key <> OLD.idempotency_key
    )
    EXECUTE FUNCTION copytrading_guard_change();
"""

POSTGRES_BACK = """
DROP TRIGGER copytrade_guard_change ON copytrading_copytrade;
DROP TRIGGER copytrade_guard_birth ON copytrading_copytrade;
DROP FUNCTION copytrading_guard_change();
DROP FUNCTION copytrading_guard_birth();
"""


def add(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES, params=None)


def remove(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES_BACK, params=None)


class Migration(migrations.Migration):
    dependencies = [("copytrading", "0001_initial")]

    operations = [migrations.RunPython(add, remove)]
