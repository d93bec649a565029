"""`benchmark soak`: a live engine on a sandbox that goes wrong now and then; all is copied once, and memory is flat."""

import asyncio
import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from copytrading.benchmarks.live import add_live_arguments, counted, live_options
from copytrading.benchmarks.runs import Unfinished
from copytrading.verification.heard import truth_of
from copytrading.verification.live import LiveOptions, LiveStage, live_stage
from copytrading.verification.processes import EngineProcess
from copytrading.verification.steps import Wrong
from ledger.clock import Randomness
from ledger.system import SeededRandomness

Write = Callable[[str], object]

MINUTES = 30
TICK_S = 0.25
SAMPLE_S = 2.0
SAMPLES_MIN = 9
GROWTH_MB, GROWTH_PERCENT = 5, 3
"""What the last third may be above the second third: allocators give nothing back at once, and caches fill."""

PATIENCE_S = 90
"""Longer than the quietest leader is left alone by the polls (COPY_TRADING_POLL_QUIET_MS)."""

CALM_S, TROUBLE_S = (4, 16), (3, 12)
"""From and up to how many seconds nothing, or something, is wrong."""

FAULTS = (
    "activity:drop=30%",
    "activity:duplicate=30%",
    "activity:reorder=30%",
    "activity:delay=2s",
    "activity:silence",
    "activity:half-open",
    "activity:freeze",
    "activity:5xx",
    "data-api:429",
    "data-api:5xx=50%",
    "data-api:stale",
    "data-api:clamp=50%",
    "data-api:drop=30%",
    "data-api:delay=1s",
    "data-api:half-open=50%",
    "gamma:5xx",
    "gamma:429",
    "gamma:delay=1s",
    "market:silence",
    "chain:silence",
    "chain:half-open",
    "chain:duplicate=30%",
    "chain:429",
    "chain:5xx=50%",
    "chain:behind=3",
    "chain-b:behind=5",
)
"""Reorgs are left out: after one, socket and polls tell of transactions that the chain has under another name."""


class SoakFailed(Exception):
    """Something was lost, copied twice, or memory grew; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """How long, how much happens in a second, and the seed of what goes wrong."""

    minutes: float
    steps_per_s: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Medians of the engine's resident memory, without the first third, in which it warms up."""

    samples: int
    first_mb: float
    second_third_mb: float
    last_third_mb: float
    allowed_mb: float

    @property
    def grown_mb(self) -> float:
        """From the second third to the last."""
        return round(self.last_third_mb - self.second_third_mb, 1)

    @property
    def flat(self) -> bool:
        """It grew within the bound."""
        return self.grown_mb <= self.allowed_mb

    def __str__(self) -> str:
        word = "flat" if self.flat else "GROWING"
        return (
            f"Memory is {word}: {self.second_third_mb} MB in the second third, {self.last_third_mb} MB in the last "
            f"({self.grown_mb:+} MB, allowed {self.allowed_mb}; {self.samples} samples, the first {self.first_mb} MB)."
        )


@dataclass(slots=True)
class _Trouble:
    """What goes wrong when: seeded, one thing at a time."""

    chance: Randomness
    faults: Sequence[str]
    turn_ms: float
    on: bool = False
    struck: Counter[str] = field(default_factory=Counter)

    async def turn(self, stage: LiveStage) -> None:
        """Begin or end a trouble when it is time."""
        now_ms = stage.clock.monotonic_ms()
        if now_ms < self.turn_ms:
            return
        stage.box.faults.lift()
        self.on = not self.on
        if self.on:
            words = self.chance.choice(self.faults)
            self.struck[words] += 1
            await stage.box.faults.apply(words)
        low, high = TROUBLE_S if self.on else CALM_S
        self.turn_ms = now_ms + 1_000 * (low + self.chance.fraction() * (high - low))


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"default {MINUTES}")
    add_live_arguments(parser)


