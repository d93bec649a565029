"""What leaders did: groups of rows that are one action, their totals per source, and the signals made of them."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from copytrading.models.people import CopyConfig, Leader
from ledger.fields import Uint256Field


class SignalGroup(models.Model):
    """All rows of (wallet, transaction, condition, token, side, type): one action of a leader.

    `acted_size_micros` is the total already turned into signals (or, for REDEEM, MERGE and SPLIT, into the
    leader's known holding). Locked by every write that raises it.
    """

    key = models.CharField(max_length=64, unique=True, help_text="Digest of the natural key.")
    leader = models.ForeignKey(Leader, on_delete=models.PROTECT, related_name="groups")
    kind = models.CharField(max_length=8)
    tx_hash = models.CharField(max_length=66)
    condition_id = models.CharField(max_length=66)
    token_id = Uint256Field(null=True)
    side = models.CharField(max_length=4, blank=True)
    acted_size_micros = models.BigIntegerField(default=0)
    acted_notional_micros = models.BigIntegerField(default=0)
    parts = models.PositiveSmallIntegerField(default=0)
    traded_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(
        null=True, editable=False, help_text="When its transaction was found to be not in the chain (any more)."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(acted_size_micros__gte=0, acted_notional_micros__gte=0), name="group_totals_not_negative"
            ),
            models.CheckConstraint(
                condition=~Q(kind="TRADE") | Q(token_id__isnull=False, side__in=["BUY", "SELL"]),
                name="group_trade_has_token_and_side",
            ),
        ]
        # "Why was this not copied?" begins with a leader's transaction; one row for many copies, so it costs little.
        indexes = [models.Index(fields=["tx_hash"], name="group_by_transaction")]

    def __str__(self) -> str:
        return f"{self.kind} {self.tx_hash}"


class SignalSourceTotal(models.Model):
    """The largest total of a group that one source has shown; only ever raised."""

    group = models.ForeignKey(SignalGroup, on_delete=models.CASCADE, related_name="totals")
    source = models.CharField(max_length=32)
    size_micros = models.BigIntegerField()
    notional_micros = models.BigIntegerField()
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["group", "source"], name="source_total_once"),
            models.CheckConstraint(condition=Q(size_micros__gte=0), name="source_total_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.source} of group {self.group_id}"


class Signal(models.Model):
    """A part of a group: the increase over what was already acted on. A row before it is a queue item.

    `total_size_micros` is the group's total with this part; price in micros of pUSD per share.
    `done_at` empty means that some follower may still lack a CopyTrade.
    """

    group = models.ForeignKey(SignalGroup, on_delete=models.PROTECT, related_name="signals")
    leader = models.ForeignKey(Leader, on_delete=models.PROTECT, related_name="signals")
    only_config = models.ForeignKey(
        CopyConfig,
        null=True,
        on_delete=models.PROTECT,
        related_name="exits",
        help_text="Only this config acts on it: the exit after a stop.",
    )
    part = models.PositiveSmallIntegerField()
    source = models.CharField(max_length=32)
    side = models.CharField(max_length=4)
    token_id = Uint256Field()
    condition_id = models.CharField(max_length=66)
    size_micros = models.BigIntegerField()
    total_size_micros = models.BigIntegerField()
    price_micros = models.PositiveIntegerField()
    leader_held_micros = models.BigIntegerField(
        null=True, help_text="The leader's known holding before this part; empty when unknown."
    )
    traded_at = models.DateTimeField()
    detected_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    dropped_reason = models.CharField(max_length=32, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["group", "part"], name="signal_part_once"),
            models.CheckConstraint(condition=Q(size_micros__gt=0), name="signal_size_positive"),
            models.CheckConstraint(
                condition=Q(price_micros__gt=0, price_micros__lt=1_000_000), name="signal_price_between_0_and_1"
            ),
            models.CheckConstraint(condition=Q(side__in=["BUY", "SELL"]), name="signal_side_known"),
        ]
        indexes = [
            models.Index(fields=["detected_at"], condition=Q(done_at__isnull=True), name="signal_open"),
            models.Index(fields=["leader", "detected_at"], name="signal_by_leader"),
            models.Index(fields=["token_id", "-id"], name="signal_by_token"),
        ]

    def __str__(self) -> str:
        return f"signal {self.pk}"


class SignalCursor(models.Model):
    """How far a source has been read, moved only after what was read is recorded."""

    source = models.CharField(max_length=32)
    key = models.CharField(max_length=66, blank=True)
    position = models.CharField(max_length=200)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="cursor_once")]

    def __str__(self) -> str:
        return f"{self.source} {self.key}".strip()


class LeaderPosition(models.Model):
    """What a leader holds of a token, when that is known. A partial history is never divided by."""

    leader = models.ForeignKey(Leader, on_delete=models.PROTECT, related_name="positions")
    token_id = Uint256Field()
    condition_id = models.CharField(max_length=66)
    size_micros = models.BigIntegerField(default=0)
    known = models.BooleanField(default=False)
    read_at = models.DateTimeField(null=True, help_text="When the venue was last asked; actions before it are in it.")
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["leader", "token_id"], name="leader_position_once"),
            models.CheckConstraint(condition=Q(size_micros__gte=0), name="leader_position_not_negative"),
        ]
        indexes = [models.Index(fields=["leader", "condition_id"], name="leader_position_condition")]

    def __str__(self) -> str:
        return f"position of leader {self.leader_id}"
