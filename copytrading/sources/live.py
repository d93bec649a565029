"""What stands between the live sources and the intake: whom they hear for, what is history, what came late."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from copytrading.signals import ActionKind, LeaderAction
from copytrading.sources.base import Reading, Sink
from copytrading.sources.leaders import LeaderSet
from copytrading.sources.stats import SourceStats
from ledger.clock import Clock, Randomness


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """What every live source hears with. `stats` are this source's own, by the label of its rows where it has two."""

    clock: Clock
    randomness: Randomness
    sink: Sink
    leaders: LeaderSet
    stats: SourceStats


@dataclass(slots=True)
class Heard:
    """Who is told of each action that was let through; the poller looks at once at whom another source heard."""

    listeners: list[Callable[[str], None]] = field(default_factory=list)

    def tell(self, wallet: str) -> None:
        """A followed wallet did something."""
        for listener in self.listeners:
            listener(wallet)


class LiveSink:
    """The `Sink` of the live sources: drops foreign wallets and history, counts, and passes the rest on.

    What somebody did before the shard began to listen is never copied and moves no holding: the positions read at
    the start hold it already. The venue's times are whole seconds, so the second of the beginning counts as heard.
    """

    def __init__(
        self,
        sink: Sink,
        clock: Clock,
        leaders: LeaderSet,
        *,
        stats: Mapping[str, SourceStats],
        late_after_s: int,
        heard: Heard | None = None,
    ) -> None:
        """`stats` by the label of rows; `late_after_s` is what the rule for stale signals says."""
        self._sink, self._clock, self._leaders, self._stats = sink, clock, leaders, stats
        self._late_after = timedelta(seconds=late_after_s)
        self._heard = heard or Heard()

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        """Pass on what is ours and news."""
        now = self._clock.now()
        ours = [each for each in readings if not isinstance(each, LeaderAction) or self._is_news(each, now)]
        await self._sink.offer(walk, ours, complete=complete)

    async def end_walk(self, walk: str) -> None:
        """The walk is over."""
        await self._sink.end_walk(walk)

    async def withdraw(self, source: str, tx_hashes: Sequence[str]) -> None:
        """These transactions are not in the chain."""
        await self._sink.withdraw(source, tx_hashes)

    def _is_news(self, action: LeaderAction, now: datetime) -> bool:
        stats = self._stats[action.source]
        since = self._leaders.wallets.get(action.wallet)
        if since is None:
            stats.foreign()
            return False
        if action.traded_at < since.replace(microsecond=0):
            stats.count("history")
            return False
        self._count(stats, action, now)
        self._heard.tell(action.wallet)
        return True

    def _count(self, stats: SourceStats, action: LeaderAction, now: datetime) -> None:
        stats.count("accepted")
        if action.kind is not ActionKind.TRADE:
            return
        age = now - action.traded_at
        if age > self._late_after:
            stats.count("late")
        stats.lag(age / timedelta(milliseconds=1))
