"""`benchmark messages`: what a message of the activity stream costs that concerns nobody, and whether it keeps up."""

import asyncio
import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from copytrading.benchmarks.firehose import FOLLOWED_EVERY, sent_at, strangers_frames
from copytrading.benchmarks.runs import Unfinished
from copytrading.metrics import percentile
from copytrading.operations.cast import wallet_named
from copytrading.signals import ACTIVITY_ORDERS_MATCHED, ACTIVITY_TRADES, LeaderAction
from copytrading.sources.activity import ActivityDoors, ActivitySource
from copytrading.sources.base import Reading
from copytrading.sources.frames import Screen, read_frame
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.line import ActivitySettings
from copytrading.sources.live import Ear
from copytrading.sources.stats import SourceStats
from execution.sockets import WebSockets
from ledger.clock import Clock
from ledger.system import SeededRandomness, SystemClock, SystemCpuClock, tuned_interpreter

ROOT = Path(__file__).resolve().parent.parent.parent

Write = Callable[[str], object]

RATE, SECONDS, LEADERS = 5_000, 10, 1_000
SCREENED, DECODED = 200_000, 5_000
BEHIND_MS_MAX = 1_000
"""A reader that is later than this with the last frame of a steady stream falls behind."""

SENT_MS = 1_795_262_400_123
WAIT_S = 60
US, MS = 1_000, 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Microseconds of CPU time for one message by way, and how the whole path did at a steady rate.

    `message_us` is all that the process computed while it listened, divided by the messages; delays are from sending
    to the offer of the frames of a followed wallet.
    """

    leaders: int
    frame_bytes: int
    screen_us: float
    decode_us: float
    message_us: float
    rate_per_s: int
    sent: int
    sent_per_s: int
    received: int
    offered: int
    delay_p50_ms: float
    delay_p99_ms: float
    delay_last_ms: float
    fell_behind: bool


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--rate", type=int, default=RATE, help=f"messages a second (default {RATE})")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"how long (default {SECONDS})")
    parser.add_argument("--leaders", type=int, default=LEADERS, help=f"followed wallets (default {LEADERS})")
    parser.add_argument("--json", action="store_true", help="print one JSON line and nothing else")


def run(options: Mapping[str, Any], write: Write) -> None:
    """Measure and print. Raises Unfinished."""
    rate, seconds, leaders = (options[name] for name in ("rate", "seconds", "leaders"))
    if min(rate, seconds, leaders) < 1 or rate * seconds < FOLLOWED_EVERY:
        raise Unfinished(f"At least one leader and {FOLLOWED_EVERY} messages are needed: one in so many is followed.")
    with tuned_interpreter():
        measured = measure(rate=rate, seconds=seconds, leaders=leaders)
    write(json.dumps(asdict(measured), separators=(",", ":")) if options["json"] else sentence_of(measured))


def sentence_of(measured: Measured) -> str:
    """The figures for people."""
    kept = "fell behind" if measured.fell_behind else "kept up"
    return (
        f"A message of {measured.frame_bytes} bytes that concerns none of {measured.leaders} wallets: the screen alone "
        f"{measured.screen_us} us (decoding it would be {measured.decode_us} us); from the socket to being dropped "
        f"{measured.message_us} us. At {measured.rate_per_s} a second for {measured.sent} messages (sent at "
        f"{measured.sent_per_s} a second) it {kept}: {measured.received} received, {measured.offered} of a followed "
        f"wallet offered after {measured.delay_p50_ms} ms (p99 {measured.delay_p99_ms}), the last one after "
        f"{measured.delay_last_ms} ms."
    )


def measure(*, rate: int, seconds: int, leaders: int) -> Measured:
    """The screen alone, decoding alone, and the whole path against a server in another process."""
    wallets = [wallet_named(f"benchmark leader:{number}") for number in range(leaders)]
    foreign = [sent_at(cut, SENT_MS).encode() for cut in strangers_frames(1_000, SeededRandomness(2))]
    screen = Screen(wallets)
    with firehose(rate, seconds, wallet=wallets[0]) as (port, told):
        listened = asyncio.run(_listen(f"ws://127.0.0.1:{port}", wallets, told))
    return Measured(
        leaders=leaders,
        frame_bytes=sum(map(len, foreign)) // len(foreign),
        screen_us=_each_us(screen.may_concern, foreign, times=SCREENED),
        decode_us=_each_us(read_frame, foreign, times=DECODED),
        message_us=round(listened.cpu_ns / US / max(1, listened.received), 1),
        rate_per_s=rate,
        sent=listened.sent,
        sent_per_s=listened.sent * 1_000 // max(1, listened.elapsed_ms),
        received=listened.received,
        offered=len(listened.delays_ms),
        delay_p50_ms=percentile(listened.delays_ms, 50),
        delay_p99_ms=percentile(listened.delays_ms, 99),
        delay_last_ms=round(listened.delays_ms[-1], 3) if listened.delays_ms else 0.0,
        fell_behind=not listened.delays_ms
        or listened.received < listened.sent
        or listened.delays_ms[-1] > BEHIND_MS_MAX,
    )


def _each_us(work: Callable[[bytes], object], frames: Sequence[bytes], *, times: int) -> float:
    cpu, rounds = SystemCpuClock(), max(1, times // len(frames))
    began_ns = cpu.thread_ns()
    for _round in range(rounds):
        for frame in frames:
            work(frame)
    return round((cpu.thread_ns() - began_ns) / US / (rounds * len(frames)), 2)


@contextmanager
def firehose(rate: int, seconds: int, *, wallet: str) -> Iterator[tuple[int, Callable[[], dict[str, int]]]]:
    """The stream in a process of its own: its port, and a call that waits for what it tells at its end."""
    command = [sys.executable, "-m", "copytrading.benchmarks.firehose", str(rate), str(seconds), wallet]
    child = subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None and child.stdout is not None
    told = child.stdout

    def poured() -> dict[str, int]:
        found: dict[str, int] = json.loads(told.readline())
        return found

    try:
        yield int(told.readline()), poured
    finally:
        child.kill()
        child.communicate()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listened:
    sent: int
    elapsed_ms: int
    received: int
    cpu_ns: int
    delays_ms: Sequence[float]


class _Delays:
    """A sink that notes how long after its sending each row came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.delays_ms: list[float] = []

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:  # noqa: ARG002
        now_ms = self._clock.now().timestamp() * 1_000
        self.delays_ms += [
            now_ms - each.traded_at.timestamp() * 1_000 for each in readings if isinstance(each, LeaderAction)
        ]

    async def end_walk(self, walk: str) -> None:
        """Nothing is kept of a walk."""

    async def withdraw(self, source: str, tx_hashes: Sequence[str]) -> None:
        """The stream takes nothing back."""


