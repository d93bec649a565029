import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from copytrading.signals import LeaderAction, OtherAction, RepeatedRow
from copytrading.sources.base import Reading
from copytrading.sources.files import UnreadableFile
from copytrading.sources.replay import SECOND_ROWS_MAX, Pace, ReplaySource, batches, load_files
from tests.doors import VirtualClock

SECOND = 1_795_262_400
LENA, LUCA = "0x" + "1e" * 20, "0x" + "1c" * 20


class RecordingSink:
    """Remembers what it was offered, and when."""

    def __init__(self, clock: VirtualClock | None = None, stop_after: int = 10**9) -> None:
        self.clock = clock or VirtualClock()
        self.stop = asyncio.Event()
        self.stop_after = stop_after
        self.offers: list[tuple[str, int]] = []
        self.readings: list[Reading] = []
        self.times_ms: list[float] = []
        self.ended: list[str] = []
        self.complete: set[bool] = set()

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        self.offers.append((walk, len(readings)))
        self.readings += readings
        self.times_ms.append(self.clock.monotonic_ms())
        self.complete.add(complete)
        if len(self.offers) >= self.stop_after:
            self.stop.set()

    async def end_walk(self, walk: str) -> None:
        self.ended.append(walk)


def trade(second: int, wallet: str = LENA, **changes: object) -> dict[str, object]:
    return {
        "proxyWallet": wallet,
        "timestamp": SECOND + second,
        "conditionId": "0x" + "c0" * 32,
        "size": 1,
        "transactionHash": f"0x{second:064x}",
        "price": 0.5,
        "asset": "7",
        "side": "BUY",
        **changes,
    }


def recording(folder: Path, rows: Sequence[object], name: str = "rows.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def times(readings: Sequence[Reading]) -> list[int]:
    return [int(r.traded_at.timestamp()) - SECOND for r in readings if isinstance(r, LeaderAction)]


async def test_every_row_is_offered_once_oldest_first_and_whole(tmp_path: Path) -> None:
    files = load_files([recording(tmp_path, [trade(3), trade(2), {"proxyWallet": "", "type": "REWARD"}, trade(1)])])
    sink = RecordingSink()
    await ReplaySource(files, sink).run_once()
    assert times(sink.readings) == [1, 2, 3]
    assert OtherAction("REWARD") in sink.readings
    assert sink.complete == {True}


async def test_each_file_is_a_walk_of_its_own_also_the_same_file_twice(tmp_path: Path) -> None:
    path = recording(tmp_path, [trade(1)])
    sink = RecordingSink()
    await ReplaySource(load_files([path, path]), sink).run_once()
    assert sink.offers == [("replay:0:rows.json", 1), ("replay:1:rows.json", 1)]
    assert sink.ended == ["replay:0:rows.json", "replay:1:rows.json"]


def test_an_unreadable_file_stops_before_anything_is_put(tmp_path: Path) -> None:
    good, bad = recording(tmp_path, [trade(1)]), tmp_path / "bad.json"
    bad.write_text("[{", encoding="utf-8")
    with pytest.raises(UnreadableFile, match=r"^bad.json: "):
        load_files([good, bad])


def test_batches_never_cut_a_second(tmp_path: Path) -> None:
    rows = [trade(second, transactionHash=f"0x{number:064x}") for second in range(100) for number in range(7)]
    (file,) = load_files([recording(tmp_path, rows)])
    cut = list(batches(file.readings, rows=50))
    assert [reading for batch in cut for reading in batch] == list(file.readings)
    assert {len(batch) for batch in cut[:-1]} == {56}
    seconds = [set(times(batch)) for batch in cut]
    assert sum(len(second) for second in seconds) == len(set().union(*seconds)) == 100


def test_a_row_without_a_time_never_opens_a_batch() -> None:
    other = OtherAction("REWARD")
    assert list(batches([other] * 3, rows=1)) == [[other] * 3]


def test_an_endless_second_is_offered_in_pieces() -> None:
    rows = [RepeatedRow("row")] * (SECOND_ROWS_MAX + 1)
    assert [len(batch) for batch in batches(rows)] == [SECOND_ROWS_MAX, 1]


async def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    paths = [recording(tmp_path, [trade(s) for s in range(600)], f"{name}.json") for name in "ab"]
    seen: list[tuple[int, int]] = []
    source = ReplaySource(load_files(paths), RecordingSink(), on_progress=lambda *progress: seen.append(progress))
    await source.run_once()
    assert seen == [(500, 1_200), (600, 1_200), (1_100, 1_200), (1_200, 1_200)]


async def test_original_pace_keeps_the_gaps_of_the_recording(tmp_path: Path) -> None:
    clock = VirtualClock()
    sink = RecordingSink(clock)
    files = load_files([recording(tmp_path, [trade(s) for s in (0, 0, 3, 10)])])
    await ReplaySource(files, sink, pace=Pace(clock=clock)).run_once()
    assert sink.times_ms == [0, 3_000, 10_000]
    assert [count for _, count in sink.offers] == [2, 1, 1]


async def test_a_factor_of_ten_is_ten_times_as_fast(tmp_path: Path) -> None:
    clock = VirtualClock()
    sink = RecordingSink(clock)
    files = load_files([recording(tmp_path, [trade(s) for s in (0, 3, 10)])])
    await ReplaySource(files, sink, pace=Pace(clock=clock, factor=10)).run_once()
    assert sink.times_ms == [0, 300, 1_000]


@pytest.mark.parametrize("factor", [0, -1, float("nan")])
def test_a_factor_that_is_not_above_zero_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="is not above zero"):
        Pace(clock=VirtualClock(), factor=factor)


