"""Accounts that trade on the venue, and the secrets they trade with, sealed."""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

address_validator = RegexValidator(r"\A0x[0-9a-f]{40}\Z", "Enter 0x and 40 lower-case hexadecimal digits.")


class Secret(models.Model):
    """A secret in an envelope: AES-GCM under a key of its own, which is wrapped under a key-encryption key.

    `name` is the row's identity and part of what both seals authenticate, so that rows cannot be swapped. Opened by
    `execution.vault` alone; nothing of it is shown anywhere.
    """

    name = models.CharField(max_length=80, unique=True, help_text="PURPOSE:address, such as PRIVATE_KEY:0x….")
    version = models.PositiveIntegerField(default=1, help_text="Rises with each new value.")
    nonce = models.BinaryField(max_length=12)
    sealed = models.BinaryField(max_length=4_096)
    wrap_nonce = models.BinaryField(max_length=12)
    wrapped_key = models.BinaryField(max_length=64)
    kek_version = models.CharField(max_length=40, help_text="Which key-encryption key wraps it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.name


class TradingAccount(models.Model):
    """A follower's account on the venue. Its funds are in the follower's wallet; `signer` signs.

    EOA: signer and wallet are one. SESSION: the wallet is a deposit wallet (signature type 3), and the signer a session
    key that can trade and cannot withdraw. The key itself is the Secret PRIVATE_KEY:signer, or comes from
    TRADING_PRIVATE_KEY; the venue's API credentials are the Secret API_CREDENTIALS:signer.
    """

    class Kind(models.TextChoices):
        """How it signs."""

        EOA = "EOA", "EOA"
        SESSION = "SESSION"

    class State(models.TextChoices):
        """Whether orders may be signed for it."""

        ACTIVE = "ACTIVE"
        STOPPED = "STOPPED"

    class Tier(models.TextChoices):
        """The venue's tiers of order limits (polymarket.md 3.5)."""

        STANDARD = "STANDARD"
        COPPER = "COPPER"
        BRONZE = "BRONZE"
        SILVER = "SILVER"
        GOLD = "GOLD"
        PLATINUM = "PLATINUM"
        DIAMOND = "DIAMOND"
        ELITE = "ELITE"

    follower = models.OneToOneField("copytrading.Follower", on_delete=models.PROTECT, related_name="account")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.EOA)
    signer = models.CharField(max_length=42, unique=True, validators=[address_validator])
    signature_type = models.PositiveSmallIntegerField(
        default=0, help_text="0 EOA, 1 POLY_PROXY, 2 POLY_GNOSIS_SAFE, 3 POLY_1271 (deposit wallet)."
    )
    session_valid_until = models.DateTimeField(null=True, blank=True, help_text="SESSION: its key signs until.")
    tier = models.CharField(max_length=8, choices=Tier.choices, default=Tier.STANDARD)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ACTIVE)
    stopped_why = models.CharField(max_length=200, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    missing = models.JSONField(
        null=True, blank=True, editable=False, help_text="What it lacks to trade; null before it was ever checked."
    )
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    synced_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the booked cash was last held against the venue's."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(signature_type__lte=3), name="account_signature_type_known"),
            models.CheckConstraint(
                condition=~Q(kind="SESSION") | Q(signature_type=3, session_valid_until__isnull=False),
                name="account_session_of_deposit_wallet",
            ),
            models.CheckConstraint(
                condition=Q(state="ACTIVE") | Q(stopped_at__isnull=False), name="account_stopped_since_a_moment"
            ),
        ]

    def __str__(self) -> str:
        return f"account {self.signer}"
