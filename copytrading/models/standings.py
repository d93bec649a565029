"""Where a follower stands with a leader: what was carried, what the copies made, and whether they were stopped."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from copytrading.models.people import CopyConfig, changed_by_the_database
from ledger.fields import Uint256Field


class CarriedSize(models.Model):
    """Shares under the minimum that wait for the next copy: above zero to buy, below zero to sell.

    Equals the sum of `carried_micros` of the config's copies of the token, but for what an opposite trade of
    the leader cleared. Changed only by the prewrite.
    """

    config = models.ForeignKey(CopyConfig, on_delete=models.PROTECT, related_name="carried")
    token_id = Uint256Field()
    size_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["config", "token_id"], name="carried_once")]

    def __str__(self) -> str:
        return f"carried of config {self.config_id}"


class CopiedPosition(models.Model):
    """What the copies of one config did in one token. Fills alone change it, with the ledger entries.

    A follower's shares of a token are one `Position`, whoever was copied; this says whose part is whose.
    `size_micros` is bought minus sold and may be below zero where one leader's sell sold another's shares.
    """

    config = models.ForeignKey(CopyConfig, on_delete=models.PROTECT, related_name="copied")
    token_id = Uint256Field()
    condition_id = models.CharField(max_length=66)
    size_micros = models.BigIntegerField(default=0)
    spent_micros = models.BigIntegerField(default=0, help_text="Paid for buys, without fees.")
    received_micros = models.BigIntegerField(default=0, help_text="Got for sells, without fees.")
    realised_micros = models.BigIntegerField(default=0, help_text="Profit of its sells at the position's average cost.")
    fees_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["config", "token_id"], name="copied_once"),
            models.CheckConstraint(
                condition=Q(spent_micros__gte=0, received_micros__gte=0, fees_micros__gte=0), name="copied_sums_sane"
            ),
        ]

    def __str__(self) -> str:
        return f"copied by config {self.config_id}"


class Standing(models.Model):
    """The profit of one config as last measured, its highest, and the stop that was reached.

    Profit is received minus spent minus fees plus what the shares are worth; stops look at it from `baseline_micros`,
    what it was when copying last began (empty until it is next measured). A stopped config buys no more; `exiting`
    while its shares are being sold, and for a day in which late fills may bring more. Only a person starts it again
    (`operations.stops.start_again`).
    """

    config = models.OneToOneField(CopyConfig, on_delete=models.PROTECT, related_name="standing")
    profit_micros = models.BigIntegerField(default=0)
    baseline_micros = models.BigIntegerField(null=True, blank=True, default=0)
    peak_micros = models.BigIntegerField(default=0)
    measured_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True, blank=True)
    stopped_reason = models.CharField(max_length=32, blank=True)
    stopped_value_micros = models.BigIntegerField(null=True, blank=True)
    stopped_limit_micros = models.BigIntegerField(null=True, blank=True)
    exiting = models.BooleanField(default=False)
    exit_attempts = models.PositiveSmallIntegerField(default=0)
    next_exit_at = models.DateTimeField(null=True, blank=True)
    updated_at = changed_by_the_database()
    """Of the stop only: profits are measured all the time, and no decision looks at them."""

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(stopped_at__isnull=True, stopped_reason="", exiting=False)
                | Q(stopped_at__isnull=False) & ~Q(stopped_reason=""),
                name="standing_stop_is_whole",
            ),
        ]
        indexes = [models.Index(fields=["next_exit_at"], condition=Q(exiting=True), name="standing_exiting")]

    def __str__(self) -> str:
        return f"standing of config {self.config_id}"