async def _listen(url: str, wallets: Sequence[str], told: Callable[[], dict[str, int]]) -> _Listened:
    clock, cpu, leaders = SystemClock(), SystemCpuClock(), HeardLeaders()
    leaders.replace(dict.fromkeys(wallets, clock.now()))
    sink, stats, matched = _Delays(clock), SourceStats(ACTIVITY_TRADES), SourceStats(ACTIVITY_ORDERS_MATCHED)
    ear = Ear(clock=clock, randomness=SeededRandomness(3), sink=sink, leaders=leaders, stats=stats)
    source = ActivitySource(
        ActivityDoors(sockets=WebSockets(), matched=matched), ear, ActivitySettings(url=url, silent_s=WAIT_S)
    )
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    before, began_ns = stats.counts["received"], cpu.process_ns()
    running = asyncio.create_task(source.run(stop))
    try:
        poured = await loop.run_in_executor(None, told)
        async with asyncio.timeout(WAIT_S):
            while stats.counts["received"] - before < poured["frames"]:
                await clock.sleep(0.1)
    except TimeoutError:
        raise Unfinished(f"After {WAIT_S} s not all messages had been read.") from None
    finally:
        stop.set()
        await running
    return _Listened(
        sent=poured["frames"],
        elapsed_ms=poured["elapsed_ms"],
        received=stats.counts["received"] - before,
        cpu_ns=cpu.process_ns() - began_ns,
        delays_ms=sink.delays_ms,
    )
