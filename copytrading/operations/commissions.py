"""What referrers earn of the fills of those whom they referred: volume, commissions, and both taken back.

Inside the transaction of the fill, after everything else, because a referrer's volume is one row for many
followers. A commission is a debt of the operator to the referrer; the follower's own cash is not touched. Who pays
looks at the balance of the referrer's account too: a paid commission that is taken back leaves it below zero.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import F, Sum, Value
from django.db.models.functions import Greatest

from copytrading.models import CopyTrade, Follower
from execution.ports import Fill
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events
from ledger.commissions import VOLUME_DAYS, Tiers, commission
from ledger.entries import Entry
from ledger.entries import commission as commission_entry
from ledger.models import CommissionLog, ReferralVolume
from ledger.operations import write_entries
from ledger.sql import add_rows, upsert_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A fill that was booked under this key, with the profit that it realised."""

    row: CopyTrade
    key: str
    fill: Fill
    profit_micros: int


_EARNED = ("referrer", "follower", "profit_micros", "rate_bps", "amount_micros", "state")
_UNCLAIMED = ("claim_token", "claimed_by", "claimed_at", "attempts", "next_retry_at")


def earn_commissions(booked: Sequence[Booked], *, tiers: Tiers, now: datetime) -> None:
    """Count these fills for their followers' referrers, and write the commissions of those that earned.

    Each is measured by the volume before it, in the order given. Without tiers nothing is asked or written.
    """
    referrer_of = _referrers({each.row.follower_id for each in booked}) if tiers else {}
    if not referrer_of:
        return
    mine = [each for each in booked if each.row.follower_id in referrer_of]
    volume = _count_volume(mine, referrer_of, now.astimezone(UTC).date())
    entries: list[tuple[Entry, int | None]] = []
    logs: list[CommissionLog] = []
    for each in mine:
        row, referrer = each.row, referrer_of[each.row.follower_id]
        earned = commission(each.profit_micros, each.fill.fee_micros, volume_micros=volume[referrer], tiers=tiers)
        volume[referrer] += each.fill.cost_micros
        if earned is None:
            continue
        entry = commission_entry(referrer, earned.amount_micros, key=f"{each.key}:COMMISSION")
        entries.append((entry, row.pk))
        logs.append(
            CommissionLog(
                referrer_id=referrer,
                follower_id=row.follower_id,
                trade_id=row.pk,
                profit_micros=earned.profit_micros,
                rate_bps=earned.rate_bps,
                amount_micros=earned.amount_micros,
                state=CommissionLog.State.EARNED,
            )
        )
    write_entries(entries)
    # A trade that was taken back and is filled again has its row already.
    upsert_rows(CommissionLog, logs, unique=("trade",), update=(*_EARNED, *_UNCLAIMED))


def reverse_commissions(rows: Sequence[CopyTrade], *, now: datetime) -> None:
    """Take the volume and the commissions of reversed trades back; the entries are answered with the others.

    A commission that was paid, or is being paid, is an incident. A day's volume never falls below zero: what was
    traded without tiers, or under another referrer, was not counted in it.
    """
    standing = CommissionLog.objects.filter(trade__in=rows).exclude(state=CommissionLog.State.REVERSED)
    logs = {log.trade_id: log for log in standing.order_by("pk").select_for_update()}
    referrer_of = _referrers({row.follower_id for row in rows if row.pk not in logs})
    less: Counter[tuple[int, date]] = Counter()
    for row in rows:
        referrer = logs[row.pk].referrer_id if row.pk in logs else referrer_of.get(row.follower_id)
        if referrer is not None and row.executed_at is not None:
            less[referrer, row.executed_at.astimezone(UTC).date()] += row.fill_cost_micros
    for (referrer, day), micros in sorted(less.items()):
        volume = Greatest(F("volume_micros") - micros, Value(0))
        ReferralVolume.objects.filter(referrer_id=referrer, day=day).update(volume_micros=volume)
    spent = [log for log in logs.values() if log.state in (CommissionLog.State.PAYING, CommissionLog.State.PAID)]
    paid = [(s.trade_id, Refusal(Reason.PAID_COMMISSION_REVERSED, s.amount_micros, 0, Unit.MONEY)) for s in spent]
    record_events(paid, now=now)
    CommissionLog.objects.filter(trade__in=list(logs)).update(state=CommissionLog.State.REVERSED)


def _referrers(follower_ids: set[int]) -> dict[int, int]:
    """Of these followers those that were referred, with by whom."""
    referred = Follower.objects.filter(pk__in=follower_ids, referrer__isnull=False)
    return {follower: referrer for follower, referrer in referred.values_list("pk", "referrer_id") if referrer}


def _count_volume(booked: Sequence[Booked], referrer_of: Mapping[int, int], today: date) -> Counter[int]:
    """Add to today's volumes; what each referrer's window held before.

    The addition comes first: from then on its row is locked, and what is read with it is not old.
    """
    added: Counter[int] = Counter()
    for each in booked:
        added[referrer_of[each.row.follower_id]] += each.fill.cost_micros
    rows = [(referrer, today, volume) for referrer, volume in added.items()]
    add_rows(ReferralVolume, rows, unique=("referrer", "day"), add=("volume_micros",))
    window = ReferralVolume.objects.filter(
        referrer__in=list(added), day__gt=today - timedelta(days=VOLUME_DAYS), day__lte=today
    )
    sums = window.values_list("referrer_id").annotate(Sum("volume_micros"))
    return Counter({referrer: total - added[referrer] for referrer, total in sums})
