"""Seeds leaders, followers and configs in bulk: for the demo, for replays and for benchmarks."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from django.db import transaction

from copytrading.models import CopyConfig, CopyConfigVersion, Follower, Leader
from ledger.models import CashBalance
from ledger.operations import deposit_cash
from ledger.units import ONE

# Different enough that sizing, caps, minimums and filters all have work to do.
VARIETY: tuple[Mapping[str, Any], ...] = (
    {"sizing": "PERCENTAGE", "percentage_bps": 10_000, "slippage_bps_max": 500},
    {"sizing": "PERCENTAGE", "percentage_bps": 2_500, "below_minimum": "RAISE", "slippage_bps_max": 300},
    {"sizing": "FIXED_AMOUNT", "amount_micros": 5 * ONE, "slippage_bps_max": 400},
    {"sizing": "FIXED_AMOUNT", "amount_micros": 25 * ONE, "max_odds_micros": 850_000},
    {"sizing": "RANGE", "percentage_bps": 5_000, "floor_micros": 3 * ONE, "cap_micros": 20 * ONE},
    {"sizing": "PERCENTAGE", "percentage_bps": 1_000, "max_trade_micros": 100 * ONE},
    {"sizing": "PERCENTAGE", "percentage_bps": 50_000, "max_trade_micros": 50 * ONE, "sides": "BUY"},
    {
        "sizing": "RANGE",
        "percentage_bps": 1_000,
        "floor_micros": 2 * ONE,
        "cap_micros": 10 * ONE,
        "min_trigger_micros": ONE,
    },
)


def wallet_named(label: str) -> str:
    """A made-up wallet address that the same label always has."""
    return f"0x{sha256(label.encode()).hexdigest()[:40]}"


def seed_leaders(wallets: Mapping[str, str], *, holdings_complete: bool) -> list[Leader]:
    """Leaders by wallet with their names; those that exist stay as they are."""
    rows = [Leader(wallet=w, name=name, holdings_complete=holdings_complete) for w, name in sorted(wallets.items())]
    Leader.objects.bulk_create(rows, ignore_conflicts=True)
    return list(Leader.objects.filter(wallet__in=list(wallets)).order_by("wallet"))


def seed_followers(names: Sequence[str], *, label: str, cash_micros: int) -> list[Follower]:
    """Paper followers, each with a first deposit; those that exist keep what they have."""
    wallets = {wallet_named(f"{label}:{index}"): name for index, name in enumerate(names)}
    with transaction.atomic():
        Follower.objects.bulk_create(
            [Follower(wallet=wallet, name=name) for wallet, name in wallets.items()], ignore_conflicts=True
        )
        rows = {row.wallet: row for row in Follower.objects.filter(wallet__in=list(wallets))}
        paid = set(CashBalance.objects.filter(follower__in=rows.values()).values_list("follower_id", flat=True))
        fresh = [row.pk for row in rows.values() if row.pk not in paid]
        deposit_cash(fresh, cash_micros, key="first-deposit")
    return [rows[wallet] for wallet in wallets]


def seed_configs(
    leaders: Iterable[Leader], followers: Sequence[Follower], *, variety: Sequence[Mapping[str, Any]] = VARIETY
) -> int:
    """Make every follower follow every leader, with configs that vary in turn. Returns how many were added."""
    leader_ids = [leader.pk for leader in leaders]
    existing = set(CopyConfig.objects.filter(leader_id__in=leader_ids).values_list("leader_id", "follower_id"))
    rows = [
        CopyConfig(leader_id=leader_id, follower=follower, **variety[index % len(variety)])
        for leader_id in leader_ids
        for index, follower in enumerate(followers)
        if (leader_id, follower.pk) not in existing
    ]
    with transaction.atomic():
        CopyConfig.objects.bulk_create(rows, batch_size=1_000)
        fields = [field.attname for field in CopyConfigVersion._meta.fields if field.attname in CONFIG_COLUMNS]
        CopyConfigVersion.objects.bulk_create(
            (
                CopyConfigVersion(config=row, version=row.version, **{name: getattr(row, name) for name in fields})
                for row in rows
            ),
            batch_size=1_000,
        )
    return len(rows)


CONFIG_COLUMNS = frozenset(field.attname for field in CopyConfig._meta.fields) - {
    "id",
    "follower_id",
    "leader_id",
    "version",
    "created_at",
}
