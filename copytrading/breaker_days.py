"""What accounts, venues and everybody have realised since midnight UTC, for the breakers of a day's drawdown.

This engine's own results count at once; now and then the sums are read from the ledger, which knows those of other
engines too.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time

from django.db.models import Case, F, Sum, When

from copytrading.breaker_circuits import Circuits
from copytrading.states import Status
from guardrails.circuits import BreakerScope, DayResult, Kind
from guardrails.queries import BreakerName, closed_by_hand
from ledger.clock import Clock
from ledger.db import Database
from ledger.models import LedgerEntry

EVERY_MS = 10_000
REST = 9
"""It rests so many times as long as a reading took: on a day of very many copies it reads less often."""

DayKey = tuple[int, str]
"""A follower and the mode in which it traded."""

_KINDS = LedgerEntry.Kind


def realised_since(moment: datetime) -> dict[DayKey, int]:
    """What copies filled since a moment have realised, fees taken off, in micros; what was reversed since is none."""
    signed = Case(When(kind=_KINDS.PROFIT, then=F("amount_micros")), default=-F("amount_micros"))
    rows = LedgerEntry.objects.filter(
        trade__status=Status.EXECUTED.value,
        trade__executed_at__gte=moment,
        kind__in=(_KINDS.PROFIT, _KINDS.LOSS, _KINDS.FEE),
    )
    sums = rows.order_by().values_list("trade__follower_id", "trade__mode").annotate(realised=Sum(signed))
    return {(follower_id, mode): realised for follower_id, mode, realised in sums}


def _shared_by(circuits: Circuits, mode: str) -> Iterator[BreakerName]:
    for name, _kept in circuits.of_mode(mode):
        if name[0] is Kind.DAILY_DRAWDOWN and circuits.counted(name, mode):
            yield name


class Days:
    """The sums of the day that goes on; a breaker that a person closed counts anew from that moment."""

    def __init__(self, circuits: Circuits, database: Database, clock: Clock) -> None:
        self._circuits, self._database, self._clock = circuits, database, clock
        self._of_accounts = (Kind.DAILY_DRAWDOWN, BreakerScope.FOLLOWER) in circuits.terms
        self._shared = {mode: [*_shared_by(circuits, mode)] for mode in circuits.venues}
        self.counts = any(kind is Kind.DAILY_DRAWDOWN for kind, _scope in circuits.terms)
        self._day: date | None = None
        self._sums: defaultdict[BreakerName, int] = defaultdict(int)
        self._pardoned: dict[BreakerName, datetime] = {}
        self._reading = False
        self._meanwhile: list[tuple[int, str, int]] = []
        self._next_ms = 0.0

    def note(self, results: Iterable[tuple[int, str, int]]) -> None:
        """Count results of this engine: (follower id, mode, micros after fees)."""
        self._turn()
        noted = list(results)
        if self._reading:
            # Whether the reading has them already nobody knows: a loss that counts twice until the next one is safe.
            self._meanwhile += [(follower_id, mode, micros) for follower_id, mode, micros in noted if micros < 0]
        self._add(noted)

    def pardon(self, name: BreakerName, at: datetime) -> None:
        """A person closed this breaker: what was lost before that moment is accepted."""
        if name not in self._pardoned or self._pardoned[name] < at:
            self._pardoned[name] = at
            self._sums[name] = 0

    async def read(self) -> None:
        """Take the sums from the ledger, when it is time."""
        now_ms = self._clock.monotonic_ms()
        if not self.counts or now_ms < self._next_ms:
            return
        self._turn()
        self._reading, self._meanwhile = True, []
        try:
            midnight = datetime.combine(self._clock.now().astimezone(UTC).date(), time(), UTC)
            sums = await self._database.run(self._read, midnight, dict(self._pardoned))
        finally:
            self._reading = False
        took_ms = self._clock.monotonic_ms() - now_ms
        self._next_ms = now_ms + took_ms + max(EVERY_MS, took_ms * REST)
        if midnight.date() == self._day:
            self._sums = sums
            self._weigh(sums)
            self._add(self._meanwhile)

    def _read(self, midnight: datetime, pardoned: dict[BreakerName, datetime]) -> defaultdict[BreakerName, int]:
        found = self._by_name(realised_since(midnight))
        rows = closed_by_hand(Kind.DAILY_DRAWDOWN, since=midnight)
        for name, at in {**{row.name: row.changed_at for row in rows}, **pardoned}.items():
            if at >= midnight:
                found[name] = self._by_name(realised_since(at)).get(name, 0)
        return found

    def _by_name(self, results: dict[DayKey, int]) -> defaultdict[BreakerName, int]:
        sums: defaultdict[BreakerName, int] = defaultdict(int)
        for (follower_id, mode), micros in results.items():
            for name in self._names(follower_id, mode):
                sums[name] += micros
        return sums

    def _names(self, follower_id: int, mode: str) -> list[BreakerName]:
        names = list(self._shared.get(mode, ()))
        if self._of_accounts:
            names.append((Kind.DAILY_DRAWDOWN, BreakerScope.FOLLOWER, str(follower_id)))
        return names

    def _add(self, results: Iterable[tuple[int, str, int]]) -> None:
        changed: dict[BreakerName, int] = {}
        for follower_id, mode, micros in results:
            for name in self._names(follower_id, mode):
                self._sums[name] += micros
                changed[name] = self._sums[name]
        self._weigh(changed)

    def _weigh(self, sums: dict[BreakerName, int]) -> None:
        assert self._day is not None
        for name, micros in sums.items():
            if -micros > self._circuits.terms[name[0], name[1]].loss_micros:
                self._circuits.tell(name, self._circuits.keep(name), DayResult(self._day, micros))

    def _turn(self) -> None:
        today = self._clock.now().astimezone(UTC).date()
        if today != self._day:
            self._day = today
            self._sums.clear()
            self._pardoned.clear()
