"""Holds a follower's booked cash against what its account has on the venue, and books what came or went past us.

Deposits, withdrawals, redemptions and the owner's own trades move the venue's money and not our books. They are
booked as money from or to the outside, so that what buys are granted is what there is. Only while nothing of the
follower is open, and for a while after: what is under way would look like such a movement.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from copytrading.models import CopyTrade
from copytrading.states import OPEN, Status
from execution.models import TradingAccount
from ledger.entries import account, deposit, withdrawal
from ledger.models import CashBalance, LedgerEntry
from ledger.operations import Cash, lock_cash, write_cash, write_entries

QUIET = timedelta(seconds=60)
"""So long nothing may have ended: the venue's balances follow its trades by some seconds."""

_UNDER_WAY = tuple(status.value for status in (*OPEN, Status.READY))


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest:
    """A follower's booked cash while nothing of it is open, and the entry that made it so (0: none yet)."""

    follower_id: int
    cash_micros: int
    last_entry: int


def at_rest(follower_id: int, *, now: datetime) -> AtRest | None:
    """What the books say before the venue is asked; None while something is under way, or was a moment ago."""
    if _is_busy(follower_id, now=now):
        return None
    cash = CashBalance.objects.filter(follower_id=follower_id).values_list("cash_micros", flat=True).first()
    return AtRest(follower_id=follower_id, cash_micros=cash or 0, last_entry=_last_entry(follower_id))


def sync_cash(seen: AtRest, venue_micros: int, *, now: datetime) -> int | None:
    """Book the difference between the venue's money and ours, once; None when the books moved meanwhile.

    `venue_micros` was read after `seen`. The key of the entry follows from the entry before it, so that two who
    found the same difference cannot both book it: the second raises IntegrityError, and nothing of it stays.
    """
    with transaction.atomic():
        cash = lock_cash([seen.follower_id]).get(seen.follower_id, Cash(0, 0))
        untouched = cash.cash_micros == seen.cash_micros and _last_entry(seen.follower_id) == seen.last_entry
        if not untouched or cash.reserved_micros or _is_busy(seen.follower_id, now=now):
            return None
        difference = venue_micros - cash.cash_micros
        if difference:
            key = f"venue-cash:{seen.follower_id}:{seen.last_entry}"
            made = deposit if difference > 0 else withdrawal
            write_entries([(made(seen.follower_id, abs(difference), key), None)])
            cash.cash_micros = venue_micros
            write_cash({seen.follower_id: cash})
        TradingAccount.objects.filter(follower_id=seen.follower_id).update(synced_at=now)
    return difference


def _is_busy(follower_id: int, *, now: datetime) -> bool:
    mine, since = CopyTrade.objects.filter(follower_id=follower_id), now - QUIET
    lately = Q(status=Status.EXECUTED, executed_at__gt=since)
    lately |= Q(status=Status.FAILED, expires_at__gt=now, decided_at__gt=since)
    return mine.filter(Q(status__in=_UNDER_WAY) | lately).exists()


def _last_entry(follower_id: int) -> int:
    name = account(follower_id, "cash")
    found = LedgerEntry.objects.filter(Q(debit_account=name) | Q(credit_account=name)).order_by("-id")
    return found.values_list("pk", flat=True).first() or 0
