"""Version, neg-risk, tick and fee of a market are empty until the venue has said them.

Rows of before hold defaults where nothing was said, and most defaults look like an answer. What is another value than
the default was certainly said. Of markets that were described, tick, neg-risk and fee are kept: every description of a
market that can be traded gives them. Of the others they are forgotten. No description was bound to give the version,
which decides what is signed, so that "v1" is forgotten of all; these markets are read again when they are next needed.
"""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

USUAL = {"neg_risk": False, "tick_micros": 10_000, "fee_rate_bps": 0}


def forget_defaults(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Empty what nobody need have said."""
    markets = apps.get_model("execution", "Market").objects
    for name, usual in USUAL.items():
        markets.filter(loaded_at=None, **{name: usual}).update(**{name: None})
    markets.filter(version="v1").update(version="", loaded_at=None)


def assume_defaults(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """What is empty gets the value that it would have had."""
    markets = apps.get_model("execution", "Market").objects
    for name, usual in USUAL.items():
        markets.filter(**{name: None}).update(**{name: usual})
    markets.filter(version="").update(version="v1")


class Migration(migrations.Migration):
    dependencies = [
        ("execution", "0004_account_kind_as_it_is_written"),
    ]

    operations = [
        migrations.AlterField(
            model_name="market",
            name="version",
            field=models.CharField(
                blank=True, help_text="As the venue says it: decides the order domain. Empty is not said.", max_length=8
            ),
        ),
        migrations.AlterField(
            model_name="market",
            name="neg_risk",
            field=models.BooleanField(blank=True, help_text="Empty is not said.", null=True),
        ),
        migrations.AlterField(
            model_name="market",
            name="tick_micros",
            field=models.PositiveIntegerField(blank=True, help_text="Empty is not said.", null=True),
        ),
        migrations.AlterField(
            model_name="market",
            name="fee_rate_bps",
            field=models.PositiveIntegerField(blank=True, help_text="Empty is not said.", null=True),
        ),
        migrations.RunPython(forget_defaults, assume_defaults),
    ]
