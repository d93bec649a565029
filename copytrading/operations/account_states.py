"""What trading accounts are: due for a look, what they lack, stopped and started again, the single trader's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from copytrading.models import Follower
from execution.models import TradingAccount
from guardrails.intents import Reason, Refusal
from guardrails.operations import record_events
from ledger.audit import AuditNote, plain
from ledger.bulk import Done
from ledger.operations import write_audit

WHY_MAX, SUBJECT_MAX = 200, 80
"""Letters that the columns of accounts and of events hold."""

ACTIVE, STOPPED = TradingAccount.State.ACTIVE, TradingAccount.State.STOPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """An account as whoever looks after it needs it; `stopped_why` is None while it is active."""

    follower_id: int
    wallet: str
    signer: str
    signature_type: int
    tier: str
    mode: str
    session: bool
    session_valid_until: datetime | None
    checked_at: datetime | None
    stopped_why: str | None


_COLUMNS = (
    *("follower_id", "follower__wallet", "signer", "signature_type", "tier", "follower__mode", "kind"),
    *("session_valid_until", "checked_at", "state", "stopped_why"),
)


def account_rows(*, address: str = "") -> list[AccountRow]:
    """Every account by follower, or those of one wallet or key: what was sent for any of them may be asked about."""
    rows = TradingAccount.objects.order_by("follower_id")
    if address:
        rows = rows.filter(Q(follower__wallet=address) | Q(signer=address))
    return [_row(each) for each in rows.values_list(*_COLUMNS)]


def claim_due(*, before: datetime, now: datetime, limit: int) -> list[AccountRow]:
    """Active accounts that nobody has looked at since `before`, taken so that no other process looks at them now.

    The mark is the time of the claim: what a process that dies had taken is due again when that is too old.
    """
    rows = TradingAccount.objects.filter(state=ACTIVE, follower__mode=Follower.Mode.EXCHANGE)
    due = rows.filter(Q(checked_at__isnull=True) | Q(checked_at__lt=before))
    found = due.order_by(F("checked_at").asc(nulls_first=True))[:limit].values_list(*_COLUMNS)
    return [each for each in map(_row, found) if _claim(each, now)]


def write_missing(follower_id: int, missing: Sequence[Mapping[str, object]], *, now: datetime) -> bool:
    """What a look found that the account lacks; False when it is not active any more."""
    rows = TradingAccount.objects.filter(follower_id=follower_id, state=ACTIVE)
    return rows.update(missing=list(missing), checked_at=now) == 1


def stop_account(follower_id: int, why: str, *, revoked: bool, now: datetime) -> bool:
    """Stop an account in the engine's name, with its incident; False when it was stopped already.

    Nothing more is decided or signed for it from the next second on; what it holds and has open stays as it is.
    """
    with transaction.atomic():
        rows = TradingAccount.objects.filter(follower_id=follower_id, state=ACTIVE)
        if rows.update(state=STOPPED, stopped_why=why[:WHY_MAX], stopped_at=now) != 1:
            return False
        reason = Reason.SESSION_REVOKED if revoked else Reason.ACCOUNT_STOPPED
        incident = Refusal(reason, subject=f"follower {follower_id}: {why}"[:SUBJECT_MAX])
        record_events([(None, incident)], now=now)
    return True


def stop_accounts(account_ids: Sequence[int], *, who: str, why: str, now: datetime) -> Done:
    """Stop accounts in a person's name."""
    return _set_state(account_ids, STOPPED, who=who, why=why, now=now)


def start_accounts(account_ids: Sequence[int], *, who: str, why: str, now: datetime) -> Done:
    """Let stopped accounts trade again, as soon as a new look finds that they lack nothing."""
    return _set_state(account_ids, ACTIVE, who=who, why=why, now=now)


def ensure_single_trader(address: str) -> bool:
    """Give the follower whose wallet is this address an EOA account where it has none; True when it was made.

    `address` is that of TRADING_PRIVATE_KEY, in lower case: the single trader needs no other step.
    """
    with transaction.atomic():
        follower = Follower.objects.select_for_update().filter(wallet=address).first()
        if follower is None:
            return False
        account, made = TradingAccount.objects.get_or_create(
            follower=follower, defaults={"signer": address, "kind": TradingAccount.Kind.EOA}
        )
        if made:
            write_audit([_note(account, "add", who="TRADING_PRIVATE_KEY", why="its own wallet", before={})])
    return made


def _claim(row: AccountRow, now: datetime) -> bool:
    mine = TradingAccount.objects.filter(follower_id=row.follower_id, checked_at=row.checked_at, state=ACTIVE)
    if row.checked_at is None:
        mine = TradingAccount.objects.filter(follower_id=row.follower_id, checked_at__isnull=True, state=ACTIVE)
    return mine.update(checked_at=now) == 1


def _set_state(account_ids: Sequence[int], to: str, *, who: str, why: str, now: datetime) -> Done:
    stopping = to == STOPPED
    with transaction.atomic():
        rows = list(TradingAccount.objects.select_for_update().filter(pk__in=account_ids).order_by("pk"))
        changed = [row for row in rows if row.state != to]
        notes = []
        for row in changed:
            before = _told(row)
            row.state, row.stopped_why = to, why[:WHY_MAX] if stopping else ""
            row.stopped_at = now if stopping else None
            if not stopping:
                # What was found before says nothing any more: it trades when the next look finds it ready.
                row.missing, row.checked_at = None, None
            row.save(update_fields=["state", "stopped_why", "stopped_at", "missing", "checked_at"])
            notes.append(_note(row, "stop" if stopping else "start", who=who, why=why, before=before))
        write_audit(notes)
    state = "stopped" if stopping else "active"
    left = tuple(f"Account {row.signer} is {state} already." for row in rows if row not in changed)
    return Done(changed=len(changed), refused=left)


def _told(row: TradingAccount) -> dict[str, Any]:
    return {"state": str(row.state), "stopped_why": row.stopped_why, "stopped_at": plain(row.stopped_at)}


def _note(row: TradingAccount, action: str, *, who: str, why: str, before: dict[str, Any]) -> AuditNote:
    return AuditNote(
        actor=who,
        action=action,
        subject=TradingAccount._meta.label_lower,
        subject_id=str(row.pk),
        label=str(row),
        before=before,
        after=_told(row),
        why=why,
    )


def _row(values: tuple[Any, ...]) -> AccountRow:
    follower_id, wallet, signer, signature_type, tier, mode, kind, valid_until, checked_at, state, why = values
    return AccountRow(
        follower_id=follower_id,
        wallet=wallet,
        signer=signer,
        signature_type=signature_type,
        tier=tier,
        mode=mode,
        session=kind == TradingAccount.Kind.SESSION,
        session_valid_until=valid_until,
        checked_at=checked_at,
        stopped_why=why if state == STOPPED else None,
    )
