"""Rows about money. Amounts are micros; entries are append-only; rows point up by string keys, code does not."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class CashBalance(models.Model):
    """A follower's pUSD as the entries have it, and the part that open buys have reserved.

    Changed only in the transaction that writes the entries or the reservation, by `ledger.operations`. A buy
    reserves no more than is free; a late fill that is adopted may still take the cash below what is reserved.
    """

    follower = models.OneToOneField("copytrading.Follower", on_delete=models.PROTECT, related_name="cash")
    cash_micros = models.BigIntegerField(default=0)
    reserved_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(reserved_micros__gte=0), name="cash_reserved_not_negative"),
        ]

    def __str__(self) -> str:
        return f"cash of follower {self.follower_id}"


class LedgerEntry(models.Model):
    """One transfer from a credit to a debit account: balanced by its shape, written once, never changed."""

    class Kind(models.TextChoices):
        """What moved the money."""

        DEPOSIT = "DEPOSIT"
        WITHDRAWAL = "WITHDRAWAL"
        BUY = "BUY"
        SELL = "SELL"
        PROFIT = "PROFIT"
        LOSS = "LOSS"
        FEE = "FEE"
        SHARES = "SHARES"
        FOUND = "FOUND"
        COMMISSION = "COMMISSION"
        REVERSAL = "REVERSAL"

    key = models.CharField(max_length=120, unique=True, help_text="Deterministic: the same event writes it once.")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    debit_account = models.CharField(max_length=64, help_text="Receives the amount.")
    credit_account = models.CharField(max_length=64, help_text="Gives the amount.")
    asset = models.CharField(max_length=80, help_text="pUSD or a token id.")
    amount_micros = models.BigIntegerField()
    trade = models.ForeignKey(
        "copytrading.CopyTrade", null=True, on_delete=models.PROTECT, related_name="ledger_entries"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [
            models.CheckConstraint(condition=Q(amount_micros__gt=0), name="entry_amount_positive"),
            models.CheckConstraint(condition=~Q(debit_account=F("credit_account")), name="entry_two_accounts"),
        ]
        indexes = [
            models.Index(fields=["debit_account", "asset"], name="entry_debit"),
            models.Index(fields=["credit_account", "asset"], name="entry_credit"),
        ]

    def __str__(self) -> str:
        return self.key


class Claimable(models.Model):
    """The columns by which one worker takes a row for itself, and when it may be tried again."""

    claim_token = models.CharField(max_length=32, blank=True, default="")
    claimed_by = models.CharField(max_length=80, blank=True, default="")
    claimed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_retry_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class ReimbursementLedger(Claimable):
    """Operator float advanced for a copy, until the follower has paid it back (issue of settlement)."""

    class State(models.TextChoices):
        """The way of an advance; see reliability.md 2.2."""

        RESERVED = "RESERVED"
        VOID = "VOID"
        ADVANCED = "ADVANCED"
        IN_BATCH = "IN_BATCH"
        REIMBURSED = "REIMBURSED"
        DEBT = "DEBT"

    follower = models.ForeignKey("copytrading.Follower", on_delete=models.PROTECT, related_name="reimbursements")
    trade = models.OneToOneField("copytrading.CopyTrade", on_delete=models.PROTECT, related_name="reimbursement")
    amount_micros = models.BigIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.RESERVED)
    batch_key = models.CharField(max_length=66, blank=True, default="")
    tx_hash = models.CharField(max_length=66, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_micros__gt=0), name="reimbursement_positive"),
            models.CheckConstraint(
                condition=~Q(state="IN_BATCH") | ~Q(batch_key=""), name="reimbursement_batch_is_named"
            ),
        ]
        indexes = [models.Index(fields=["state", "next_retry_at"], name="reimbursement_due")]

    def __str__(self) -> str:
        return f"reimbursement of trade {self.trade_id}"


class Debt(Claimable):
    """What a follower owes after a reimbursement could not be taken (issue of settlement)."""

    class State(models.TextChoices):
        """The way of a debt; see reliability.md 2.3."""

        OPEN = "OPEN"
        RECOVERING = "RECOVERING"
        TX_PENDING = "TX_PENDING"
        RECOVERED = "RECOVERED"
        WRITTEN_OFF = "WRITTEN_OFF"

    follower = models.ForeignKey("copytrading.Follower", on_delete=models.PROTECT, related_name="debts")
    reimbursement = models.OneToOneField(ReimbursementLedger, on_delete=models.PROTECT, related_name="debt")
    amount_micros = models.BigIntegerField()
    recovered_micros = models.BigIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    tx_hash = models.CharField(max_length=66, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_micros__gt=0), name="debt_positive"),
            models.CheckConstraint(
                condition=Q(recovered_micros__gte=0, recovered_micros__lte=F("amount_micros")),
                name="debt_recovered_within_amount",
            ),
        ]
        indexes = [models.Index(fields=["state", "next_retry_at"], name="debt_due")]

    def __str__(self) -> str:
        return f"debt of follower {self.follower_id}"


class CommissionLog(Claimable):
    """A referrer's part of a follower's realised profit (issue of commissions)."""

    class State(models.TextChoices):
        """Earned with the trade, paid later, reversed with the trade."""

        EARNED = "EARNED"
        PAYING = "PAYING"
        PAID = "PAID"
        REVERSED = "REVERSED"

    referrer = models.ForeignKey("copytrading.Follower", on_delete=models.PROTECT, related_name="commissions_earned")
    follower = models.ForeignKey("copytrading.Follower", on_delete=models.PROTECT, related_name="commissions_caused")
    trade = models.OneToOneField("copytrading.CopyTrade", on_delete=models.PROTECT, related_name="commission")
    profit_micros = models.BigIntegerField()
    rate_bps = models.PositiveIntegerField()
    amount_micros = models.BigIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.EARNED)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(profit_micros__gt=0), name="commission_on_profit_only"),
            models.CheckConstraint(
                condition=Q(amount_micros__gte=0, amount_micros__lte=F("profit_micros")),
                name="commission_within_profit",
            ),
            models.CheckConstraint(condition=~Q(referrer=F("follower")), name="commission_from_another"),
        ]
        indexes = [models.Index(fields=["referrer", "created_at"], name="commission_by_referrer")]

    def __str__(self) -> str:
        return f"commission on trade {self.trade_id}"


class ReferralVolume(models.Model):
    """What the followers of one referrer traded on one UTC day, at fill prices: picks the tier of its commissions."""

    referrer = models.ForeignKey("copytrading.Follower", on_delete=models.PROTECT, related_name="referral_volumes")
    day = models.DateField()
    volume_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["referrer", "day"], name="referral_volume_once"),
            models.CheckConstraint(condition=Q(volume_micros__gte=0), name="referral_volume_not_negative"),
        ]

    def __str__(self) -> str:
        return f"volume of referrer {self.referrer_id} on {self.day}"


class AuditEntry(models.Model):
    """One change by a person: who, when, what, before and after. Append-only, and without secrets."""

    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=40, help_text="A verb: add, change, delete, pause, resume, retry, override.")
    subject = models.CharField(max_length=80, help_text="The kind of row, as app_label.model.")
    subject_id = models.CharField(max_length=80, blank=True)
    label = models.CharField(max_length=200, blank=True, help_text="The row's name at that moment.")
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    why = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["-created_at"], name="audit_time"),
            models.Index(fields=["subject", "subject_id"], name="audit_subject"),
            models.Index(fields=["actor", "-created_at"], name="audit_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.subject} {self.subject_id}".strip()
