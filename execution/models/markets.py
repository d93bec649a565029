"""Rows about markets and what followers hold in them."""

from django.db import models
from django.db.models import F, Q

from guardrails.models import SpendingLimits
from ledger.fields import Uint256Field


class Market(SpendingLimits):
    """What orders of one condition must respect.

    Version, neg-risk, tick and fee are empty until the venue has said them: an order signed or booked on a guess would
    be another market's. Pretended money takes the usual terms meanwhile.
    """

    condition_id = models.CharField(max_length=66, unique=True)
    version = models.CharField(
        max_length=8, blank=True, help_text="As the venue says it: decides the order domain. Empty is not said."
    )
    title = models.CharField(max_length=300, blank=True)
    slug = models.CharField(max_length=200, blank=True)
    first_token_id = Uint256Field(null=True, blank=True, db_index=True)
    second_token_id = Uint256Field(null=True, blank=True, db_index=True)
    first_outcome = models.CharField(max_length=100, blank=True)
    second_outcome = models.CharField(max_length=100, blank=True)
    neg_risk = models.BooleanField(null=True, blank=True, help_text="Empty is not said.")
    accepting_orders = models.BooleanField(default=True)
    closed = models.BooleanField(default=False)
    ends_at = models.DateTimeField(null=True, blank=True)
    tick_micros = models.PositiveIntegerField(null=True, blank=True, help_text="Empty is not said.")
    min_size_micros = models.BigIntegerField(default=5_000_000)
    fee_rate_bps = models.PositiveIntegerField(null=True, blank=True, help_text="Empty is not said.")
    fee_exponent = models.PositiveSmallIntegerField(default=1)
    liquidity_micros = models.BigIntegerField(null=True, blank=True, help_text="pUSD in its book; empty is unknown.")
    volume_micros = models.BigIntegerField(null=True, blank=True, help_text="pUSD traded so far; empty is unknown.")
    category = models.CharField(max_length=80, blank=True, help_text="Empty is unknown.")
    first_price_micros = models.PositiveIntegerField(
        null=True, blank=True, help_text="What a share of the first outcome is worth; 0 or 1 when resolved."
    )
    second_price_micros = models.PositiveIntegerField(null=True, blank=True)
    loaded_at = models.DateTimeField(
        null=True, blank=True, help_text="When the venue's own description was read; empty for terms met in a trade."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(tick_micros__in=[100_000, 10_000, 5_000, 2_500, 1_000, 100]), name="market_tick_known"
            ),
            models.CheckConstraint(condition=Q(min_size_micros__gte=0), name="market_minimum_not_negative"),
            models.CheckConstraint(
                condition=Q(liquidity_micros__isnull=True) | Q(liquidity_micros__gte=0),
                name="market_liquidity_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(volume_micros__isnull=True) | Q(volume_micros__gte=0), name="market_volume_not_negative"
            ),
            models.CheckConstraint(
                condition=(Q(first_price_micros__isnull=True) | Q(first_price_micros__lte=1_000_000))
                & (Q(second_price_micros__isnull=True) | Q(second_price_micros__lte=1_000_000)),
                name="market_prices_at_most_one",
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.condition_id


class Position(models.Model):
    """Shares of one token that a follower holds, what they cost, and what sales have earned.

    `reserved_micros` are shares that open sells have taken. Changed only with the ledger entries.
    """

    follower = models.ForeignKey("copytrading.Follower", on_delete=models.PROTECT, related_name="positions")
    token_id = Uint256Field()
    condition_id = models.CharField(max_length=66)
    size_micros = models.BigIntegerField(default=0)
    reserved_micros = models.BigIntegerField(default=0)
    cost_micros = models.BigIntegerField(default=0)
    realised_micros = models.BigIntegerField(default=0)
    fees_micros = models.BigIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["follower", "condition_id"], name="position_by_market")]
        constraints = [
            models.UniqueConstraint(fields=["follower", "token_id"], name="position_once"),
            models.CheckConstraint(
                condition=Q(reserved_micros__gte=0, size_micros__gte=F("reserved_micros")),
                name="position_covers_reserved",
            ),
            models.CheckConstraint(condition=Q(cost_micros__gte=0), name="position_cost_not_negative"),
        ]

    def __str__(self) -> str:
        return f"position of follower {self.follower_id}"
