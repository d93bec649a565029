"""`benchmark replay`: recordings at full speed for followers who have every budget and guardrail set."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from copytrading.benchmarks.cast import require_scratch, seed_cast, seed_markets
from copytrading.benchmarks.runs import run_at_full_speed
from copytrading.signals import LeaderAction
from copytrading.sources.replay import load_files
from ledger.system import SystemClock

Write = Callable[[str], object]


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
    parser.add_argument("--followers", type=int, default=100, help="followers of every wallet (default 100)")
    parser.add_argument("--json", action="store_true", help="print the replay's report as one JSON line")


def run(options: Mapping[str, Any], write: Write) -> None:
    """Replay and print. Raises NotScratch, UnreadableFile, Unfinished."""
    require_scratch()
    files = load_files(options["files"])
    actions = [reading for file in files for reading in file.readings if isinstance(reading, LeaderAction)]
    seed_markets(actions, SystemClock())
    cast = seed_cast({action.wallet for action in actions}, options["followers"], label="replay")
    made = run_at_full_speed(files, cast, measured=False)
    cpu_us = round(made.cpu_ns / 1_000 / max(1, made.copies), 1)
    if options["json"]:
        write(json.dumps({**made.report, "cpu_us": cpu_us}, separators=(",", ":")))
        return
    copies = ", ".join(f"{number} {status}" for status, number in made.report["copies"].items())
    write(
        f"{made.copies} copies ({copies}) of {made.report['signals']} signals for {made.followers} followers: "
        f"{made.report['copies_per_s']} copies a second, {cpu_us} us of CPU for each in this process."
    )
