"""Reads of copy trading, returned as frozen values; one query each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F

from copytrading.decide import Config, Sides, SignalFacts
from copytrading.models import CopyConfig, CopyTrade, Leader, Signal
from copytrading.shards import shard_of
from copytrading.sizing import NOTHING_YET, Already, BelowMinimum, Sizing, SizingTerms
from copytrading.states import Status
from execution.queries import bounds_of
from ledger.units import Micros, Side, cost_up


def active_configs(leader_ids: Iterable[int]) -> dict[int, tuple[Config, ...]]:
    """The active configs of these leaders in the stated order of granting: by config id."""
    found: dict[int, list[Config]] = {leader: [] for leader in leader_ids}
    rows = CopyConfig.objects.filter(leader_id__in=list(found), active=True)
    for row in rows.select_related("follower", "leader").order_by("id"):
        found[row.leader_id].append(config_of(row))
    return {leader: tuple(configs) for leader, configs in found.items()}


def config_of(row: CopyConfig) -> Config:
    """A config row as the decisions see it; needs its follower and leader loaded."""
    return Config(
        config_id=row.pk,
        version=row.version,
        follower_id=row.follower_id,
        follower_wallet=row.follower.wallet,
        mode=row.follower.mode,
        leader_id=row.leader_id,
        terms=SizingTerms(
            sizing=Sizing(row.sizing),
            percentage_bps=row.percentage_bps,
            amount_micros=row.amount_micros,
            floor_micros=row.floor_micros,
            cap_micros=row.cap_micros,
            max_trade_micros=row.max_trade_micros,
            below_minimum=BelowMinimum(row.below_minimum),
        ),
        slippage_bps_max=row.slippage_bps_max,
        sides=Sides(row.sides),
        min_trigger_micros=row.min_trigger_micros,
        max_odds_micros=row.max_odds_micros,
        follower_bounds=bounds_of(row.follower),
        leader_bounds=bounds_of(row.leader),
    )


def signal_facts(signal: Signal, group_key: str) -> SignalFacts:
    """A signal row as the decisions see it."""
    held = signal.leader_held_micros
    return SignalFacts(
        signal_id=signal.pk,
        group_key=group_key,
        part=signal.part,
        leader_id=signal.leader_id,
        side=Side(signal.side),
        token_id=signal.token_id,
        condition_id=signal.condition_id,
        size_micros=Micros(signal.size_micros),
        total_size_micros=Micros(signal.total_size_micros),
        price_micros=Micros(signal.price_micros),
        leader_held_micros=None if held is None else Micros(held),
        traded_at=signal.traded_at,
        detected_at=signal.detected_at,
    )


def already_decided(signals: Sequence[SignalFacts]) -> dict[tuple[int, str], Already]:
    """What earlier parts of these groups made each config decide, by (config, group key).

    What was skipped was not decided; what failed was, so that a later part does not buy it again, but it no
    longer counts.
    """
    keys = {signal.group_key for signal in signals if signal.part > 1}
    if not keys:
        return {}
    rows = CopyTrade.objects.filter(signal__group__key__in=keys).exclude(status=Status.SKIPPED)
    found: dict[tuple[int, str], Already] = {}
    for config, key, size, limit, status in rows.values_list(
        "config_id", "signal__group__key", "size_micros", "limit_micros", "status"
    ):
        before = found.get((config, key), NOTHING_YET)
        found[config, key] = Already(
            size_micros=Micros(before.size_micros + size),
            cost_micros=Micros(before.cost_micros + cost_up(size, limit)),
            counted=before.counted or status != Status.FAILED,
        )
    return found


def why_not_copied(*, signal_id: int, follower_id: int) -> list[dict[str, Any]] | None:
    """Every reason why a follower has no fill of a signal, with values and limits; None when there is no row yet."""
    rows = CopyTrade.objects.filter(signal_id=signal_id, follower_id=follower_id)
    return next(iter(rows.values_list("reasons", flat=True)), None)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `of` parts of the leaders."""

    index: int = 0
    of: int = 1

    def leader_ids(self) -> list[int] | None:
        """The leaders of this shard; None when one shard has them all. Reads the leaders' wallets."""
        if self.of == 1:
            return None
        rows = Leader.objects.values_list("pk", "wallet")
        return [leader for leader, wallet in rows if shard_of(wallet, self.of) == self.index]


def open_signal_ids(*, before: datetime, limit: int, shard: Shard) -> list[int]:
    """Signals of a shard that some follower may still lack a copy of, oldest first."""
    rows = Signal.objects.filter(done_at__isnull=True, detected_at__lt=before)
    leaders = shard.leader_ids()
    if leaders is not None:
        rows = rows.filter(leader_id__in=leaders)
    return list(rows.order_by("detected_at", "id").values_list("pk", flat=True)[:limit])


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Which orders rescue asks about now: of its shard, open since before a moment, at most so many of each kind."""

    open_since: datetime
    now: datetime
    limit: int
    shard: Shard


def to_rescue(due: Due) -> list[CopyTrade]:
    """Orders without an outcome for too long, and watched FAILED orders whose next question is due.

    Those asked about longest ago come first, so that many cannot starve the rest.
    """
    rows = CopyTrade.objects.all()
    leaders = due.shard.leader_ids()
    if leaders is not None:
        rows = rows.filter(leader_id__in=leaders)
    stuck = rows.filter(
        status__in=[Status.PENDING, Status.UNKNOWN, Status.LIVE, Status.MATCHED], decided_at__lt=due.open_since
    ).exclude(next_retry_at__gt=due.now)
    watched = rows.filter(status=Status.FAILED, next_retry_at__lte=due.now)
    oldest_first = stuck.order_by(F("next_retry_at").asc(nulls_first=True), "id")
    return [*oldest_first[: due.limit], *watched.order_by("next_retry_at")[: due.limit]]
