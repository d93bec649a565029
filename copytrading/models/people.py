"""Leaders, followers, and what a follower wants copied of a leader."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from copytrading.choices import tiers_trouble, words_trouble
from guardrails.models import SpendingLimits

wallet_validator = RegexValidator(r"\A0x[0-9a-f]{40}\Z", "Enter a wallet as 0x and 40 lower-case hexadecimal digits.")


def changed_by_the_database() -> "models.DateTimeField[Any, Any]":
    """When the row was last changed: set by a trigger of Postgres, whoever writes, for the engines' index."""
    return models.DateTimeField(db_default=Now(), editable=False, db_index=True)


class Leader(SpendingLimits):
    """A wallet whose trades are copied. Its limits bound what all followers together buy after it."""

    wallet = models.CharField(max_length=42, unique=True, validators=[wallet_validator])
    name = models.CharField(max_length=80, blank=True)
    holdings_complete = models.BooleanField(
        default=False,
        help_text="Every holding is known (a snapshot, or followed from the first trade); a missing row is then zero.",
    )
    holdings_read_at = models.DateTimeField(
        null=True, editable=False, help_text="When all positions were last read whole; actions before it are in them."
    )
    bankroll_micros = models.BigIntegerField(
        null=True, blank=True, help_text="All that the leader has, pUSD in micros; PROPORTIONAL copies divide by it."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = changed_by_the_database()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(bankroll_micros__isnull=True) | Q(bankroll_micros__gt=0), name="leader_bankroll_positive"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.wallet


class Follower(SpendingLimits):
    """An account that copies. Its limits bound what it buys after all leaders together."""

    class Mode(models.TextChoices):
        """Where its orders go: PAPER to nobody, EXCHANGE to the venue from its own account; PROXY is not built yet."""

        PAPER = "PAPER"
        EXCHANGE = "EXCHANGE"
        PROXY = "PROXY"

    wallet = models.CharField(max_length=42, unique=True, validators=[wallet_validator])
    name = models.CharField(max_length=80, blank=True)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.PAPER)
    referrer = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="referred")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = changed_by_the_database()

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
        SHARES = "SHARES"
        TIERED = "TIERED"
        BANKROLL = "BANKROLL"
        PROPORTIONAL = "PROPORTIONAL"

    class SellSizing(models.TextChoices):
        """How much is sold when the leader sells."""

        SAME_PERCENT = "SAME_PERCENT"
        FIXED_AMOUNT = "FIXED_AMOUNT"
        CUSTOM_PERCENT = "CUSTOM_PERCENT"

    class Direction(models.TextChoices):
        """With the leader, or against: the market's other token at one minus the leader's price."""

        SAME = "SAME"
        COUNTER = "COUNTER"

    class BelowMinimum(models.TextChoices):
        """What happens with a copy under the venue's minimum; ACCUMULATE carries it to the next one."""

        SKIP = "SKIP"
        RAISE = "RAISE"
        ACCUMULATE = "ACCUMULATE"

    class OrderKind(models.TextChoices):
        """What happens with what cannot be filled at once: FAK takes what there is, FOK takes all or nothing."""

        FAK = "FAK"
        FOK = "FOK"

    class Slippage(models.TextChoices):
        """FIXED: as far as the bound. AUTO: as far as spread and depth of the book ask for, within the bound."""

        FIXED = "FIXED"
        AUTO = "AUTO"

    class OnStop(models.TextChoices):
        """What happens with what was copied when a stop is reached."""

        HOLD = "HOLD"
        EXIT = "EXIT"

    class Sides(models.TextChoices):
        """Which of the leader's trades are copied."""

        BOTH = "BOTH"
        BUY = "BUY"
        SELL = "SELL"

    active = models.BooleanField(default=True)
    sizing = models.CharField(max_length=12, choices=Sizing.choices, default=Sizing.PERCENTAGE)
    percentage_bps = models.PositiveIntegerField(
        default=1_000,
        validators=[MaxValueValidator(1_000_000)],
        help_text="In bps, of the leader's shares (PERCENTAGE, RANGE) or of the own bankroll (BANKROLL).",
    )
    amount_micros = models.BigIntegerField(default=0, help_text="FIXED_AMOUNT: pUSD for each trade, in micros.")
    floor_micros = models.BigIntegerField(default=0, help_text="RANGE: least pUSD of a trade, in micros.")
    cap_micros = models.BigIntegerField(default=0, help_text="RANGE: most pUSD of a trade, in micros.")
    shares_micros = models.BigIntegerField(default=0, help_text="SHARES: shares of each trade, in micros.")
    tiers = models.JSONField(
        default=list,
        blank=True,
        help_text="TIERED: [from_micros, percentage_bps] pairs; the leader's pUSD picks the last one it reaches.",
    )
    direction = models.CharField(max_length=8, choices=Direction.choices, default=Direction.SAME)
    sell_sizing = models.CharField(max_length=14, choices=SellSizing.choices, default=SellSizing.SAME_PERCENT)
    sell_amount_micros = models.BigIntegerField(default=0, help_text="FIXED_AMOUNT sells: pUSD of each, in micros.")
    sell_percentage_bps = models.PositiveIntegerField(
        default=10_000,
        validators=[MaxValueValidator(10_000)],
        help_text="CUSTOM_PERCENT sells: part of the own holding, in bps.",
    )
    max_trade_micros = models.BigIntegerField(null=True, blank=True, help_text="Cuts any copy to this much pUSD.")
    below_minimum = models.CharField(max_length=10, choices=BelowMinimum.choices, default=BelowMinimum.SKIP)
    slippage_bps_max = models.PositiveIntegerField(default=200, validators=[MaxValueValidator(9_999)])
    slippage = models.CharField(max_length=5, choices=Slippage.choices, default=Slippage.FIXED)
    fee_bps_max = models.PositiveIntegerField(
        default=1_000,
        validators=[MaxValueValidator(10_000)],
        help_text="Most taker fee on top of the price, in bps of it. The venue's highest schedule asks for 700.",
    )
    order_type = models.CharField(max_length=3, choices=OrderKind.choices, default=OrderKind.FAK)
    sides = models.CharField(max_length=4, choices=Sides.choices, default=Sides.BOTH)
    min_trigger_micros = models.BigIntegerField(default=0, help_text="Ignore leader buys under this much pUSD.")
    max_odds_micros = models.PositiveIntegerField(null=True, blank=True, help_text="Do not buy above this price.")
    max_days_out = models.PositiveIntegerField(
        null=True, blank=True, help_text="Do not buy in markets that end later than in so many days."
    )
    min_liquidity_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Do not buy in markets with less liquidity, pUSD in micros."
    )
    min_volume_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Do not buy in markets with less volume so far, pUSD in micros."
    )
    categories = models.JSONField(default=list, blank=True, help_text="Buy only in these categories; empty is all.")
    keywords = models.JSONField(
        default=list, blank=True, help_text="Buy only where the market's title has one of these; empty is all."
    )
    max_per_market_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Most pUSD in one market, with what open buys reserve, in micros."
    )
    take_profit_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Stop when the copies of this leader have earned so much pUSD, in micros."
    )
    stop_loss_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Stop when the copies of this leader have lost so much pUSD, in micros."
    )
    max_drawdown_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Stop when their profit fell so much pUSD below its highest, in micros."
    )
    on_stop = models.CharField(max_length=4, choices=OnStop.choices, default=OnStop.HOLD)
    open_standing = models.BooleanField(
        default=False,
        help_text="When copying begins, also buy what the leader holds then, at its price of that moment.",
    )

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Refuse lists that the decisions could not read, and 0 % of anything. Raises ValidationError, by field."""
        nothing = not self.percentage_bps and self.sizing in (self.Sizing.PERCENTAGE, self.Sizing.BANKROLL)
        troubles = {
            "percentage_bps": "Nothing would be copied: choose more than 0." if nothing else "",
            "tiers": tiers_trouble(self.tiers),
            "categories": words_trouble(self.categories),
            "keywords": words_trouble(self.keywords),
        }
        if any(troubles.values()):
            raise ValidationError({name: text for name, text in troubles.items() if text})


class CopyConfig(ConfigFields):
    """What a follower wants of a leader now. The version rises with each change (`operations.people.save_config`)."""

    follower = models.ForeignKey(Follower, on_delete=models.PROTECT, related_name="configs")
    leader = models.ForeignKey(Leader, on_delete=models.PROTECT, related_name="configs")
    version = models.PositiveIntegerField(default=1, editable=False)
    standing_opened_at = models.DateTimeField(
        null=True, editable=False, help_text="When the leader's standing positions were opened, or it was too late to."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = changed_by_the_database()

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
            models.CheckConstraint(condition=Q(fee_bps_max__lte=10_000), name="config_fee_bound_sane"),
            models.CheckConstraint(
                condition=Q(max_odds_micros__isnull=True) | Q(max_odds_micros__gt=0, max_odds_micros__lt=1_000_000),
                name="config_max_odds_is_a_price",
            ),
            models.CheckConstraint(
                condition=Q(max_trade_micros__isnull=True) | Q(max_trade_micros__gt=0), name="config_max_trade_positive"
            ),
            models.CheckConstraint(condition=~Q(sizing="SHARES") | Q(shares_micros__gt=0), name="config_shares_set"),
            models.CheckConstraint(
                condition=~Q(sell_sizing="FIXED_AMOUNT") | Q(sell_amount_micros__gt=0), name="config_sell_amount_set"
            ),
            models.CheckConstraint(
                condition=Q(sell_percentage_bps__gt=0, sell_percentage_bps__lte=10_000),
                name="config_sell_percentage_sane",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__gt": 0}), name=f"config_{label}_positive"
                )
                for name, label in (
                    ("min_liquidity_micros", "liquidity"),
                    ("min_volume_micros", "volume"),
                    ("max_per_market_micros", "per_market"),
                    ("take_profit_micros", "take_profit"),
                    ("stop_loss_micros", "stop_loss"),
                    ("max_drawdown_micros", "drawdown"),
                )
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