def run(options: Mapping[str, Any], write: Write) -> None:
    """Run so long and judge. Raises NotScratch, Unfinished, or SoakFailed with what is wrong."""
    if not options["minutes"] > 0:
        raise Unfinished("--minutes must be above zero.")
    live = live_options(options, COPY_TRADING_ENABLE_MARKET_EVENTS=True)
    soak = Soak(minutes=options["minutes"], steps_per_s=options["steps"], seed=options["seed"])
    try:
        told, memory, wrongs = asyncio.run(_soak(live, soak))
    except Wrong as wrong:
        raise Unfinished(str(wrong)) from None
    if options["json"]:
        measured = {**asdict(memory), "grown_mb": memory.grown_mb, "flat": memory.flat}
        write(json.dumps({**told, "memory": measured, "wrong": wrongs}, separators=(",", ":")))
    else:
        write(_sentence(told))
        write(str(memory))
    if not memory.flat:
        wrongs = [*wrongs, str(memory)]
    if wrongs:
        raise SoakFailed(" ".join(wrongs))


def judged(samples_mb: Sequence[float]) -> Memory:
    """The verdict on what was measured. Raises Unfinished when that is too little to say anything."""
    if len(samples_mb) < SAMPLES_MIN:
        raise Unfinished(f"Memory was read {len(samples_mb)} times; fewer than {SAMPLES_MIN} say nothing.")
    third = len(samples_mb) // 3
    second, last = median(samples_mb[third : 2 * third]), median(samples_mb[2 * third :])
    return Memory(
        samples=len(samples_mb),
        first_mb=round(samples_mb[0], 1),
        second_third_mb=round(second, 1),
        last_third_mb=round(last, 1),
        allowed_mb=round(max(GROWTH_MB, second * GROWTH_PERCENT / 100), 1),
    )


async def _soak(live: LiveOptions, soak: Soak) -> tuple[dict[str, Any], Memory, list[str]]:
    async with live_stage(live) as stage:
        engine = await stage.start()
        trouble = _Trouble(SeededRandomness(soak.seed), _possible(stage), stage.clock.monotonic_ms())
        async with stage.playing(soak.steps_per_s):
            samples = await _watched(stage, engine, trouble, minutes=soak.minutes)
        stage.box.faults.lift()
        wrongs = [each for each in await stage.settled(patience_s=PATIENCE_S) if each]
        await stage.stop(engine)
        told = {
            "minutes": soak.minutes,
            "chain": live.chain,
            "steps": stage.steps,
            "trades": len(truth_of(stage.box)),
            **await stage.database.run(counted),
            "faults": dict(sorted(trouble.struck.items())),
        }
        return told, judged(samples), wrongs


async def _watched(stage: LiveStage, engine: EngineProcess, trouble: _Trouble, *, minutes: float) -> list[float]:
    """Let it run, and read the engine's memory now and then. Raises Wrong when it ends, Unfinished without /proc."""
    samples: list[float] = []
    # A short run needs as many samples as a long one.
    every_ms = min(SAMPLE_S * 1_000, minutes * 60_000 / (3 * SAMPLES_MIN))
    began_ms = stage.clock.monotonic_ms()
    while (past_ms := stage.clock.monotonic_ms() - began_ms) < minutes * 60_000:
        await stage.clock.sleep(TICK_S)
        await trouble.turn(stage)
        if not engine.is_alive():
            raise Wrong(f"The engine ended with code {engine.process.returncode}: {engine.said_last()}")
        if past_ms >= len(samples) * every_ms:
            resident = engine.resident_mb()
            if resident is None:
                raise Unfinished("The engine's memory cannot be read: there is no /proc on this machine.")
            samples.append(resident)
    return samples


def _possible(stage: LiveStage) -> list[str]:
    """The faults that this sandbox's doors know."""
    doors = stage.box.faults.doors
    found = []
    for words in FAULTS:
        door, _, rest = words.partition(":")
        if door in doors and rest.partition("=")[0] in doors[door].kinds:
            found.append(words)
    return found


def _sentence(told: Mapping[str, Any]) -> str:
    return (
        f"{told['minutes']} minutes {'with' if told['chain'] else 'without'} a chain, {sum(told['faults'].values())} "
        f"troubles of {len(told['faults'])} kinds: {told['trades']} trades of leaders, {told['signals']} signals, "
        f"{told['copies']} copies."
    )
