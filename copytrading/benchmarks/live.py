"""What the benchmarks of live hearing share: their options, their stage, and their sentences when they cannot run."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from copytrading.benchmarks.cast import require_scratch
from copytrading.benchmarks.runs import Unfinished
from copytrading.models import CopyTrade, Signal
from copytrading.verification.live import LiveOptions
from copytrading.verification.processes import Words, environment_with
from execution.sandbox.anvil import missing_parts
from execution.sandbox.sandbox import SandboxOptions
from ledger.system import SystemClock


def add_live_arguments(parser: ArgumentParser) -> None:
    """Who trades, who follows, and how much happens."""
    parser.add_argument("--seed", type=int, default=1, help="of what happens (default 1)")
    parser.add_argument("--leaders", type=int, default=6, help="default 6")
    parser.add_argument("--followers", type=int, default=5, help="of each leader (default 5)")
    parser.add_argument("--steps", type=int, default=4, help="of the sandbox's generator in a second (default 4)")
    parser.add_argument("--chain", choices=("auto", "on", "off"), default="auto", help="with a real chain")
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def live_options(options: Mapping[str, Any], **settings: Words) -> LiveOptions:
    """What was asked for. Raises NotScratch, or Unfinished with a sentence."""
    if min(options["steps"], options["leaders"], options["followers"]) < 1:
        raise Unfinished("--steps, --leaders and --followers must be at least 1.")
    require_scratch()
    missing = missing_parts()
    if options["chain"] == "on" and missing:
        raise Unfinished(missing)
    return LiveOptions(
        box=SandboxOptions(
            seed=options["seed"],
            leaders=options["leaders"],
            rate=0,
            opening=False,
            run=SystemClock().now().isoformat(),
        ),
        environment=environment_with,
        settings=settings,
        followers=options["followers"],
        chain=options["chain"] != "off" and not missing,
    )


def counted() -> dict[str, int]:
    """How many signals and copies there are."""
    return {"signals": Signal.objects.count(), "copies": CopyTrade.objects.count()}