async def test_stopping_ends_the_walk_and_offers_no_more(tmp_path: Path) -> None:
    files = load_files([recording(tmp_path, [trade(s) for s in range(2_000)])] * 2)
    sink = RecordingSink(stop_after=2)
    await ReplaySource(files, sink).run(sink.stop)
    assert len(sink.offers) == 2
    assert sink.ended == ["replay:0:rows.json"]


class StoppingClock(VirtualClock):
    """Sets `stop` once it has slept for so long."""

    def __init__(self, stop: asyncio.Event, at_ms: int) -> None:
        super().__init__()
        self._stop, self._at_ms = stop, at_ms

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.monotonic_ms() >= self._at_ms:
            self._stop.set()


async def test_stopping_does_not_wait_for_a_quiet_night_to_pass(tmp_path: Path) -> None:
    stop = asyncio.Event()
    clock = StoppingClock(stop, at_ms=5_000)
    sink = RecordingSink(clock)
    files = load_files([recording(tmp_path, [trade(0), trade(36_000)])])
    await ReplaySource(files, sink, pace=Pace(clock=clock)).run(stop)
    assert len(sink.offers) == 1
    assert clock.monotonic_ms() <= 5_500


def test_wallets_are_those_that_trade_in_order_of_their_first_trade(tmp_path: Path) -> None:
    rows = [trade(2), trade(1, LUCA), trade(0, "0x" + "ad" * 20, type="REDEEM", side=""), trade(3, LUCA)]
    assert ReplaySource(load_files([recording(tmp_path, rows)]), RecordingSink()).wallets() == (LUCA, LENA)


async def test_the_recorded_event_is_replayed_row_by_row(shared_data: Path) -> None:
    path = shared_data / "activity/v1_trades_event_665_wallets_paged_2500rows_20251010.json"
    sink = RecordingSink()
    source = ReplaySource(load_files([path]), sink)
    await source.run_once()
    assert len(sink.readings) == 2_500
    assert len(times(sink.readings)) == 1_500
    assert len(source.wallets()) == 665
    assert len(sink.offers) == 4
