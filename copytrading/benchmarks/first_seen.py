"""`benchmark first-seen`: which source shows a leader's trade first, and how long after the block each one does."""

import asyncio
import json
from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from copytrading.benchmarks.live import add_live_arguments, live_options
from copytrading.benchmarks.runs import Unfinished
from copytrading.metrics import percentile
from copytrading.models import Signal
from copytrading.verification.live import LiveOptions, live_stage
from copytrading.verification.steps import Wrong

Write = Callable[[str], object]

SECONDS = 120
PATIENCE_S = 90


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"default {SECONDS}")
    add_live_arguments(parser)


def run(options: Mapping[str, Any], write: Write) -> None:
    """Hear so long, and print. Raises NotScratch, Unfinished."""
    try:
        told = asyncio.run(_heard(live_options(options), seconds=options["seconds"], steps_per_s=options["steps"]))
    except Wrong as wrong:
        raise Unfinished(str(wrong)) from None
    if options["json"]:
        write(json.dumps(told, separators=(",", ":")))
        return
    write(f"{told['trades']} trades of leaders, {'with' if told['chain'] else 'without'} a chain.")
    for source, each in told["sources"].items():
        write(
            f"{source}: first with {each['percent']} %; those {each['p50_ms']} ms after the block's second at the "
            f"median, {each['p95_ms']} ms at the 95th percentile."
        )


async def _heard(live: LiveOptions, *, seconds: float, steps_per_s: int) -> dict[str, Any]:
    async with live_stage(live) as stage:
        engine = await stage.start()
        async with stage.playing(steps_per_s):
            await stage.clock.sleep(seconds)
        wrong = " ".join(await stage.settled(patience_s=PATIENCE_S)).strip()
        await stage.stop(engine)
        if wrong:
            raise Wrong(wrong)
        return {"chain": live.chain, **await stage.database.run(shares)}


def shares() -> dict[str, Any]:
    """Of all trades, by the source that showed each first: how many, and how long after its second."""
    firsts: Counter[str] = Counter()
    lags: defaultdict[str, list[float]] = defaultdict(list)
    rows = Signal.objects.filter(part=1, only_config=None).values_list("source", "traded_at", "detected_at")
    for source, traded_at, detected_at in rows:
        firsts[source] += 1
        lags[source].append((detected_at - traded_at) / timedelta(milliseconds=1))
    return {
        "trades": firsts.total(),
        "sources": {
            source: {
                "first": number,
                "percent": round(100 * number / firsts.total(), 1),
                "p50_ms": round(percentile(lags[source], 50)),
                "p95_ms": round(percentile(lags[source], 95)),
            }
            for source, number in firsts.most_common()
        },
    }
