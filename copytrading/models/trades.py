"""The copies: one row for each follower and signal, also for those that were not made."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from copytrading.models.people import CopyConfig, Follower, Leader
from copytrading.models.signals import Signal
from copytrading.states import ON_THE_VENUE, OPEN, Status
from ledger.fields import Uint256Field

STATUS_CHOICES = [(status.value, status.value) for status in Status]
WITH_ORDER = sorted(status.value for status in OPEN | {Status.EXECUTED, Status.FAILED})


class TradeFields(models.Model):
    """The columns that a copy keeps for life, here and in the archive. Amounts in micros."""

    config_version = models.PositiveIntegerField()
    mode = models.CharField(max_length=8, choices=Follower.Mode.choices)
    side = models.CharField(max_length=4)
    token_id = Uint256Field()
    condition_id = models.CharField(max_length=66)
    leader_size_micros = models.BigIntegerField()
    leader_price_micros = models.PositiveIntegerField()
    size_micros = models.BigIntegerField(default=0)
    limit_micros = models.PositiveIntegerField(default=0, help_text="Own limit price.")
    reserved_micros = models.BigIntegerField(default=0, help_text="BUY: pUSD with the largest fee; SELL: shares.")
    budget_micros = models.BigIntegerField(default=0, help_text="Cost at the limit price, as budgets count it.")
    budget_count = models.PositiveSmallIntegerField(default=0)
    carried_micros = models.BigIntegerField(
        default=0, help_text="Shares put aside for a later copy, or (negative) taken from what was put aside."
    )
    budget_mask = models.PositiveSmallIntegerField(default=0, help_text="Which budgets granted this copy.")

    quote_source = models.CharField(max_length=24, blank=True, help_text="Of the book it was held against.")
    best_micros = models.PositiveIntegerField(null=True, help_text="The book's best against the order then.")
    matched_micros = models.BigIntegerField(default=0, help_text="Shares that the venue said it matched.")

    domain = models.CharField(max_length=16, blank=True)
    signer = models.CharField(max_length=42, blank=True)
    signature_type = models.PositiveSmallIntegerField(default=0)
    order_type = models.CharField(max_length=4, blank=True)
    tick_micros = models.PositiveIntegerField(default=0)
    salt = models.BigIntegerField(null=True)
    order_timestamp_ms = models.BigIntegerField(null=True)
    maker_amount = models.BigIntegerField(null=True)
    taker_amount = models.BigIntegerField(null=True)

    status = models.CharField(max_length=18, choices=STATUS_CHOICES)
    reasons = models.JSONField(default=list, help_text="Every reason with the value seen and its limit.")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_retry_at = models.DateTimeField(null=True)
    watch_until = models.DateTimeField(null=True, help_text="FAILED: a late fill is adopted until then.")
    locked_by = models.CharField(max_length=80, blank=True)
    locked_at = models.DateTimeField(null=True)
    lock_token = models.CharField(max_length=32, blank=True)
    lease_term = models.BigIntegerField(default=0)
    used_bot_float_micros = models.BigIntegerField(default=0)
    executor = models.CharField(max_length=42, blank=True)
    tx_hash = models.CharField(max_length=66, blank=True)
    fill_size_micros = models.BigIntegerField(default=0)
    fill_price_micros = models.PositiveIntegerField(default=0)
    fill_cost_micros = models.BigIntegerField(default=0)
    fee_micros = models.BigIntegerField(default=0)

    detected_at = models.DateTimeField()
    decided_at = models.DateTimeField()
    prewritten_at = models.DateTimeField(null=True, help_text="When the row with its order was known to be durable.")
    submitted_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True, help_text="When the venue's first answer came.")
    executed_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


class CopyTrade(TradeFields):
    """One follower's answer to one signal. Money columns and status change only through `operations`."""

    config = models.ForeignKey(CopyConfig, on_delete=models.PROTECT, related_name="trades")
    signal = models.ForeignKey(Signal, on_delete=models.PROTECT, related_name="trades")
    follower = models.ForeignKey(Follower, on_delete=models.PROTECT, related_name="trades")
    leader = models.ForeignKey(Leader, on_delete=models.PROTECT, related_name="trades")
    order_hash = models.CharField(max_length=66, null=True, unique=True)
    idempotency_key = models.CharField(max_length=64, unique=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["config", "signal"], name="trade_once_per_config_and_signal"),
            models.CheckConstraint(condition=Q(status__in=[s.value for s in Status]), name="trade_status_known"),
            models.CheckConstraint(condition=Q(side__in=["BUY", "SELL"]), name="trade_side_known"),
            models.CheckConstraint(
                condition=~Q(status__in=WITH_ORDER)
                | Q(
                    order_hash__isnull=False,
                    salt__isnull=False,
                    order_timestamp_ms__isnull=False,
                    maker_amount__isnull=False,
                    taker_amount__isnull=False,
                    maker_amount__gt=0,
                    taker_amount__gt=0,
                    size_micros__gt=0,
                    expires_at__isnull=False,
                )
                & ~Q(lock_token="")
                & ~Q(domain=""),
                name="trade_sent_only_with_its_order",
            ),
            models.CheckConstraint(
                condition=~Q(status="READY") | Q(order_hash__isnull=True), name="trade_ready_was_never_sent"
            ),
            models.CheckConstraint(
                condition=~Q(status="EXECUTED") | Q(fill_size_micros__gt=0, executed_at__isnull=False),
                name="trade_executed_has_a_fill",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["SKIPPED", "READY", "FAILED"]) | Q(fill_size_micros=0),
                name="trade_not_made_has_no_fill",
            ),
            models.CheckConstraint(
                condition=Q(fill_size_micros__gte=0, fill_size_micros__lte=F("size_micros")),
                name="trade_fill_within_size",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["SKIPPED", "EXECUTED", "FAILED"]) | Q(reserved_micros=0),
                name="trade_final_reserves_nothing",
            ),
            models.CheckConstraint(
                condition=~Q(status="SKIPPED") | Q(budget_micros=0, budget_count=0), name="trade_skipped_uses_no_budget"
            ),
            models.CheckConstraint(
                condition=Q(
                    leader_size_micros__gt=0,
                    leader_price_micros__gt=0,
                    leader_price_micros__lt=1_000_000,
                    fee_micros__gte=0,
                ),
                name="trade_numbers_sane",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "expires_at"], name="trade_status_expires"),
            models.Index(fields=["status", "next_retry_at"], name="trade_status_retry"),
            models.Index(fields=["status", "executed_at"], name="trade_status_executed"),
            models.Index(fields=["follower", "-id"], name="trade_by_follower"),
            models.Index(fields=["leader", "-id"], name="trade_by_leader"),
            # Who traded on the venue lately is asked every second.
            models.Index(
                fields=["decided_at"],
                condition=Q(mode=ON_THE_VENUE, order_hash__isnull=False),
                name="trade_sent_to_the_venue",
            ),
        ]

    def __str__(self) -> str:
        return f"copy trade {self.pk}"


class CopyTradeArchive(TradeFields):
    """Old copies that were never made, moved out of the hot table with their reasons (`operations.archive`)."""

    trade_id = models.BigIntegerField(unique=True)
    config_id = models.BigIntegerField()
    signal_id = models.BigIntegerField()
    follower_id = models.BigIntegerField()
    leader_id = models.BigIntegerField()
    order_hash = models.CharField(max_length=66, null=True, unique=True)
    idempotency_key = models.CharField(max_length=64, unique=True)
    archived_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["config_id", "signal_id"], name="archived_once_per_config_and_signal")
        ]

    def __str__(self) -> str:
        return f"archived copy trade {self.trade_id}"
