"""`benchmark takeover`: how long a shard is without a holder after kill -9, and its leaders without a copy."""

import asyncio
import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from copytrading.benchmarks.live import add_live_arguments, live_options
from copytrading.benchmarks.runs import Unfinished
from copytrading.verification.dual import at_work, somebody_stands_by, taken_over
from copytrading.verification.live import LiveOptions, live_stage
from copytrading.verification.steps import Wrong

Write = Callable[[str], object]

ROUNDS = 5
MS = 1_000


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"deaths (default {ROUNDS})")
    add_live_arguments(parser)


def run(options: Mapping[str, Any], write: Write) -> None:
    """Kill so many holders, and print. Raises NotScratch, Unfinished."""
    if options["rounds"] < 1:
        raise Unfinished("--rounds must be at least 1.")
    live = live_options(options, PAPER_LATENCY_MS=100)
    try:
        rounds = asyncio.run(_killed(live, rounds=options["rounds"], steps_per_s=options["steps"]))
    except Wrong as wrong:
        raise Unfinished(str(wrong)) from None
    leases, copies = ([round(each[place]) for each in rounds] for place in range(2))
    if options["json"]:
        write(json.dumps({"lease_ms": leases, "copy_ms": copies}, separators=(",", ":")))
        return
    write(f"From kill -9 to the next holder's lease: {_told(leases)}; to the first copy in its term: {_told(copies)}.")


def _told(found_ms: Sequence[int]) -> str:
    low, middle, high = min(found_ms), median(found_ms), max(found_ms)
    return f"{middle / MS:.1f} s at the median, {low / MS:.1f} to {high / MS:.1f} s"


async def _killed(live: LiveOptions, *, rounds: int, steps_per_s: int) -> list[tuple[float, float]]:
    told = []
    async with live_stage(live) as stage:
        holder = await stage.start()
        async with stage.playing(steps_per_s):
            for _round in range(rounds):
                following = stage.engines.start()
                await somebody_stands_by(stage, following)
                await at_work(stage, holder)
                told.append(await taken_over(stage, holder.kill, by=following))
                holder = following
        await stage.stop(holder)
    return told
