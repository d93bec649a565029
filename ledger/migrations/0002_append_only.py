"""The database's own refusal to change a ledger entry: what is written about money is corrected by another entry.

TRUNCATE passes on Postgres, because the tests empty their tables with it. SQLite has no TRUNCATE and empties a
table with DELETE, so there only UPDATE is refused.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

POSTGRES = """
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger entry % is append-only: % refused', OLD.key, TG_OP USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER ledgerentry_append_only BEFORE UPDATE OR DELETE ON ledger_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
"""

POSTGRES_BACK = """
DROP TRIGGER ledgerentry_append_only ON ledger_ledgerentry;
DROP FUNCTION ledger_refuse_change();
"""

SQLITE = """
CREATE TRIGGER ledgerentry_append_only BEFORE UPDATE ON ledger_ledgerentry
BEGIN
    SELECT RAISE(ABORT, 'a ledger entry is append-only: UPDATE refused');
END
"""

SQLITE_BACK = "DROP TRIGGER ledgerentry_append_only"


def add(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute(POSTGRES if schema_editor.connection.vendor == "postgresql" else SQLITE, params=None)


def remove(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    back = POSTGRES_BACK if schema_editor.connection.vendor == "postgresql" else SQLITE_BACK
    schema_editor.execute(back, params=None)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [migrations.RunPython(add, remove)]
