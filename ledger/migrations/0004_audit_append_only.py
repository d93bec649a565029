"""The database's own refusal to change what people did: an audit entry is written once.

As for ledger entries (0002): TRUNCATE passes on Postgres, and on SQLite only UPDATE is refused.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

POSTGRES = """
CREATE FUNCTION ledger_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entry % is append-only: % refused', OLD.id, TG_OP USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER auditentry_append_only BEFORE UPDATE OR DELETE ON ledger_auditentry
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_audit_change();
"""

POSTGRES_BACK = """
DROP TRIGGER auditentry_append_only ON ledger_auditentry;
DROP FUNCTION ledger_refuse_audit_change();
"""

SQLITE = """
CREATE TRIGGER auditentry_append_only BEFORE UPDATE ON ledger_auditentry
BEGIN
    SELECT RAISE(ABORT, 'an audit entry is append-only: UPDATE refused');
END
"""

SQLITE_BACK = "DROP TRIGGER auditentry_append_only"


def add(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute(POSTGRES if schema_editor.connection.vendor == "postgresql" else SQLITE, params=None)


def remove(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    back = POSTGRES_BACK if schema_editor.connection.vendor == "postgresql" else SQLITE_BACK
    schema_editor.execute(back, params=None)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0003_audit_referrals")]

    operations = [migrations.RunPython(add, remove)]
