"""`benchmark cost`: CPU microseconds of a copy by stage, for several numbers of followers."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from copytrading.benchmarks.cast import require_scratch, seed_cast, seed_markets
from copytrading.benchmarks.rows import made_up_rows
from copytrading.benchmarks.runs import Run, run_at_full_speed
from copytrading.benchmarks.stages import stages_of
from copytrading.costs import cost_of_measuring_ns
from copytrading.operations.cast import wallet_named
from copytrading.signals import LeaderAction
from copytrading.sources.replay import ReplayFile, load_files
from ledger.system import SeededRandomness, SystemClock, SystemCpuClock

Write = Callable[[str], object]

FOLLOWERS = "1,10,100,1000"
FOLLOWERS_MAX = 10_000
COPIES = 20_000
WARM_UP_COPIES = 500
"""Not measured: imports, connections and caches of the first copies."""

US = 1_000


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument(
        "--followers", type=_numbers, default=_numbers(FOLLOWERS), help=f"numbers of followers (default {FOLLOWERS})"
    )
    parser.add_argument("--copies", type=int, default=COPIES, help=f"of each number of followers (default {COPIES})")
    parser.add_argument(
        "--rows", type=Path, metavar="FILE", help="a recording instead of made-up rows; --copies cuts it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line and nothing else")


def run(options: Mapping[str, Any], write: Write) -> None:
    """Measure each number of followers and print. Raises NotScratch, UnreadableFile, Unfinished."""
    require_scratch()
    recorded = load_files([options["rows"]]) if options["rows"] else None
    _measure(10, rows=min(WARM_UP_COPIES, options["copies"]) // 10 + 1, recorded=None, label="warm-up")
    told = []
    for followers in options["followers"]:
        rows = max(1, options["copies"] // followers)
        measured = _measure(followers, rows=rows, recorded=recorded, label=f"cost of {followers}")
        told.append(tell(measured))
        if not options["json"]:
            write("\n".join(lines_of(told[-1])) + "\n")
    flatness = flatness_of(told)
    whole = {"measured": told, "flatness": flatness}
    write(json.dumps(whole, separators=(",", ":")) if options["json"] else sentence_of(flatness))


def tell(run: Run) -> dict[str, Any]:
    """One run for the JSON line: microseconds for each copy; stages and the parts of a stage add up."""
    copies = max(1, run.copies)
    stages = {}
    for stage in stages_of(run.step_ns, run.cpu_ns):
        stages[stage.name] = {
            "us": _us(stage.ns, copies),
            "percent": round(100 * stage.ns / run.cpu_ns, 1),
            "parts": {name: _us(ns, copies) for name, ns in stage.parts.items()},
        }
    return {
        "followers": run.followers,
        "signals": run.report["signals"],
        "copies": run.report["copies"],
        "copies_per_s": run.report["copies_per_s"],
        "cpu_us": _us(run.cpu_ns, copies),
        "database_us": None if run.database_ms is None else round(run.database_ms * US / copies, 1),
        "measuring_us": _us(run.steps_entered * cost_of_measuring_ns(SystemCpuClock()), copies),
        "stages": stages,
    }


def lines_of(told: Mapping[str, Any]) -> list[str]:
    """One run as a table for people."""
    copies = sum(told["copies"].values())
    lines = [
        f"{told['followers']} followers: {copies} copies of {told['signals']} signals ({_counted(told['copies'])}), "
        f"{told['copies_per_s']} copies a second",
        f"  {'stage':<44}{'us a copy':>10}{'percent':>9}",
    ]
    for name, stage in told["stages"].items():
        lines.append(f"  {name:<44}{stage['us']:>10.1f}{stage['percent']:>9.1f}")
        if len(stage["parts"]) > 1:
            lines += [f"    {part:<42}{us:>10.1f}" for part, us in stage["parts"].items() if us]
    lines.append(f"  {'this process, all threads':<44}{told['cpu_us']:>10.1f}{100:>9.1f}")
    lines.append(f"  of it the measuring itself, about {told['measuring_us']} us")
    server = told["database_us"]
    lines.append(f"  the database server besides: {'unknown here' if server is None else f'{server} us a copy'}")
    return lines


def flatness_of(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether a copy costs the same, however many follow: its cost by number of followers against the cheapest.

    What is paid for each signal whoever follows is told apart, by the straight line nearest to all measurements.
    """
    least = min(each["cpu_us"] for each in told)
    per_signal, per_copy = fitted([(each["signals"] / sum(each["copies"].values()), each["cpu_us"]) for each in told])
    return {
        "us_per_copy": round(per_copy, 1),
        "us_per_signal": round(per_signal, 1),
        "ratio": {str(each["followers"]): round(each["cpu_us"] / least, 2) for each in told},
    }


def fitted(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and height at 0 of the straight line nearest to the points (least squares); flat where there is one."""
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _y in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    return slope, mean_y - slope * mean_x


def sentence_of(flatness: Mapping[str, Any]) -> str:
    """The flatness for people."""
    if len(flatness["ratio"]) == 1:
        return f"A copy costs {flatness['us_per_copy']} us; with several numbers of followers this line says how flat."
    ratios = ", ".join(f"{followers}: {ratio}" for followers, ratio in flatness["ratio"].items())
    return (
        f"A copy costs about {flatness['us_per_copy']} us and a signal {flatness['us_per_signal']} us besides, however "
        f"many follow; all in all, by number of followers and against the cheapest: {ratios}."
    )


def _measure(followers: int, *, rows: int, recorded: Sequence[ReplayFile] | None, label: str) -> Run:
    clock = SystemClock()
    actions = (
        _recorded_rows(recorded, rows, label=label)
        if recorded
        else made_up_rows(label, rows, randomness=SeededRandomness(followers), began_at=clock.now())
    )
    seed_markets(actions, clock)
    cast = seed_cast({action.wallet for action in actions}, followers, label=label)
    return run_at_full_speed([ReplayFile(name=label, readings=actions)], cast, measured=True)


def _recorded_rows(files: Sequence[ReplayFile], rows: int, *, label: str) -> tuple[LeaderAction, ...]:
    """The first rows of the recording, under wallets of this run's own: each number of followers meets new trades."""
    actions = [reading for file in files for reading in file.readings if isinstance(reading, LeaderAction)]
    return tuple(replace(each, wallet=wallet_named(f"{label}:{each.wallet}")) for each in actions[:rows])


def _us(ns: int, copies: int) -> float:
    return round(ns / US / copies, 1)


def _counted(copies: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {status}" for status, number in copies.items())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(1 <= number <= FOLLOWERS_MAX for number in numbers):
        raise ArgumentTypeError(f"name numbers between 1 and {FOLLOWERS_MAX} with commas between them")
    return numbers
