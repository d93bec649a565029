"""What the venue matched of our orders, trade by trade."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class VenueFill(models.Model):
    """One venue trade's part in one of our orders. MATCHED is not filled: only CONFIRMED moves money.

    Sizes in shares, costs and fees in pUSD, all micros; `price_micros` is the average of this trade.
    """

    class Status(models.TextChoices):
        """As the venue names them (polymarket.md 3.3)."""

        MATCHED = "MATCHED"
        MINED = "MINED"
        RETRYING = "RETRYING"
        CONFIRMED = "CONFIRMED"
        FAILED = "FAILED"

    trade = models.ForeignKey("copytrading.CopyTrade", on_delete=models.PROTECT, related_name="fills")
    venue_trade_id = models.CharField(max_length=80)
    order_hash = models.CharField(max_length=66)
    maker = models.BooleanField(default=False, help_text="Our order rested; size and price are those of its part.")
    size_micros = models.BigIntegerField()
    price_micros = models.PositiveIntegerField()
    cost_micros = models.BigIntegerField()
    fee_micros = models.BigIntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices)
    tx_hash = models.CharField(max_length=66, blank=True)
    matched_at = models.DateTimeField()
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["venue_trade_id", "order_hash"], name="fill_once_per_trade_and_order"),
            models.CheckConstraint(
                condition=Q(size_micros__gt=0, price_micros__gt=0, price_micros__lt=1_000_000), name="fill_numbers_sane"
            ),
            models.CheckConstraint(condition=Q(cost_micros__gte=0, fee_micros__gte=0), name="fill_money_not_negative"),
        ]
        indexes = [models.Index(fields=["order_hash"], name="fill_by_order")]

    def __str__(self) -> str:
        return f"fill {self.venue_trade_id}"
