"""Rows say when they were last changed, by Postgres's clock whoever writes; a leader's action can be withdrawn."""

import django.db.models.functions.datetime
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


# A changed config, follower or leader is found by engines within a second; of a standing only its stop is looked at.
# SQLite has one engine, which reads its few configs whole each time: its schema changes would drop triggers.
ROWS = ("copyconfig", "follower", "leader")
STOP = ("stopped_at", "stopped_reason", "stopped_value_micros", "stopped_limit_micros")

POSTGRES = """
CREATE FUNCTION copytrading_mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = clock_timestamp();
    RETURN NEW;
END $$;
""" + "".join(
    f"""
CREATE TRIGGER {table}_mark_change BEFORE UPDATE ON copytrading_{table}
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION copytrading_mark_change();
"""
    for table in ROWS
) + f"""
CREATE TRIGGER standing_mark_change BEFORE UPDATE ON copytrading_standing
    FOR EACH ROW WHEN (ROW({", ".join(f"OLD.{c}" for c in STOP)}) IS DISTINCT FROM ROW({", ".join(f"NEW.{c}" for c in STOP)}))
    EXECUTE FUNCTION copytrading_mark_change();
"""

POSTGRES_BACK = "".join(
    f"DROP TRIGGER {table}_mark_change ON copytrading_{table};\n" for table in (*ROWS, "standing")
) + "DROP FUNCTION copytrading_mark_change();"


def add(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES, params=None)


def remove(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES_BACK, params=None)


class Migration(migrations.Migration):

    dependencies = [
        ('copytrading', '0007_measure_again_from_the_next_look'),
    ]

    operations = [
        migrations.AddField(
            model_name='copyconfig',
            name='updated_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True, editable=False),
        ),
        migrations.AddField(
            model_name='follower',
            name='updated_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True, editable=False),
        ),
        migrations.AddField(
            model_name='leader',
            name='updated_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True, editable=False),
        ),
        migrations.AddField(
            model_name='signalgroup',
            name='withdrawn_at',
            field=models.DateTimeField(editable=False, help_text='When its transaction was found to be not in the chain (any more).', null=True),
        ),
        migrations.AddField(
            model_name='standing',
            name='updated_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True, editable=False),
        ),
        migrations.RunPython(add, remove),
    ]
