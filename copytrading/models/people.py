"""Leaders, followers, and what a follower wants copied of a leader."""

from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from guardrails.models import SpendingLimits

wallet_validator = RegexValidator(r"\A0x[0-9a-f]{40}\Z", "Enter a wallet as 0x and 40 lower-case hexadecimal digits.")


class Leader(SpendingLimits):
    """A wallet whose trades are copied. Its limits bound what all followers together buy after it."""

    wallet = models.CharField(max_length=42, unique=True, validators=[wallet_validator])
    name = models.CharField(max_length=80, blank=True)
    holdings_complete = models.BooleanField(
        default=False,
        help_text="Every holding is known (a snapshot, or followed from the first trade); a missing row is then zero.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.name or self.wallet


class Follower(SpendingLimits):
    """An account that copies. Its limits bound what it buys after all leaders together."""

    class Mode(models.TextChoices):
        """Where its orders go; only PAPER executes in this version."""

        PAPER = "PAPER"
        EXCHANGE = "EXCHANGE"
        PROXY = "PROXY"

    wallet = models.CharField(max_length=42, unique=True, validators=[wallet_validator])
    name = models.CharField(max_length=80, blank=True)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.PAPER)
    referrer = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="referred")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(referrer__isnull=True) | ~Q(referrer=F("id")), name="follower_not_own_referrer"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.wallet


class ConfigFields(models.Model):
    """The choices of one follower about one leader."""

    class Sizing(models.TextChoices):
        """How much of the leader's size is copied."""

        PERCENTAGE = "PERCENTAGE"
        FIXED_AMOUNT = "FIXED_AMOUNT"
        RANGE = "RANGE"

    class BelowMinimum(models.TextChoices):
        """What happens with a copy under the venue's minimum."""

        SKIP = "SKIP"
        RAISE = "RAISE"

    class Sides(models.TextChoices):
        """Which of the leader's trades are copied."""

        BOTH = "BOTH"
        BUY = "BUY"
        SELL = "SELL"

    active = models.BooleanField(default=True)
    sizing = models.CharField(max_length=12, choices=Sizing.choices, default=Sizing.PERCENTAGE)
    percentage_bps = models.PositiveIntegerField(
        default=1_000, validators=[MaxValueValidator(1_000_000)], help_text="Part of the leader's shares, in bps."
    )
    amount_micros = models.BigIntegerField(default=0, help_text="FIXED_AMOUNT: pUSD for each trade, in micros.")
    floor_micros = models.BigIntegerField(default=0, help_text="RANGE: least pUSD of a trade, in micros.")
    cap_micros = models.BigIntegerField(default=0, help_text="RANGE: most pUSD of a trade, in micros.")
    max_trade_micros = models.BigIntegerField(null=True, blank=True, help_text="Cuts any copy to this much pUSD.")
    below_minimum = models.CharField(max_length=8, choices=BelowMinimum.choices, default=BelowMinimum.SKIP)
    slippage_bps_max = models.PositiveIntegerField(default=200, validators=[MaxValueValidator(9_999)])
    sides = models.CharField(max_length=4, choices=Sides.choices, default=Sides.BOTH)
    min_trigger_micros = models.BigIntegerField(default=0, help_text="Ignore leader buys under this much pUSD.")
    max_odds_micros = models.PositiveIntegerField(null=True, blank=True, help_text="Do not buy above this price.")

    class Meta:
        abstract = True


class CopyConfig(ConfigFields):
    """What a follower wants of a leader now. The version rises with each change (`operations.people.save_config`)."""

    follower = models.ForeignKey(Follower, on_delete=models.PROTECT, related_name="configs")
    leader = models.ForeignKey(Leader, on_delete=models.PROTECT, related_name="configs")
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["follower", "leader"], name="config_once"),
            models.CheckConstraint(
                condition=Q(amount_micros__gte=0, floor_micros__gte=0, min_trigger_micros__gte=0),
                name="config_amounts_not_negative",
            ),
            models.CheckConstraint(
                condition=~Q(sizing="FIXED_AMOUNT") | Q(amount_micros__gt=0), name="config_fixed_amount_set"
            ),
            models.CheckConstraint(
                condition=~Q(sizing="RANGE") | Q(cap_micros__gt=0, floor_micros__lte=F("cap_micros")),
                name="config_range_in_order",
            ),
            models.CheckConstraint(
                condition=Q(percentage_bps__lte=1_000_000, slippage_bps_max__lt=10_000), name="config_bps_sane"
            ),
            models.CheckConstraint(
                condition=Q(max_odds_micros__isnull=True) | Q(max_odds_micros__gt=0, max_odds_micros__lt=1_000_000),
                name="config_max_odds_is_a_price",
            ),
            models.CheckConstraint(
                condition=Q(max_trade_micros__isnull=True) | Q(max_trade_micros__gt=0), name="config_max_trade_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"config {self.pk}: follower {self.follower_id} of leader {self.leader_id}"


class CopyConfigVersion(ConfigFields):
    """A version of a config as it was: what a copy was decided with stays readable after a change."""

    config = models.ForeignKey(CopyConfig, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    changed_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["config", "version"], name="config_version_once")]

    def __str__(self) -> str:
        return f"config {self.config_id} version {self.version}"
