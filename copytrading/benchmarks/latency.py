"""`benchmark latency`: one idle follower, from the activity frame to the order's bytes, by stage; on the sandbox."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from copytrading.benchmarks.cast import require_scratch
from copytrading.benchmarks.least import least
from copytrading.benchmarks.real_orders import IDLE_S, Asked, measured
from copytrading.benchmarks.runs import Unfinished
from copytrading.benchmarks.timeline import STAGES, Spread, spread, stage_spreads

Write = Callable[[str], object]

SIGNALS = 200


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--signals", type=int, default=SIGNALS, help=f"of each measurement (default {SIGNALS})")
    parser.add_argument("--window-ms", type=int, default=0, help="the coalescing window (default 0: none)")
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(options: Mapping[str, Any], write: Write) -> None:
    """Measure and print. Raises NotScratch, Unfinished."""
    if options["signals"] < 1 or options["window_ms"] < 0:
        raise Unfinished("--signals must be at least 1, and --window-ms not below zero.")
    require_scratch()
    window = {"COPY_TRADING_COALESCE_MS": options["window_ms"]}
    found = measured(Asked(followers=1, signals=options["signals"], settings=window))
    total, answered = spread([each.total_ms for each in found]), spread([each.answered_ms for each in found])
    stages = stage_spreads(found)
    bare = least(rest_s=IDLE_S)
    if options["json"]:
        told = {
            "signals": len(found),
            "window_ms": options["window_ms"],
            "total_ms": asdict(total),
            "stages_ms": {name: asdict(each) for name, each in stages.items()},
            "answer_ms": asdict(answered),
            "least_ms": asdict(bare),
        }
        write(json.dumps(told, separators=(",", ":")))
        return
    write(
        f"{len(found)} signals, one follower, a coalescing window of {options['window_ms']} ms. Milliseconds from the "
        "frame received to the order's bytes written:"
    )
    write(line_of("all", total))
    for name, means in STAGES:
        write(line_of(name, stages[name], means))
    write(line_of("(answer", answered, "the sandbox's, after the bytes; not in the total)"))
    write(line_of("(least", bare.rested, "two bare durable updates of a row after a rest, each in a hop to a thread)"))
    write(line_of("(in a row", bare.in_a_row, "the same without a rest)"))
    write(sentence_of(stages))


def line_of(name: str, found: Spread, means: str = "") -> str:
    """One row of the table."""
    return f"  {name:<9} p50 {found.p50:7.2f}   p90 {found.p90:7.2f}   p99 {found.p99:7.2f}   {means}".rstrip()


def sentence_of(stages: Mapping[str, Spread]) -> str:
    """What limits it: the two longest stages at the median, and the longest at the 99th percentile."""
    first, second = sorted(stages, key=lambda name: -stages[name].p50)[:2]
    slowest = max(stages, key=lambda name: stages[name].p99)
    return (
        f"At the median most of it is {first} ({stages[first].p50} ms) and {second} ({stages[second].p50} ms); "
        f"at the 99th percentile the longest stage is {slowest} ({stages[slowest].p99} ms)."
    )
