"""`benchmark fanout`: one signal to many accounts, from its frame to the last order's bytes; on the sandbox."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from copytrading.benchmarks.cast import require_scratch
from copytrading.benchmarks.latency import line_of, sentence_of
from copytrading.benchmarks.real_orders import Asked, measured
from copytrading.benchmarks.runs import Unfinished
from copytrading.benchmarks.timeline import STAGES, spread, stage_spreads

Write = Callable[[str], object]

SIGNALS, FOLLOWERS = 50, 100
FOLLOWERS_MAX = 1_000


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--signals", type=int, default=SIGNALS, help=f"default {SIGNALS}")
    parser.add_argument("--followers", type=int, default=FOLLOWERS, help=f"default {FOLLOWERS}")
    parser.add_argument("--window-ms", type=int, default=0, help="the coalescing window (default 0: none)")
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(options: Mapping[str, Any], write: Write) -> None:
    """Measure and print. Raises NotScratch, Unfinished."""
    followers = options["followers"]
    if options["signals"] < 1 or options["window_ms"] < 0 or not 1 <= followers <= FOLLOWERS_MAX:
        raise Unfinished(f"--signals must be at least 1, --followers at least 1 and at most {FOLLOWERS_MAX}.")
    require_scratch()
    window = {"COPY_TRADING_COALESCE_MS": options["window_ms"]}
    found = measured(Asked(followers=followers, signals=options["signals"], settings=window))
    first, last = spread([each.first_ms for each in found]), spread([each.total_ms for each in found])
    stages = stage_spreads(found)
    if options["json"]:
        told = {
            "signals": len(found),
            "followers": followers,
            "window_ms": options["window_ms"],
            "first_order_ms": asdict(first),
            "last_order_ms": asdict(last),
            "stages_ms": {name: asdict(each) for name, each in stages.items()},
        }
        write(json.dumps(told, separators=(",", ":")))
        return
    write(f"{len(found)} signals to {followers} followers each. Milliseconds from the frame received:")
    write(line_of("first", first, "to the first order's bytes"))
    write(line_of("last", last, "to the last order's bytes; its stages:"))
    for name, means in STAGES:
        write(line_of(name, stages[name], means))
    write(sentence_of(stages))
