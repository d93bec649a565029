"""How much of a leader's action is new: totals by walk and source, their increase, and pages shown twice. Pure.

Rows have no unique key at any source (data-profile.md section 2), so rows are never compared one by one: a group
has a total per walk and source; the largest total counts, and only its increase is acted on.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal

from copytrading.signals import ActionKind, GroupKey, LeaderAction, group_key
from ledger.units import MAX_MICROS, ONE, Micros, Side, decimal_from_micros, micros_from_decimal

GROUPS_MAX = 2_000
"""Groups one tally remembers, about a kilobyte each: half a minute of the whole unfiltered stream at its recorded 60
rows a second, minutes of the followed wallets. The rows of a transaction come within seconds."""

REPEATED_BLOCK = 100
"""So many consecutive equal rows are a page served twice; fewer may well be separate fills (example 9)."""

# Holds every quotient of two amounts far beyond the digit that decides the rounding.
_EXACT = Context(prec=80)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTotal:
    """What one source has shown of a group in one walk so far.

    `size_micros` shares; `notional_micros` pUSD, the sum of size x price of the rows, each rounded half to even; the
    prices are the lowest and the highest of the rows. `traded_at` is the earliest; the rest is that of the first row.
    """

    key: GroupKey
    source: str
    kind: ActionKind
    wallet: str
    tx_hash: str
    condition_id: str
    token_id: int | None
    side: Side | None
    size_micros: Micros
    notional_micros: Micros
    price_min_micros: Micros
    price_max_micros: Micros
    traded_at: datetime
    title: str
    slug: str
    outcome: str
    outcome_index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActedTotals:
    """What the signals of a group add up to already: the sums of `Increase.size_micros` and `.notional_micros`."""

    size_micros: Micros
    notional_micros: Micros


NOTHING_ACTED = ActedTotals(size_micros=Micros(0), notional_micros=Micros(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Increase:
    """The part of a group that is new: `size_micros` > 0 shares at `price_micros`.

    Adding `size_micros` and `notional_micros` to the acted totals yields the source's total. The notional may be
    negative where two sources disagree about the price; the price never leaves the range of the source's rows.
    """

    size_micros: Micros
    price_micros: Micros
    notional_micros: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Overcount:
    """More was acted on than the authoritative source has ever seen: nothing is added, an incident is due."""

    value_micros: Micros
    limit_micros: Micros


class Tally:
    """The running totals of one walk, by source and group.

    Bounded: beyond `groups_max` the group untouched for longest is forgotten. A later row of a forgotten group
    starts again from zero, below what was acted on, so forgetting can only under-count, never copy twice.
    """

    def __init__(self, groups_max: int = GROUPS_MAX) -> None:
        self._groups_max = groups_max
        self._totals: dict[tuple[str, GroupKey], GroupTotal] = {}

    def __len__(self) -> int:
        return len(self._totals)

    def add(self, action: LeaderAction) -> GroupTotal:
        """Count one row, and answer its group's total with it."""
        row = _total_of(action)
        name = (row.source, row.key)
        before = self._totals.pop(name, None)
        total = row if before is None else _sum(before, row)
        self._totals[name] = total
        if len(self._totals) > self._groups_max:
            del self._totals[next(iter(self._totals))]
        return total


def increase(
    acted: ActedTotals, seen: GroupTotal, *, authoritative_total: Micros | None
) -> Increase | Overcount | None:
    """What to add to `acted` after a source has shown `seen`; None when nothing is new.

    Once an authoritative source (chain logs) has stated a total, no source lifts the group above it, and what was
    already acted on beyond it is an Overcount (examples 6 to 8). Prices are rounded half to even.
    """
    total = seen.size_micros
    if authoritative_total is not None:
        if acted.size_micros > authoritative_total:
            return Overcount(value_micros=acted.size_micros, limit_micros=authoritative_total)
        total = min(total, authoritative_total)
    size = Micros(total - acted.size_micros)
    if size <= 0:
        return None
    notional = Micros(_part_of(seen, total) - acted.notional_micros)
    return Increase(size_micros=size, price_micros=_price(notional, size, seen=seen), notional_micros=notional)


def repeated_blocks(fingerprints: Sequence[Hashable], block: int = REPEATED_BLOCK) -> list[bool]:
    """For each row whether it lies in `block` consecutive rows equal to an earlier such run that ended before.

    Exact, no hash is trusted; O(n log block) whatever the rows, also when all are equal.
    """
    repeated = [False] * len(fingerprints)
    earliest: dict[int, int] = {}
    marked_to = 0
    for start, name in enumerate(_window_names(fingerprints, block)):
        if earliest.setdefault(name, start) + block <= start:
            for row in range(max(start, marked_to), start + block):
                repeated[row] = True
            marked_to = start + block
    return repeated


def _total_of(action: LeaderAction) -> GroupTotal:
    value = decimal_from_micros(action.size_micros) * decimal_from_micros(action.price_micros)
    return GroupTotal(
        key=group_key(action),
        source=action.source,
        kind=action.kind,
        wallet=action.wallet,
        tx_hash=action.tx_hash,
        condition_id=action.condition_id,
        token_id=action.token_id,
        side=action.side,
        size_micros=action.size_micros,
        notional_micros=micros_from_decimal(value),
        price_min_micros=action.price_micros,
        price_max_micros=action.price_micros,
        traded_at=action.traded_at,
        title=action.title,
        slug=action.slug,
        outcome=action.outcome,
        outcome_index=action.outcome_index,
    )


def _sum(total: GroupTotal, row: GroupTotal) -> GroupTotal:
    size = total.size_micros + row.size_micros
    if size > MAX_MICROS:
        # Only a forged feed comes here; leaving the row out under-counts and keeps the sum inside its column.
        return total
    return replace(
        total,
        size_micros=Micros(size),
        notional_micros=Micros(total.notional_micros + row.notional_micros),
        price_min_micros=min(total.price_min_micros, row.price_min_micros),
        price_max_micros=max(total.price_max_micros, row.price_max_micros),
        traded_at=min(total.traded_at, row.traded_at),
    )


def _part_of(seen: GroupTotal, size_micros: Micros) -> Micros:
    """The notional of that much of the group at its average price; exactly the notional for the whole size."""
    product = Decimal(seen.notional_micros * size_micros)
    return micros_from_decimal(_EXACT.divide(product, Decimal(seen.size_micros * ONE)))


def _price(notional: Micros, size: Micros, *, seen: GroupTotal) -> Micros:
    """Compared before it is divided: a tiny increase between disagreeing sources has no meaningful quotient."""
    if notional * ONE <= seen.price_min_micros * size:
        return seen.price_min_micros
    if notional * ONE >= seen.price_max_micros * size:
        return seen.price_max_micros
    return micros_from_decimal(_EXACT.divide(Decimal(notional), Decimal(size)))


def _window_names(rows: Sequence[Hashable], width: int) -> list[int]:
    """A number for each run of `width` rows, the same for equal runs: runs are named from pairs of half runs."""
    if width == 1:
        return _numbered(rows)
    halves = _window_names(rows, width // 2)
    if width % 2 == 0:
        return _numbered(zip(halves, halves[width // 2 :], strict=False))
    return _numbered(zip(halves, halves[width // 2 :], rows[width - 1 :], strict=False))


def _numbered(values: Iterable[Hashable]) -> list[int]:
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]
