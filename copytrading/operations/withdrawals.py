"""A leader's transaction that is not in the chain (any more): its totals fall, what was copied is marked."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from copytrading.models import LeaderPosition, SignalGroup, SignalSourceTotal
from copytrading.operations.signals import AUTHORITATIVE
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """Groups whose total of the source fell, and those of them that had been acted on."""

    groups: int
    acted: int


def withdraw(source: str, tx_hashes: Collection[str], *, now: datetime) -> Withdrawn:
    """Let this source's totals of these transactions be nothing, and mark the groups that were acted on.

    Copies stay: they are trades of their own, and their group says that the leader's is gone. What the leader holds
    of these tokens is no longer known. A transaction that is mined again raises the total again, without a second
    copy, because what was acted on counts. Running it again changes nothing.
    """
    with transaction.atomic():
        shown = SignalGroup.objects.filter(
            tx_hash__in=tx_hashes, totals__source=source, totals__size_micros__gt=0
        ).values_list("key", flat=True)
        groups = list(SignalGroup.objects.select_for_update().filter(key__in=list(shown)).order_by("key"))
        totals = SignalSourceTotal.objects.filter(group__in=groups, source=source)
        totals.update(size_micros=0, notional_micros=0)
        acted = [group for group in groups if group.acted_size_micros and _is_gone(group, source)]
        SignalGroup.objects.filter(pk__in=[group.pk for group in acted]).update(withdrawn_at=now)
        for group in acted:
            _unlearn(group)
            refusal = Refusal(Reason.WITHDRAWN, group.acted_size_micros, 0, Unit.SHARES)
            record_events([(None, refusal)], now=now, subject=f"group {group.key} of leader {group.leader_id}")
    return Withdrawn(groups=len(groups), acted=len(acted))


def _is_gone(group: SignalGroup, source: str) -> bool:
    """Whether no block holds it: a pending transaction that vanished may have been mined under the logs' eyes."""
    others = SignalSourceTotal.objects.filter(group=group, source=AUTHORITATIVE, size_micros__gt=0)
    return group.withdrawn_at is None and (source == AUTHORITATIVE or not others.exists())


def _unlearn(group: SignalGroup) -> None:
    rows = LeaderPosition.objects.filter(leader_id=group.leader_id, condition_id=group.condition_id)
    rows.update(known=False)
    # A holding without a row counts as zero for a leader whose holdings are complete.
    group.leader.holdings_complete = False
    group.leader.save(update_fields=["holdings_complete"])
