"""Fills CopiedPosition from the fills that were booked before there was such a table; from then on fills keep it."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Sum

BATCH = 1_000
"""Rows of one insert: SQLite takes a bounded number of parameters."""


def fill(apps: Apps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    trades, copied = apps.get_model("copytrading", "CopyTrade"), apps.get_model("copytrading", "CopiedPosition")
    entries = apps.get_model("ledger", "LedgerEntry")
    if copied.objects.exists():
        return
    rows = {}
    sums = trades.objects.filter(status="EXECUTED").values_list("config_id", "token_id", "condition_id", "side")
    for config, token, condition, side, size, cost, fee in sums.annotate(
        Sum("fill_size_micros"), Sum("fill_cost_micros"), Sum("fee_micros")
    ):
        row = rows.setdefault((config, token), copied(config_id=config, token_id=token, condition_id=condition))
        buy = side == "BUY"
        row.size_micros += size if buy else -size
        row.spent_micros += cost if buy else 0
        row.received_micros += 0 if buy else cost
        row.fees_micros += fee
    profits = entries.objects.filter(kind__in=["PROFIT", "LOSS"], trade__isnull=False)
    for config, token, kind, amount in profits.values_list("trade__config_id", "trade__token_id", "kind").annotate(
        Sum("amount_micros")
    ):
        rows[config, token].realised_micros += amount if kind == "PROFIT" else -amount
    copied.objects.bulk_create([rows[key] for key in sorted(rows)], batch_size=BATCH)


class Migration(migrations.Migration):
    dependencies = [("copytrading", "0005_group_by_transaction"), ("ledger", "0001_initial")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
