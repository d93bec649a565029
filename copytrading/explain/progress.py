"""How the copies of one follower or one leader are going: outcomes, reasons, and how well they were made. Reads only.

Every read is bounded: the newest copies of the window, by the index of the person. What is left out is said.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from copytrading.explain import finding
from copytrading.explain.reasons import explanation, title
from copytrading.models import CopyTrade
from copytrading.quality.queries import COPIES_MAX, Who, copies_in, looked_at
from copytrading.quality.summaries import Made, Quality, quality_of
from copytrading.states import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoned:
    """How many copies gave this reason, and what it means."""

    reason: str
    title: str
    means: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The copies of one person in one window. `cut` says that there are more than were looked at.

    `gone` are those whose leader's transaction is not in the chain; `gone_at` is when that was found last.
    """

    seen: int
    cut: bool
    by_status: tuple[tuple[str, int], ...]
    skips: tuple[Reasoned, ...]
    failures: tuple[Reasoned, ...]
    notes: tuple[Reasoned, ...]
    quality: Quality
    gone: int
    gone_at: datetime | None


def copies_of(who: Who, person_id: int, *, window: str, now: datetime) -> Copies:
    """The copies of a follower, or of everybody who copies a leader. At most six queries beside the window's keys."""
    rows = copies_in(CopyTrade.objects.filter(**{f"{who}_id": person_id}), window=window, now=now)
    looked = looked_at(rows)
    told, outcomes, gone = looked.copies, Counter(each.status for each in looked.copies), _gone(rows)
    return Copies(
        seen=len(told),
        cut=looked.cut,
        by_status=tuple((status.value, outcomes[status]) for status in Status if outcomes[status]),
        skips=counted(_said(told, {Status.SKIPPED}, note=False).most_common()),
        failures=counted(_said(told, {Status.FAILED}, note=False).most_common()),
        notes=counted(_said(told, set(Status), note=True).most_common()),
        quality=quality_of(told),
        gone=len(gone),
        gone_at=max(gone, default=None),
    )


def _gone(rows: QuerySet[CopyTrade]) -> list[datetime]:
    """For each of the newest of these copies whose leader's trade is gone: when that was found."""
    found = finding.signals_gone()
    if not found:
        return []
    named = rows.filter(signal_id__in=found).order_by("-pk").values_list("signal_id", flat=True)[:COPIES_MAX]
    return [found[signal_id] for signal_id in named]


def _said(copies: Sequence[Made], statuses: set[Status], *, note: bool) -> Counter[str]:
    return Counter(
        str(each.get("reason"))
        for made in copies
        if made.status in statuses
        for each in made.reasons
        if bool(each.get("note")) is note
    )


def counted(missed: Sequence[tuple[str, int]]) -> tuple[Reasoned, ...]:
    """Reasons with what they mean, in this order."""
    return tuple(
        Reasoned(reason=reason, title=title(reason), means=explanation(reason), count=count) for reason, count in missed
    )
