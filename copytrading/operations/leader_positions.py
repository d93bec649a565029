"""Writes what was read of a leader's positions, where nothing happened about that time; opens them for new follows."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from copytrading.holdings import UNSURE_BEFORE
from copytrading.models import CopyConfig, Leader, LeaderPosition, Signal, SignalGroup
from copytrading.operations.signals import digest_of
from copytrading.signals import ActionKind
from execution.envelopes import StandingPosition
from execution.models import Market
from ledger.rows import new_row
from ledger.sql import upsert_rows
from ledger.units import ONE, Micros, Side

STANDING = "STANDING"
"""The kind and the source of the signal that opens a standing position."""

STANDING_MAX = 200
"""Positions that one new follow opens, the most valuable first: more would be a flood of orders at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What a leader acted on about the time of a reading: tokens with their conditions, and whole conditions."""

    tokens: Mapping[int, str]
    conditions: frozenset[str]

    def has(self, token_id: int, condition_id: str) -> bool:
        """Whether this token may have moved."""
        return token_id in self.tokens or condition_id in self.conditions

    def has_row(self, row: LeaderPosition) -> bool:
        """Whether the token of this row may have moved."""
        return self.has(row.token_id, row.condition_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsRead:
    """A leader's positions as the venue showed them at `read_at`; `whole` when none can be missing among them."""

    wallet: str
    read_at: datetime
    positions: tuple[StandingPosition, ...]
    whole: bool
    touched: Touched


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a reading taught: tokens known by it, known ones that it corrected, and whether nothing is missing."""

    known: int = 0
    corrected: int = 0
    complete: bool = False


def write_positions_read(read: PositionsRead) -> Learned:
    """Make the read sizes the known holdings, but for tokens that the leader acted on about the time of reading.

    Those keep what they have: known by what was heard since, or unknown until a reading in a quiet time. So no
    action is counted twice or left out, whatever order it is heard in. From a whole reading a token that is not in it
    is nothing, and what is not known is written down as such; only then does a missing row mean zero. One transaction.
    """
    with transaction.atomic():
        leader = Leader.objects.select_for_update(no_key=True).filter(wallet=read.wallet).first()
        if leader is None:
            return Learned()
        # The rows before the groups: who records an action meanwhile waits here, or has it recorded by now.
        rows = {
            row.token_id: row
            for row in LeaderPosition.objects.select_for_update().filter(leader=leader).order_by("leader_id", "id")
        }
        touched = _with_recorded(read, leader)
        if touched is None:
            return Learned()
        sizes = {each.token_id: each for each in read.positions if not touched.has(each.token_id, each.condition_id)}
        news = {token: (each.condition_id, int(each.size_micros)) for token, each in sizes.items()}
        if read.whole:
            shown = {each.token_id for each in read.positions}
            gone = [row for row in rows.values() if row.token_id not in shown]
            news |= {row.token_id: (row.condition_id, 0) for row in gone if not touched.has_row(row)}
        corrected = [rows[token] for token, (_c, size) in news.items() if token in rows]
        _write_known(leader, news, read.read_at)
        if read.whole:
            leader.holdings_complete = leader.holdings_complete or _name_unknown(leader, touched, rows)
            leader.holdings_read_at = read.read_at
            leader.save(update_fields=["holdings_complete", "holdings_read_at"])
    return Learned(
        known=len(news),
        corrected=sum(row.known and row.size_micros != news[row.token_id][1] for row in corrected),
        complete=leader.holdings_complete,
    )


def unlearned(wallets: Collection[str]) -> set[str]:
    """Those of these leaders of whom some holding is not known."""
    rows = Leader.objects.filter(wallet__in=wallets)
    unknown = rows.filter(Q(holdings_complete=False) | Q(positions__known=False))
    return set(unknown.values_list("wallet", flat=True))


def wanting_standing(wallet: str) -> bool:
    """Whether a follow of this leader waits for the leader's standing positions."""
    return _waiting_configs(wallet).exists()


def open_standing(wallet: str, positions: Iterable[StandingPosition], *, now: datetime) -> list[int]:
    """Write a buy of each position of a leader for every follow that begins with them; the new signals' ids.

    Once for each config: whatever the leader buys later comes as a trade. A follow that had begun without the option
    is not begun again by it. Sizes are the leader's, the choices of the config decide what becomes of them.
    """
    signals: list[int | None] = []
    with transaction.atomic():
        for config in _waiting_configs(wallet).select_for_update(no_key=True, of=("self",)).order_by("pk"):
            CopyConfig.objects.filter(pk=config.pk, standing_opened_at=None).update(standing_opened_at=now)
            if not config.versions.filter(active=True, open_standing=False).exists():
                signals += [_open(config, each, price, now=now) for each, price in _largest(positions)]
    return [each for each in signals if each is not None]


