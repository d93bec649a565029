"""Rows by which processes agree: who holds a shard, and what the dashboard should hear."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class ShardLease(models.Model):
    """One holder for each shard; the term rises with each change of hands, by the database's clock."""

    shard = models.PositiveSmallIntegerField()
    of = models.PositiveSmallIntegerField()
    holder = models.CharField(max_length=80, blank=True)
    term = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(db_default=Now())
    renewed_at = models.DateTimeField(db_default=Now())
    since = models.DateTimeField(null=True, help_text="Since when its holder has asked for the shard.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shard", "of"], name="lease_once"),
            models.CheckConstraint(condition=Q(shard__lt=F("of")), name="lease_shard_in_range"),
        ]

    def __str__(self) -> str:
        return f"shard {self.shard}/{self.of}"


class ShardStandby(models.Model):
    """A process that waits for a shard; alive while it is seen, by the database's clock.

    `since` is when the process first asked for the shard: a holder hands over to whole sets that came after it.
    """

    holder = models.CharField(max_length=80, unique=True)
    shard = models.PositiveSmallIntegerField()
    of = models.PositiveSmallIntegerField()
    since = models.DateTimeField()
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "shard standbys"
        constraints = [models.CheckConstraint(condition=Q(shard__lt=F("of")), name="standby_shard_in_range")]

    def __str__(self) -> str:
        return f"{self.holder} for shard {self.shard}/{self.of}"


class DashboardSequence(models.Model):
    """The last sequence given out; its row lock makes commit order the order of the sequence."""

    last = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.last)


class DashboardEvent(models.Model):
    """The outbox: what happened in the last moment, for pages that resume from a sequence."""

    sequence = models.BigIntegerField(unique=True)
    kind = models.CharField(max_length=24)
    payload = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="dashboard_event_time")]

    def __str__(self) -> str:
        return f"{self.kind} {self.sequence}"
