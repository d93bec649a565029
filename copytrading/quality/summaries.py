"""How well copies were made: prices, fees, delays and misses of many copies in a few figures. Pure.

Slippage is how much worse than the leader's price was traded, in basis points of that price. Above zero is worse for
the follower on both sides: a BUY above the leader's price, a SELL below it. Percentiles are by nearest rank.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from copytrading.states import Status
from ledger.units import BPS, ONE, Side

MS = timedelta(milliseconds=1)
SECOND_MS = 1_000


@dataclass(frozen=True, slots=True)
class Made:
    """What is measured of one copy. `size_micros` are the shares that its order asked for."""

    status: str
    reasons: Sequence[dict[str, object]]
    side: str
    leader_price_micros: int
    size_micros: int
    fill_size_micros: int
    fill_price_micros: int
    fill_cost_micros: int
    fee_micros: int
    traded_at: datetime
    detected_at: datetime
    decided_at: datetime
    order_timestamp_ms: int | None
    prewritten_at: datetime | None
    submitted_at: datetime | None
    answered_at: datetime | None
    executed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The fills of one side: their shares, and the average price of the leader and of the copies, by volume."""

    side: str
    fills: int
    size_micros: int
    leader_price_micros: int
    own_price_micros: int
    slippage_bps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Basis points of fills: of all together by volume, and of fill by fill. None without fills."""

    weighted: int | None
    median: int | None
    p90: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The whole milliseconds of one stage, over the `count` orders that have both its moments."""

    stage: str
    means: str
    count: int
    median: int | None
    p90: int | None
    p99: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well some copies were made.

    `wanted_micros` are the shares of orders that came to their end, `filled_micros` what of them was filled: orders
    still under way count in neither. `missed` counts reasons of copies that were skipped or failed; one with two
    reasons counts under both. Notes are no reasons.
    """

    copies: int
    orders: int
    fills: int
    wanted_micros: int
    filled_micros: int
    prices: tuple[Prices, ...]
    slippage_bps: Points
    fee_bps: Points
    delays: tuple[Delay, ...]
    missed: tuple[tuple[str, int], ...]
    missed_copies: int

    @property
    def fill_ratio_bps(self) -> int | None:
        """Filled shares over wanted ones; rounded down, so that only what is whole is told as whole."""
        return self.filled_micros * BPS // self.wanted_micros if self.wanted_micros else None


STAGES: tuple[tuple[str, str], ...] = (
    ("source", "from the leader's trade, whose time has whole seconds, to hearing it"),
    ("queue", "from hearing it until the facts of the decision were read; a copy that had to wait waits here"),
    ("decide", "from the facts to the order's time: size, rules, the venue's balance and book"),
    ("prewrite", "from the order's time until its row is durable: prices and hashes of its batch, one transaction"),
    ("send", "from the durable row to the bytes' leaving: its turn, signature, last checks, tries not taken"),
    ("venue", "from the bytes' leaving to the venue's first answer"),
    ("settlement", "from that answer to the confirmed fill"),
    ("seen to filled", "from hearing it to the confirmed fill"),
)
"""The stages of a copy, in order, by the moments that its row keeps; the last is all but the source.

