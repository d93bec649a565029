"""Stops of what is copied after one leader: measured, reached once by compare-and-set, lifted by a person."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q, Sum

from copytrading.models import CopiedPosition, CopyConfig, Standing
from copytrading.stops import Measured, StopTerms, measure, profit_of, stop_reached
from guardrails.intents import Refusal
from guardrails.operations import record_events
from ledger.sql import upsert_rows
from ledger.units import Micros

WANTS_STOP = (
    Q(take_profit_micros__isnull=False) | Q(stop_loss_micros__isnull=False) | Q(max_drawdown_micros__isnull=False)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A config with a stop, what its copies did, and where it stood.

    `money_micros` is received less spent and fees; `shares` are (token id, net shares) that are not zero.
    """

    config_id: int
    exit: bool
    terms: StopTerms
    money_micros: int
    shares: tuple[tuple[int, int], ...]
    baseline_micros: int | None
    peak_micros: int
    profit_micros: int | None
    stopped_at: datetime | None


def watched(leader_ids: Sequence[int] | None) -> tuple[list[Watched], dict[int, str]]:
    """Active configs with a stop and something copied, and the conditions of their tokens.

    None is every leader. Those stopped already are measured too: people look at them, and start them again. Three
    queries; what copies did in tokens they left is summed by the database.
    """
    rows = CopyConfig.objects.filter(WANTS_STOP, active=True)
    if leader_ids is not None:
        rows = rows.filter(leader_id__in=leader_ids)
    configs = {row.pk: row for row in rows.select_related("standing")}
    copied = CopiedPosition.objects.filter(config_id__in=list(configs))
    sums = (Sum("received_micros"), Sum("spent_micros"), Sum("fees_micros"))
    money = {row[0]: row[1] - row[2] - row[3] for row in copied.values_list("config_id").annotate(*sums)}
    shares: dict[int, list[tuple[int, int]]] = {}
    conditions: dict[int, str] = {}
    held = copied.exclude(size_micros=0).order_by("config_id", "token_id")
    for config_id, token_id, condition_id, size in held.values_list(
        "config_id", "token_id", "condition_id", "size_micros"
    ):
        shares.setdefault(config_id, []).append((token_id, size))
        conditions[token_id] = condition_id
    found = [_watched(configs[each], money[each], tuple(shares.get(each, ()))) for each in sorted(money)]
    return found, conditions


def write_measures(measures: Sequence[tuple[Watched, Measured]], *, now: datetime) -> list[tuple[Watched, Refusal]]:
    """Write what changed, and stop the configs whose stop is reached; those that this call stopped. One transaction.

    A config that a person started again, or another process stopped, since it was looked at is left to the next round.
    """
    with transaction.atomic():
        ids = [each.config_id for each, _measured in measures]
        locked = Standing.objects.select_for_update().filter(config_id__in=ids).order_by("config_id")
        columns = ("config_id", "baseline_micros", "stopped_at", "peak_micros")
        found = {row[0]: row[1:] for row in locked.values_list(*columns)}
        same = [
            (each, measured, found.get(each.config_id, _UNBORN)[2])
            for each, measured in measures
            if found.get(each.config_id, _UNBORN)[:2] == (each.baseline_micros, each.stopped_at)
        ]
        rows = [_measured_row(each, measured, peak_micros=peak, now=now) for each, measured, peak in same]
        update = ("profit_micros", "baseline_micros", "peak_micros", "measured_at")
        upsert_rows(Standing, rows, unique=("config",), update=update)
        return [
            (each, refusal)
            for each, measured, _peak in same
            if (refusal := _reached(each, measured)) is not None and _stop(each, refusal, now=now)
        ]


_UNBORN: tuple[int, None, int] = (0, None, 0)


def measured_of(each: Watched, prices: Mapping[int, Micros]) -> Measured | None:
    """The profit with its peak; None while a price is unknown, or when it is as written and no stop is reached."""
    profit = profit_of(each.money_micros, each.shares, prices)
    if profit is None:
        return None
    if each.baseline_micros is None:
        return Measured(profit_micros=profit, peak_micros=profit)
    measured = measure(profit, baseline_micros=each.baseline_micros, peak_micros=each.peak_micros)
    # The choices may have changed where the profit has not.
    return None if profit == each.profit_micros and _reached(each, measured) is None else measured


def _reached(each: Watched, measured: Measured) -> Refusal | None:
    if each.stopped_at is not None or each.baseline_micros is None:
        return None
    return stop_reached(each.terms, measured, baseline_micros=each.baseline_micros)


def _measured_row(each: Watched, measured: Measured, *, peak_micros: int, now: datetime) -> Standing:
    begins = each.baseline_micros is None
    return Standing(
        config_id=each.config_id,
        profit_micros=measured.profit_micros,
        baseline_micros=measured.profit_micros if begins else each.baseline_micros,
        peak_micros=measured.peak_micros if begins else max(measured.peak_micros, peak_micros),
        measured_at=now,
    )


def start_again(config_ids: Iterable[int]) -> int:
    """Let stopped configs copy again, their stops measured from the next look on. Returns how many were stopped.

    An exit that is still under way ends. Who did it and why is the caller's entry in the audit log.
    """
    changed = 0
    with transaction.atomic():
        rows = Standing.objects.select_for_update().filter(config_id__in=set(config_ids), stopped_at__isnull=False)
        for row in rows.order_by("config_id"):
            changed += Standing.objects.filter(pk=row.pk, stopped_at=row.stopped_at).update(
                stopped_at=None,
                stopped_reason="",
                stopped_value_micros=None,
                stopped_limit_micros=None,
                exiting=False,
                exit_attempts=0,
                next_exit_at=None,
                baseline_micros=None,
            )
    return changed


def _watched(config: CopyConfig, money_micros: int, shares: tuple[tuple[int, int], ...]) -> Watched:
    standing: Standing | None = getattr(config, "standing", None)
    return Watched(
        config_id=config.pk,
        exit=config.on_stop == CopyConfig.OnStop.EXIT,
        terms=StopTerms(
            take_profit_micros=config.take_profit_micros,
            stop_loss_micros=config.stop_loss_micros,
            max_drawdown_micros=config.max_drawdown_micros,
        ),
        money_micros=money_micros,
        shares=shares,
        baseline_micros=standing.baseline_micros if standing else 0,
        peak_micros=standing.peak_micros if standing else 0,
        profit_micros=standing.profit_micros if standing else None,
        stopped_at=standing.stopped_at if standing else None,
    )


def _stop(each: Watched, refusal: Refusal, *, now: datetime) -> bool:
    changed = Standing.objects.filter(config_id=each.config_id, stopped_at__isnull=True).update(
        stopped_at=now,
        stopped_reason=refusal.reason.value,
        stopped_value_micros=refusal.value,
        stopped_limit_micros=refusal.limit,
        exiting=each.exit,
        exit_attempts=0,
        next_exit_at=now if each.exit else None,
    )
    if changed == 1:
        record_events([(None, refusal)], now=now, subject=f"config {each.config_id}")
    return changed == 1
