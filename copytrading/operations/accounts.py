"""Adds a follower's account on the venue: its sealed key, its row and the follower's mode, in one transaction.

And keeps on record what a person has sent for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from copytrading.models import CopyTrade, Follower
from copytrading.states import OPEN
from execution.models import Position, TradingAccount
from execution.vault.vault import PRIVATE_KEY, Vault, secret_name
from ledger.audit import AuditNote
from ledger.operations import write_audit

POLY_1271 = 3


class AccountRefused(Exception):
    """The account cannot be added; the message is a sentence for people, without the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account as it is asked for; addresses in lower case."""

    wallet: str
    signer: str
    kind: TradingAccount.Kind
    signature_type: int
    valid_until: datetime | None = None


def account_trouble(new: NewAccount, *, now: datetime) -> str | None:
    """Why this account cannot be, as a sentence; None when it can."""
    if new.kind == TradingAccount.Kind.SESSION:
        if new.signature_type != POLY_1271:
            return "A session key signs for a deposit wallet: its signature type is 3."
        if new.valid_until is None or new.valid_until <= now:
            return "A session key needs --valid-until with a moment that is still to come."
        if new.signer == new.wallet:
            return "This is the key of the wallet itself. A session key has an address of its own."
        return None
    if new.valid_until is not None:
        return "--valid-until is for session keys."
    if new.signature_type == 0 and new.signer != new.wallet:
        return f"This key is that of {new.signer}, and the follower's wallet is {new.wallet}: no EOA account."
    if new.signature_type != 0 and new.signer == new.wallet:
        return f"With signature type {new.signature_type} the wallet is a contract, and no key has its address."
    return None


def add_account(new: NewAccount, secret: bytes | None, *, vault: Vault, actor: str) -> TradingAccount:
    """Seal the key (None: it is not stored), make the account and set the follower to EXCHANGE; one transaction.

    Raises AccountRefused and VaultError; nothing is written then.
    """
    try:
        with transaction.atomic():
            follower = Follower.objects.select_for_update().filter(wallet=new.wallet).first()
            if follower is None:
                raise AccountRefused(f"There is no follower with the wallet {new.wallet}. Add one in the admin first.")
            _refuse_paper(follower)
            if secret is not None:
                vault.put(secret_name(PRIVATE_KEY, new.signer), secret)
            account = TradingAccount.objects.create(
                follower=follower,
                kind=new.kind,
                signer=new.signer,
                signature_type=new.signature_type,
                session_valid_until=new.valid_until,
            )
            before, follower.mode = follower.mode, Follower.Mode.EXCHANGE
            follower.save(update_fields=["mode"])
            write_audit([_note(follower, new, before=before, actor=actor)])
    except IntegrityError:
        raise AccountRefused("Another account with this follower or this key was made at the same moment.") from None
    return account


def note_approvals(follower_id: int, names: Sequence[str], *, first_nonce: int, chain_id: int, actor: str) -> None:
    """Record that a person has these approvals sent, before the first one leaves; wallet and nonces say which they are.

    Raises AccountRefused when the account is gone.
    """
    with transaction.atomic():
        account = TradingAccount.objects.filter(follower_id=follower_id).first()
        if account is None:
            raise AccountRefused("The account is gone.")
        sent = {name: first_nonce + number for number, name in enumerate(names)}
        note = AuditNote(
            actor=actor,
            action="approve",
            subject="execution.tradingaccount",
            subject_id=str(account.pk),
            label=str(account),
            before={"missing": list(names)},
            after={"chain_id": chain_id, "nonces": sent},
        )
        write_audit([note])


def _refuse_paper(follower: Follower) -> None:
    if TradingAccount.objects.filter(follower=follower).exists():
        raise AccountRefused(f"{follower} has an account already; it is left as it is.")
    if CopyTrade.objects.filter(follower=follower, status__in=OPEN).exists():
        raise AccountRefused(f"{follower} has orders under way; pause the follower and wait until they are settled.")
    if Position.objects.filter(follower=follower, size_micros__gt=0).exists():
        raise AccountRefused(
            f"{follower} holds shares on paper, of which the venue knows nothing: add another follower for real money."
        )


def _note(follower: Follower, new: NewAccount, *, before: str, actor: str) -> AuditNote:
    return AuditNote(
        actor=actor,
        action="add",
        subject="execution.tradingaccount",
        subject_id=str(follower.pk),
        label=str(follower),
        before={"mode": before},
        after={
            "mode": follower.mode,
            "kind": str(new.kind),
            "signer": new.signer,
            "signature_type": new.signature_type,
        },
    )
