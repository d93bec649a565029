"""Breakers of venues and accounts, and two further kinds. Rows for everybody keep their meaning: their scope is GLOBAL."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("guardrails", "0002_breakers")]

    operations = [
        migrations.AlterField(
            model_name="breaker",
            name="kind",
            field=models.CharField(
                choices=[
                    ("FAILURE_RATE", "Failure Rate"),
                    ("UNKNOWN_RATE", "Unknown Rate"),
                    ("PRICE_DEVIATION", "Price Deviation"),
                    ("CONSECUTIVE_LOSSES", "Consecutive Losses"),
                    ("DAILY_DRAWDOWN", "Daily Drawdown"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="breaker",
            name="scope",
            field=models.CharField(
                choices=[("GLOBAL", "Global"), ("VENUE", "Venue"), ("FOLLOWER", "Follower")], max_length=8
            ),
        ),
        migrations.AlterField(
            model_name="breaker",
            name="key",
            field=models.CharField(
                blank=True, help_text="A venue's name, a follower's id, empty for all.", max_length=66
            ),
        ),
        migrations.AddConstraint(
            model_name="breaker",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("scope", "GLOBAL"), ("key", "")),
                    models.Q(models.Q(("scope", "GLOBAL"), _negated=True), models.Q(("key", ""), _negated=True)),
                    _connector="OR",
                ),
                name="breaker_key_fits_scope",
            ),
        ),
        migrations.AddIndex(
            model_name="breaker",
            index=models.Index(fields=["changed_at"], name="breaker_changed"),
        ),
    ]
