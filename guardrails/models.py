"""Rows of the guardrails: what was refused, what was spent in a window, and what is switched off."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Scope(models.TextChoices):
    """Whom a budget or a switch concerns."""

    GLOBAL = "GLOBAL"
    LEADER = "LEADER"
    MARKET = "MARKET"
    FOLLOWER = "FOLLOWER"


def words_of(code: str) -> str:
    """A code as people write it: DRY_RUN is 'Dry run'."""
    return code.capitalize().replace("_", " ")


def whom(scope: str, key: str) -> str:
    """Whom a row concerns, in words: 'everything', 'leader 7'."""
    return "everything" if scope == Scope.GLOBAL else f"{scope.lower()} {key}"


class SpendingLimits(models.Model):
    """Four optional bounds on what is bought in an hour and in a UTC day; empty is no bound.

    Spending is counted from the moment a bound is set. Sells are never bounded: an exit must not be stuck.
    """

    hourly_limit_micros = models.BigIntegerField(null=True, blank=True)
    daily_limit_micros = models.BigIntegerField(null=True, blank=True)
    hourly_limit_count = models.PositiveIntegerField(null=True, blank=True)
    daily_limit_count = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class Budget(models.Model):
    """Money (at limit prices) and copies granted to one scope in one window; locked by every prewrite that uses it."""

    class Period(models.TextChoices):
        """Length of the window; a day is a UTC day."""

        HOUR = "HOUR"
        DAY = "DAY"

    scope = models.CharField(max_length=8, choices=Scope.choices)
    key = models.CharField(max_length=66, blank=True, help_text="Follower or leader id, condition id, empty for all.")
    period = models.CharField(max_length=4, choices=Period.choices)
    starts_at = models.DateTimeField()
    spent_micros = models.BigIntegerField(default=0)
    count = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "key", "period", "starts_at"], name="budget_once"),
            models.CheckConstraint(condition=Q(spent_micros__gte=0, count__gte=0), name="budget_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{words_of(self.period)} of {whom(self.scope, self.key)} from {self.starts_at:%Y-%m-%d %H:%M}"


class Switch(models.Model):
    """A pause or a dry run for everything, a leader, a market or a follower; on while the row says so."""

    class Kind(models.TextChoices):
        """PAUSE sends nothing; DRY_RUN plans and signs, then skips."""

        PAUSE = "PAUSE"
        DRY_RUN = "DRY_RUN"

    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.PAUSE)
    scope = models.CharField(max_length=8, choices=Scope.choices)
    key = models.CharField(max_length=66, blank=True, help_text="Follower or leader id, condition id, empty for all.")
    on = models.BooleanField(default=False)
    why = models.CharField(max_length=200, blank=True)
    changed_by = models.CharField(max_length=150, blank=True)
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "switches"
        constraints = [
            models.UniqueConstraint(fields=["kind", "scope", "key"], name="switch_once"),
            models.CheckConstraint(
                condition=(Q(scope="GLOBAL") & Q(key="")) | (~Q(scope="GLOBAL") & ~Q(key="")),
                name="switch_key_fits_scope",
            ),
        ]

    def __str__(self) -> str:
        return f"{words_of(self.kind)} of {whom(self.scope, self.key)}"


class GuardrailEvent(models.Model):
    """One refusal or incident with the value seen and the limit it passed."""

    reason = models.CharField(max_length=32)
    value = models.BigIntegerField(null=True)
    limit = models.BigIntegerField(null=True)
    unit = models.CharField(max_length=8, blank=True)
    trade = models.ForeignKey(
        "copytrading.CopyTrade", null=True, on_delete=models.PROTECT, related_name="guardrail_events"
    )
    subject = models.CharField(max_length=200, blank=True, help_text="What it concerns when there is no trade.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["reason", "created_at"], name="guardrail_reason_time"),
            models.Index(fields=["created_at"], name="guardrail_time"),
        ]

    def __str__(self) -> str:
        return words_of(self.reason)


class Breaker(models.Model):
    """A circuit breaker: CLOSED lets pass, OPEN refuses until `probe_at`, HALF_OPEN lets a few probes through.

    `counts` is the pure state of `guardrails.circuits` as JSON. An operator may override with a reason.
    """

    class Scope(models.TextChoices):
        """Whose orders it counts and holds back."""

        GLOBAL = "GLOBAL"
        VENUE = "VENUE"
        FOLLOWER = "FOLLOWER"

    class State(models.TextChoices):
        """See guardrails/breakers.py for the transitions."""

        CLOSED = "CLOSED"
        OPEN = "OPEN"
        HALF_OPEN = "HALF_OPEN"

    class Kind(models.TextChoices):
        """What it counts."""

        FAILURE_RATE = "FAILURE_RATE"
        UNKNOWN_RATE = "UNKNOWN_RATE"
        PRICE_DEVIATION = "PRICE_DEVIATION"
        CONSECUTIVE_LOSSES = "CONSECUTIVE_LOSSES"
        DAILY_DRAWDOWN = "DAILY_DRAWDOWN"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    scope = models.CharField(max_length=8, choices=Scope.choices)
    key = models.CharField(max_length=66, blank=True, help_text="A venue's name, a follower's id, empty for all.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.CLOSED)
    counts = models.JSONField(default=dict, blank=True)
    why = models.CharField(max_length=200, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True)
    changed_by = models.CharField(
        max_length=150, blank=True, help_text="The operator of an override; empty for itself."
    )
    changed_at = models.DateTimeField(db_default=Now())
    version = models.PositiveIntegerField(default=0, help_text="Rises with each change; changes name it.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "scope", "key"], name="breaker_once"),
            models.CheckConstraint(
                condition=Q(state="CLOSED") | Q(opened_at__isnull=False), name="breaker_open_since_a_moment"
            ),
            models.CheckConstraint(
                condition=(Q(scope="GLOBAL") & Q(key="")) | (~Q(scope="GLOBAL") & ~Q(key="")),
                name="breaker_key_fits_scope",
            ),
        ]
        indexes = [models.Index(fields=["changed_at"], name="breaker_changed")]

    def __str__(self) -> str:
        return f"{words_of(self.kind)} breaker for {whom(self.scope, self.key)}"
