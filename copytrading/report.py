"""What one run read and made, counted from the database: the JSON of `replay` and `demo`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from django.db.models import Count, Sum

from copytrading.intake import ReadCounts
from copytrading.metrics import StageTimes
from copytrading.models import CopyTrade, Signal
from copytrading.operations.signals import digest_of

T = TypeVar("T")

CHUNK = 500
"""Ids named in one query; SQLite takes a bounded number of parameters."""


def run_report(counts: ReadCounts, stages: StageTimes, *, elapsed_ms: float) -> dict[str, Any]:
    """The report of a run; `signals`, `copies`, `skipped` and `dropped` count what this run added."""
    copies, skipped = _copies(counts.signal_ids)
    made = sum(copies.values())
    return {
        "rows": counts.rows,
        "trade_rows": counts.trade_rows,
        "repeated_rows": counts.repeated_rows,
        "other_rows": dict(sorted(counts.other_rows.items())),
        "unreadable": counts.unreadable,
        "groups": len(counts.group_sizes_micros),
        "signals": len(counts.signal_ids),
        "leader_size_micros": sum(counts.group_sizes_micros.values()),
        "signal_size_micros": _signal_size(list(counts.group_sizes_micros)),
        "copies": dict(sorted(copies.items())),
        "skipped": dict(skipped.most_common()),
        "dropped": _dropped(counts.signal_ids),
        "stages_ms": stages.summary(),
        "copies_per_s": round(made * 1_000 / elapsed_ms, 1) if elapsed_ms > 0 else 0.0,
    }


def _copies(signal_ids: Sequence[int]) -> tuple[Counter[str], Counter[str]]:
    """Copies by status, and skipped ones by their first reason, so that both add up."""
    copies: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for ids in _chunks(signal_ids):
        rows = CopyTrade.objects.filter(signal_id__in=ids)
        for status, number in rows.values_list("status").annotate(number=Count("id")).order_by():
            copies[status] += number
        for reasons in rows.filter(status="SKIPPED").values_list("reasons", flat=True).iterator():
            skipped[reasons[0]["reason"]] += 1
    return copies, skipped


def _signal_size(group_keys: Sequence[str]) -> int:
    total = 0
    for keys in _chunks([digest_of(key) for key in group_keys]):
        total += int(Signal.objects.filter(group__key__in=keys).aggregate(size=Sum("size_micros"))["size"] or 0)
    return total


def _dropped(signal_ids: Sequence[int]) -> int:
    """Signals of this run that have no copy at all."""
    missing = 0
    for ids in _chunks(signal_ids):
        missing += Signal.objects.filter(pk__in=ids, trades__isnull=True).count()
    return missing


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
