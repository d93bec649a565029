"""How well copies are made, as the page's table tells it: one line for each leader and follower. Reads only.

Everybody's newest copies are read for all open pages together, once in FRESH_MS for each window.
"""

from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from django.urls import reverse

from copytrading.quality.queries import WINDOWS, Ranked, Table, table
from copytrading.quality.summaries import Quality
from ledger.clock import Clock

FRESH_MS = 5_000
"""A page asks once a minute; a hundred open ones make one reading in so long, and a choice is not answered stale."""

OFFERED = tuple(name for name, (_words, span) in WINDOWS.items() if span is not None)
"""The windows that the page offers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """One side's average prices, by volume, in micros."""

    leader_micros: int
    own_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """So many copies that were skipped or failed gave this reason."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One leader or follower; `url` is their own page, empty for everybody. Delays are medians by stage, in ms.

    `misses` by reason, the most frequent first: a copy with two reasons counts under both, in `missed` once.
    """

    id: int
    name: str
    url: str
    copies: int
    fills: int
    buys: Traded | None
    sells: Traded | None
    slippage_bps: int | None
    slippage_p90_bps: int | None
    fee_bps: int | None
    fill_ratio_bps: int | None
    delays_ms: tuple[int | None, ...]
    missed: int
    misses: tuple[Missed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityTable:
    """What the page shows. `cut`: the window has more copies than the newest `looked_at`."""

    window: str
    now: datetime
    looked_at: int
    cut: bool
    everybody: Line
    leaders: tuple[Line, ...]
    followers: tuple[Line, ...]


class QualityTables:
    """The table of each window as last read; for the threads of the fetches."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, QualityTable]] = {}
        self._locks = {window: Lock() for window in OFFERED}

    def table(self, window: str) -> QualityTable:
        """At most FRESH_MS old, or one reading older while it is being read anew. Raises KeyError for no window."""
        lock, kept = self._locks[window], self._kept.get(window)
        if kept is not None and self._fresh(kept):
            return kept[1]
        if kept is not None and lock.locked():
            return kept[1]
        with lock:
            kept = self._kept.get(window)
            if kept is None or not self._fresh(kept):
                now = self._clock.now()
                kept = self._kept[window] = self._clock.monotonic_ms(), told(table(window=window, now=now), now)
            return kept[1]

    def _fresh(self, kept: tuple[float, QualityTable]) -> bool:
        return self._clock.monotonic_ms() - kept[0] < FRESH_MS


def told(found: Table, now: datetime) -> QualityTable:
    """The table for the page."""
    return QualityTable(
        window=found.window,
        now=now,
        looked_at=found.looked_at,
        cut=found.cut,
        everybody=_line(0, "Everybody", "", found.everybody),
        leaders=tuple(_line_of(each, "leader", found.window) for each in found.leaders),
        followers=tuple(_line_of(each, "follower", found.window) for each in found.followers),
    )


def _line_of(each: Ranked, who: str, window: str) -> Line:
    url = f"{reverse(f'admin:copytrading_{who}_story', args=[each.person_id])}?window={window}"
    return _line(each.person_id, each.name, url, each.quality)


def _line(person_id: int, name: str, url: str, quality: Quality) -> Line:
    traded = {
        each.side: Traded(leader_micros=each.leader_price_micros, own_micros=each.own_price_micros)
        for each in quality.prices
    }
    return Line(
        id=person_id,
        name=name,
        url=url,
        copies=quality.copies,
        fills=quality.fills,
        buys=traded.get("BUY"),
        sells=traded.get("SELL"),
        slippage_bps=quality.slippage_bps.weighted,
        slippage_p90_bps=quality.slippage_bps.p90,
        fee_bps=quality.fee_bps.weighted,
        fill_ratio_bps=quality.fill_ratio_bps,
        delays_ms=tuple(each.median for each in quality.delays),
        missed=quality.missed_copies,
        misses=tuple(Missed(reason=reason, count=count) for reason, count in quality.missed),
    )
