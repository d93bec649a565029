"""An executed copy is asked about again only while some of its trades are not final; the rest have no next question."""

from typing import Any

from django.db import migrations


def forget_questions(apps: Any, _schema_editor: Any) -> None:
    trades = apps.get_model("copytrading", "CopyTrade").objects
    trades.filter(status="EXECUTED", next_retry_at__isnull=False).update(next_retry_at=None)


class Migration(migrations.Migration):
    dependencies = [("copytrading", "0013_prewritten_at")]

    operations = [migrations.RunPython(forget_questions, migrations.RunPython.noop, elidable=True)]
