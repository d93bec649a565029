"""Sells what a stopped config still has of what was copied.

An exit is a signal of its own that only this config acts on, so that it is decided, priced, written and rescued
like every other copy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from copytrading.models import CopiedPosition, CopyTrade, Signal, SignalGroup, Standing
from copytrading.operations.outcomes import WATCH_FOR
from copytrading.operations.signals import digest_of
from copytrading.states import OPEN, Status
from execution.models import Market, Position
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events
from ledger.units import ONE, Micros, Side

EXIT = "EXIT"
"""The kind and the source of an exit's group and signal."""

EXIT_ATTEMPTS_MAX = 20
"""So often is looked for a way to sell; what can be sold is tried for longer, for a pause may last a day."""

EXIT_TRIES_MAX = 10_000
"""About a month of tries: what could be sold all the time and never was is somebody's to look at."""

EXIT_WAIT_S, EXIT_WAIT_S_MAX = 5, 300
"""Between two tries to sell what is left: doubled each time, so that twenty take about an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a stopped config still has of one token: of what it copied as much as the follower holds."""

    token_id: int
    condition_id: str
    size_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exiting:
    """A stopped config whose shares are to be sold."""

    standing_id: int
    config_id: int
    leader_id: int
    active: bool
    stopped_at: datetime
    attempts: int
    left: tuple[Left, ...]


def due_exits(leader_ids: Sequence[int] | None, *, now: datetime) -> list[Exiting]:
    """Exits whose next try is due and that have no order or signal under way."""
    rows = Standing.objects.filter(exiting=True, next_exit_at__lte=now).select_related("config")
    if leader_ids is not None:
        rows = rows.filter(config__leader_id__in=leader_ids)
    found = list(rows.order_by("next_exit_at"))
    busy = _busy(row.config_id for row in found)
    left = _left({row.config_id: row.config.follower_id for row in found})
    return [
        Exiting(
            standing_id=row.pk,
            config_id=row.config_id,
            leader_id=row.config.leader_id,
            active=row.config.active,
            stopped_at=row.stopped_at,
            attempts=row.exit_attempts,
            left=left.get(row.config_id, ()),
        )
        for row in found
        if row.stopped_at is not None and row.config_id not in busy
    ]


def try_exit(exiting: Exiting, prices: Mapping[int, Micros], *, now: datetime) -> list[int]:
    """Write a signal for each token that can be sold now, and say when to look again; the new signals' ids.

    With nothing left the exit ends a day after the stop, when no late fill can bring more. What cannot be sold (a
    closed market, less than its minimum, an unknown price, a config switched off) is given up with an incident. One
    transaction.
    """
    with transaction.atomic():
        sellable = [each for each in _sellable(exiting.left) if 0 < prices.get(each.token_id, 0) < ONE]
        given_up = bool(exiting.left) and _hopeless(exiting, sellable)
        over = not exiting.left and now - exiting.stopped_at > WATCH_FOR
        wait_s = min(EXIT_WAIT_S_MAX, EXIT_WAIT_S << min(exiting.attempts, 10)) if exiting.left else EXIT_WAIT_S_MAX
        changed = Standing.objects.filter(
            pk=exiting.standing_id, exiting=True, exit_attempts=exiting.attempts, stopped_at=exiting.stopped_at
        ).update(
            exiting=not (over or given_up),
            exit_attempts=exiting.attempts + (1 if exiting.left else 0),
            next_exit_at=now + timedelta(seconds=wait_s),
        )
        if changed != 1:
            return []
        if given_up:
            left = sum(each.size_micros for each in exiting.left)
            refusal = Refusal(Reason.EXIT_GIVEN_UP, left, 0, Unit.SHARES)
            record_events([(None, refusal)], now=now, subject=f"config {exiting.config_id}")
            return []
        return [_write_exit(exiting, each, prices[each.token_id], now=now) for each in sellable]


def _hopeless(exiting: Exiting, sellable: Sequence[Left]) -> bool:
    # A config switched off copies nothing, an exit neither.
    if not exiting.active or exiting.attempts >= EXIT_TRIES_MAX:
        return True
    return not sellable and exiting.attempts >= EXIT_ATTEMPTS_MAX


def _left(follower_of: Mapping[int, int]) -> dict[int, tuple[Left, ...]]:
    """By config what it still has; another leader's sell may have sold some of what it bought."""
    copied = CopiedPosition.objects.filter(config_id__in=list(follower_of), size_micros__gt=0).order_by("pk")
    rows = list(copied.values_list("config_id", "token_id", "condition_id", "size_micros"))
    positions = Position.objects.filter(
        follower_id__in=set(follower_of.values()), token_id__in={token for _config, token, *_rest in rows}
    )
    held = {
        (follower, token): size
        for follower, token, size in positions.values_list("follower_id", "token_id", "size_micros")
    }
    found: dict[int, tuple[Left, ...]] = {}
    for config, token, condition, size in rows:
        mine = min(size, held.get((follower_of[config], token), 0))
        if mine > 0:
            left = Left(token_id=token, condition_id=condition, size_micros=mine)
            found[config] = (*found.get(config, ()), left)
    return found


def _busy(config_ids: Iterable[int]) -> set[int]:
    ids = set(config_ids)
    orders = CopyTrade.objects.filter(config_id__in=ids, status__in=[status.value for status in (*OPEN, Status.READY)])
    signals = Signal.objects.filter(only_config_id__in=ids, done_at__isnull=True)
    return {*orders.values_list("config_id", flat=True), *signals.values_list("only_config_id", flat=True)}


def _sellable(left: Sequence[Left]) -> list[Left]:
    conditions = {each.condition_id for each in left}
    markets = {row.condition_id: row for row in Market.objects.filter(condition_id__in=conditions)}
    return [
        each
        for each in left
        if (market := markets.get(each.condition_id)) is not None
        and market.accepting_orders
        and not market.closed
        and each.size_micros >= market.min_size_micros
    ]


def _write_exit(exiting: Exiting, copied: Left, price: Micros, *, now: datetime) -> int:
    name = f"{EXIT}:{exiting.config_id}:{copied.token_id}:{exiting.stopped_at.isoformat()}"
    group, _created = SignalGroup.objects.get_or_create(
        key=digest_of(name),
        defaults={
            "leader_id": exiting.leader_id,
            "kind": EXIT,
            "condition_id": copied.condition_id,
            "token_id": copied.token_id,
            "side": Side.SELL.value,
            "traded_at": now,
        },
    )
    group.parts += 1
    group.save(update_fields=["parts"])
    signal = Signal.objects.create(
        group=group,
        leader_id=exiting.leader_id,
        only_config_id=exiting.config_id,
        part=group.parts,
        source=EXIT.lower(),
        side=Side.SELL.value,
        token_id=copied.token_id,
        condition_id=copied.condition_id,
        size_micros=copied.size_micros,
        total_size_micros=copied.size_micros,
        price_micros=price,
        traded_at=now,
        detected_at=now,
    )
    return signal.pk
