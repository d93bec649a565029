"""What the Data API has to show: rows in the order of their seconds, each from the moment its feed was recomputed."""

from collections import defaultdict
from dataclasses import dataclass

from execution.sandbox.rows import Shown

ROWS_MAX = 500_000
"""A day of the generator at its usual rate; beyond, the oldest are no longer shown."""

_MIX, _MASK = 2_654_435_761, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Entry:
    """A row, its number, and from when on (milliseconds since 1970) it is shown."""

    number: int
    shown_ms: int
    shown: Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows; None and empty sets filter nothing. `first_s` and `last_s` are inclusive."""

    wallet: str | None = None
    trades_only: bool = False
    taker_only: bool = False
    kinds: frozenset[str] = frozenset()
    side: str = ""
    conditions: frozenset[str] = frozenset()
    event: str = ""
    first_s: int | None = None
    last_s: int | None = None
    cash_min_micros: int = 0
    shares_min_micros: int = 0

    def keeps(self, shown: Shown) -> bool:
        """Whether the row is asked for, its wallet left aside."""
        return (
            (shown.trade or not self.trades_only)
            and (shown.taker or not self.taker_only)
            and (not self.kinds or shown.kind in self.kinds)
            and (not self.side or shown.side == self.side)
            and (not self.conditions or shown.condition_id in self.conditions)
            and (not self.event or shown.event_slug == self.event)
            and (self.first_s is None or shown.second >= self.first_s)
            and (self.last_s is None or shown.second <= self.last_s)
            and shown.cash_micros >= self.cash_min_micros
            and shown.shares_micros >= self.shares_min_micros
        )


class Feed:
    """All rows, and each wallet's."""

    def __init__(self) -> None:
        self._all: list[Entry] = []
        self._by_wallet: defaultdict[str, list[Entry]] = defaultdict(list)
        self.count = 0

    def add(self, shown: Shown, shown_ms: int) -> None:
        """Append a row that is shown from then on."""
        self.count += 1
        entry = Entry(self.count, shown_ms, shown)
        self._by_wallet[shown.wallet].append(entry)
        self._all.append(entry)
        if len(self._all) > ROWS_MAX:
            self._forget()

    def select(self, wanted: Filter, *, now_ms: int, upto: int, turn: int) -> list[Entry]:
        """The rows shown by `now_ms`, of the first `upto`, newest second first.

        Rows of one second come in an order that holds for a `turn` only, as the venue's have none.
        """
        source = self._all if wanted.wallet is None else self._by_wallet.get(wanted.wallet, [])
        found = [
            entry for entry in source if entry.shown_ms <= now_ms and entry.number <= upto and wanted.keeps(entry.shown)
        ]
        found.sort(key=lambda entry: (-entry.shown.second, ((entry.number ^ turn & 0xFFFF) * _MIX) & _MASK))
        return found

    def _forget(self) -> None:
        keep = self._all[ROWS_MAX // 10 :]
        first = keep[0].number
        self._all = keep
        for wallet, entries in self._by_wallet.items():
            self._by_wallet[wallet] = [entry for entry in entries if entry.number >= first]