def _with_recorded(read: PositionsRead, leader: Leader) -> Touched | None:
    """What the caller found, and what any source has recorded since a while before the reading.

    None after a conversion: it moves tokens that nobody names.
    """
    kinds = [kind.value for kind in ActionKind]
    groups = SignalGroup.objects.filter(leader=leader, kind__in=kinds, traded_at__gte=read.read_at - UNSURE_BEFORE)
    if groups.filter(kind=ActionKind.CONVERSION.value).exists():
        return None
    rows = list(groups.values_list("token_id", "condition_id"))
    tokens = {token: condition for token, condition in rows if token is not None}
    conditions = {condition for token, condition in rows if token is None}
    return Touched(tokens={**read.touched.tokens, **tokens}, conditions=read.touched.conditions | conditions)


def _write_known(leader: Leader, news: Mapping[int, tuple[str, int]], read_at: datetime) -> None:
    rows = [
        new_row(
            LeaderPosition,
            leader_id=leader.pk,
            token_id=token,
            condition_id=condition,
            size_micros=size,
            known=True,
            read_at=read_at,
        )
        for token, (condition, size) in sorted(news.items())
    ]
    upsert_rows(LeaderPosition, rows, unique=("leader", "token_id"), update=("size_micros", "known", "read_at"))


def _name_unknown(leader: Leader, touched: Touched, rows: Mapping[int, LeaderPosition]) -> bool:
    """Write down which tokens are not known, so that all others can be nothing; False when some cannot be named."""
    tokens = dict(touched.tokens)
    markets = Market.objects.filter(condition_id__in=touched.conditions, first_token_id__isnull=False)
    named = set()
    for condition, first, second in markets.values_list("condition_id", "first_token_id", "second_token_id"):
        if first is not None and second is not None:
            named.add(condition)
            tokens |= {first: condition, second: condition}
    missing = [
        new_row(LeaderPosition, leader_id=leader.pk, token_id=token, condition_id=condition)
        for token, condition in sorted(tokens.items())
        if token not in rows
    ]
    upsert_rows(LeaderPosition, missing, unique=("leader", "token_id"), update=())
    return named == touched.conditions


def _waiting_configs(wallet: str) -> QuerySet[CopyConfig]:
    return CopyConfig.objects.filter(
        leader__wallet=wallet, active=True, open_standing=True, standing_opened_at__isnull=True
    )


def _largest(positions: Iterable[StandingPosition]) -> list[tuple[StandingPosition, Micros]]:
    """Those that have a price and something in them, the most valuable first."""
    priced = [(each, each.price_micros) for each in positions if each.price_micros is not None and each.size_micros > 0]
    return sorted(priced, key=lambda pair: (-pair[0].size_micros * pair[1], pair[0].token_id))[:STANDING_MAX]


def _open(config: CopyConfig, position: StandingPosition, price: Micros, *, now: datetime) -> int | None:
    """The signal for one config; None where it was written before, or the token against the leader is not known."""
    token: int | None = position.token_id
    if config.direction == CopyConfig.Direction.COUNTER:
        token, price = _other_token(position), Micros(ONE - price)
    if token is None:
        return None
    shared = {"token_id": token, "condition_id": position.condition_id, "side": Side.BUY.value, "traded_at": now}
    group, created = SignalGroup.objects.get_or_create(
        key=digest_of(f"{STANDING}:{config.pk}:{token}"),
        defaults={"leader_id": config.leader_id, "kind": STANDING, "parts": 1, **shared},
    )
    if not created:
        return None
    signal = Signal.objects.create(
        group=group,
        leader_id=config.leader_id,
        only_config=config,
        part=1,
        source=STANDING.lower(),
        size_micros=position.size_micros,
        total_size_micros=position.size_micros,
        price_micros=price,
        detected_at=now,
        **shared,
    )
    return signal.pk


def _other_token(position: StandingPosition) -> int | None:
    market = Market.objects.filter(condition_id=position.condition_id).first()
    pair = () if market is None else (market.first_token_id, market.second_token_id)
    return next((each for each in pair if each != position.token_id), None) if position.token_id in pair else None
