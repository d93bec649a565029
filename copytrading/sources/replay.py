"""Replays recorded files into the sink, as fast as it has room or at the pace of the original times."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from copytrading.fields import printable
from copytrading.signals import ActionKind, LeaderAction
from copytrading.sources.base import Reading, Sink
from copytrading.sources.files import chronological, read_file
from ledger.clock import Clock

BATCH_ROWS = 500
"""Whole seconds are packed into a batch until it holds so many rows: one round of statements for all of them."""

SECOND_ROWS_MAX = 5_000
"""A longer second is offered in pieces. A group cut by that is two parts with the same total; the recorded
maximum is 44 rows (data-profile.md section 1)."""

NAME_MAX = 200
"""A file's name is part of the walk's, which stands in log lines."""

SLEEP_SLICE_S = 0.5
"""A pause between original times is slept in slices, so that stopping never waits for a quiet night to pass."""

Progress = Callable[[int, int], None]
"""Called after each batch with the rows done and the rows in all files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFile:
    """A file read to its end: its name without folders, and its readings, oldest first."""

    name: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Original times, `factor` times as fast."""

    clock: Clock
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise ValueError(f"the replay factor {self.factor} is not above zero")


def load_files(paths: Sequence[Path]) -> tuple[ReplayFile, ...]:
    """Read all files, before anything is put anywhere; raises UnreadableFile for the first that cannot be read.

    Blocks while it reads: call it before the event loop starts.
    """
    return tuple(
        ReplayFile(name=printable(path.name, NAME_MAX), readings=tuple(chronological(read_file(path))))
        for path in paths
    )


def _ignore(_done: int, _total: int) -> None:
    return


class ReplaySource:
    """A source that ends: each file is a walk of its own, so that a file given twice adds nothing."""

    name = "replay"

    def __init__(
        self, files: Sequence[ReplayFile], sink: Sink, *, pace: Pace | None = None, on_progress: Progress = _ignore
    ) -> None:
        """`pace` None is as fast as the sink takes the rows."""
        self._files = tuple(files)
        self._sink = sink
        self._pace = pace
        self._on_progress = on_progress
        self._rows_done = 0
        self._rows_total = sum(len(file.readings) for file in self._files)

    @property
    def finished(self) -> bool:
        """Every row was put; False after a stop in the middle."""
        return self._rows_done == self._rows_total

    def wallets(self) -> tuple[str, ...]:
        """The wallets that trade in the files, each once, in the order of their first trade."""
        readings = chain.from_iterable(file.readings for file in self._files)
        trades = (r for r in readings if isinstance(r, LeaderAction) and r.kind is ActionKind.TRADE)
        return tuple(dict.fromkeys(trade.wallet for trade in trades))

    async def run(self, stop: asyncio.Event) -> None:
        """Replay all files and return; between two batches, or while waiting for the next time, heed `stop`."""
        self._rows_done = 0
        for index, file in enumerate(self._files):
            if stop.is_set():
                return
            walk = f"replay:{index}:{file.name}"
            await self._replay(file, walk, stop=stop)
            # Also after a stop: what the sink still holds of this walk is to be recorded.
            await self._sink.end_walk(walk)

    async def run_once(self) -> None:
        """Replay all files to their end."""
        await self.run(asyncio.Event())

    async def _replay(self, file: ReplayFile, walk: str, *, stop: asyncio.Event) -> None:
        began_ms: float | None = None
        first = _first_moment(file.readings)
        for batch in batches(file.readings, rows=BATCH_ROWS if self._pace is None else 1):
            if self._pace is not None:
                began_ms = self._pace.clock.monotonic_ms() if began_ms is None else began_ms
                await _wait(self._pace, began_ms + _offset_ms(batch, first, pace=self._pace), stop=stop)
            if stop.is_set():
                return
            await self._sink.offer(walk, batch, complete=True)
            self._rows_done += len(batch)
            self._on_progress(self._rows_done, self._rows_total)


def batches(readings: Sequence[Reading], rows: int = BATCH_ROWS) -> Iterator[list[Reading]]:
    """Readings in chronological order, cut between seconds only: a transaction lies in one second, so groups are
    whole. A batch closes with the second that brings it to `rows`; a row without a time stays with the row before.
    """
    batch: list[Reading] = []
    moment: datetime | None = None
    for reading in readings:
        if isinstance(reading, LeaderAction):
            if reading.traded_at != moment and moment is not None and len(batch) >= rows:
                yield batch
                batch = []
            moment = reading.traded_at
        if len(batch) >= SECOND_ROWS_MAX:
            yield batch
            batch = []
        batch.append(reading)
    if batch:
        yield batch


def _first_moment(readings: Sequence[Reading]) -> datetime | None:
    return next((reading.traded_at for reading in readings if isinstance(reading, LeaderAction)), None)


def _offset_ms(batch: Sequence[Reading], first: datetime | None, *, pace: Pace) -> float:
    """How long after the first trade this batch happened, at the pace."""
    moment = _first_moment(batch)
    if moment is None or first is None:
        return 0.0
    return (moment - first).total_seconds() * 1_000 / pace.factor


async def _wait(pace: Pace, due_ms: float, *, stop: asyncio.Event) -> None:
    """Return when it is due, or at most a slice after `stop`. Measured from the beginning, so that it never drifts."""
    while not stop.is_set() and (left_s := (due_ms - pace.clock.monotonic_ms()) / 1_000) > 0:
        await pace.clock.sleep(min(left_s, SLEEP_SLICE_S))