Rows that are older than their `prewritten_at` tell nothing of prewrite and send.
"""

_ENDED_ORDERS = (Status.EXECUTED, Status.FAILED)
_MISSED = (Status.SKIPPED, Status.FAILED)


@dataclass(slots=True)
class _Traded:
    """Sums over the fills of one side."""

    fills: int = 0
    size_micros: int = 0
    leader_cost_micros: int = 0
    cost_micros: int = 0


@dataclass(slots=True)
class _Sums:
    orders: int = 0
    missed_copies: int = 0
    wanted_micros: int = 0
    fee_micros: int = 0
    sides: dict[str, _Traded] = field(default_factory=dict)
    slippage_bps: list[int] = field(default_factory=list)
    fee_bps: list[int] = field(default_factory=list)
    delays_ms: list[list[int]] = field(default_factory=lambda: [[] for _stage in STAGES])
    missed: Counter[str] = field(default_factory=Counter)


def quality_of(copies: Sequence[Made]) -> Quality:
    """The figures of these copies, in any order."""
    sums = _Sums()
    for each in copies:
        _count(each, sums)
    traded = sums.sides.values()
    worse = sum(_worse(side, sum_of.cost_micros, sum_of.leader_cost_micros) for side, sum_of in sums.sides.items())
    return Quality(
        copies=len(copies),
        orders=sums.orders,
        fills=sum(each.fills for each in traded),
        wanted_micros=sums.wanted_micros,
        filled_micros=sum(each.size_micros for each in traded),
        prices=tuple(_prices(side, sums.sides[side]) for side in ("BUY", "SELL") if side in sums.sides),
        slippage_bps=_points(sums.slippage_bps, worse, sum(each.leader_cost_micros for each in traded)),
        fee_bps=_points(sums.fee_bps, sums.fee_micros, sum(each.cost_micros for each in traded)),
        delays=tuple(_delay(*stage, found) for stage, found in zip(STAGES, sums.delays_ms, strict=True)),
        # Of equal ones by name: a page that is read anew keeps its order.
        missed=tuple(sorted(sums.missed.items(), key=lambda each: (-each[1], each[0]))),
        missed_copies=sums.missed_copies,
    )


def slippage_bps(made: Made) -> int:
    """How much worse than the leader's price a fill was, in bps of it; below zero when it was better."""
    return _bps(_worse(made.side, made.fill_price_micros, made.leader_price_micros), made.leader_price_micros)


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest rank among values in rising order; None without any."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def _count(made: Made, sums: _Sums) -> None:
    if made.status in _ENDED_ORDERS:
        sums.orders += 1
        sums.wanted_micros += made.size_micros
    if made.status in _MISSED:
        sums.missed_copies += 1
        sums.missed.update(_reasons(made))
    if made.status == Status.EXECUTED:
        _count_fill(made, sums)
    if made.submitted_at is not None:
        for found, each in zip(sums.delays_ms, _delays_ms(made), strict=True):
            if each is not None:
                found.append(each)


def _count_fill(made: Made, sums: _Sums) -> None:
    traded = sums.sides.setdefault(made.side, _Traded())
    traded.fills += 1
    traded.size_micros += made.fill_size_micros
    traded.cost_micros += made.fill_cost_micros
    traded.leader_cost_micros += made.fill_size_micros * made.leader_price_micros // ONE
    sums.fee_micros += made.fee_micros
    sums.slippage_bps.append(slippage_bps(made))
    if made.fill_cost_micros:
        sums.fee_bps.append(_bps(made.fee_micros, made.fill_cost_micros))


def _reasons(made: Made) -> Iterable[str]:
    return {str(each.get("reason")) for each in made.reasons if not each.get("note")}


def _delays_ms(made: Made) -> Iterable[int | None]:
    ordered_at = made.order_timestamp_ms and datetime.fromtimestamp(made.order_timestamp_ms // SECOND_MS, UTC).replace(
        microsecond=made.order_timestamp_ms % SECOND_MS * SECOND_MS
    )
    moments = (
        made.traded_at,
        made.detected_at,
        made.decided_at,
        ordered_at or None,
        made.prewritten_at,
        made.submitted_at,
        made.answered_at,
        made.executed_at,
    )
    yield from (_ms(*pair) for pair in pairwise(moments))
    yield _ms(made.detected_at, made.executed_at)


def _ms(before: datetime | None, after: datetime | None) -> int | None:
    """Never below zero: the clock of another machine, or a moment with whole milliseconds, may lie a little before."""
    if before is None or after is None:
        return None
    return max(0, round((after - before) / MS))


def _worse(side: str, own: int, leader: int) -> int:
    return leader - own if side == Side.SELL.value else own - leader


def _bps(part: int, whole: int) -> int:
    """To the nearest basis point, halves away from zero."""
    rounded = (2 * abs(part) * BPS + whole) // (2 * whole)
    return rounded if part >= 0 else -rounded


def _points(found: list[int], part: int, whole: int) -> Points:
    found.sort()
    return Points(
        weighted=_bps(part, whole) if whole else None, median=percentile(found, 50), p90=percentile(found, 90)
    )


def _prices(side: str, traded: _Traded) -> Prices:
    worse = _worse(side, traded.cost_micros, traded.leader_cost_micros)
    return Prices(
        side=side,
        fills=traded.fills,
        size_micros=traded.size_micros,
        leader_price_micros=traded.leader_cost_micros * ONE // traded.size_micros,
        own_price_micros=traded.cost_micros * ONE // traded.size_micros,
        slippage_bps=_bps(worse, traded.leader_cost_micros) if traded.leader_cost_micros else 0,
    )


def _delay(stage: str, means: str, found: list[int]) -> Delay:
    found.sort()
    return Delay(
        stage=stage,
        means=means,
        count=len(found),
        median=percentile(found, 50),
        p90=percentile(found, 90),
        p99=percentile(found, 99),
    )
