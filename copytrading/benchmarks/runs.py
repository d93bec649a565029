"""One run of the real engine at full speed, as it is wired for a replay, with what it cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from copytrading.benchmarks.cast import roomy_bounds
from copytrading.benchmarks.servers import database_cpu_ms
from copytrading.console import run_engine
from copytrading.costs import NO_COSTS, CpuCosts
from copytrading.models import Follower
from copytrading.sources.replay import ReplayFile, ReplaySource
from copytrading.wiring import build_supervisor
from copytrading.wiring_choices import Choices, operator_bounds
from ledger.system import SystemCpuClock

OUTSIDE = "db.run_report"
"""Counting the result belongs to the benchmark, not to the engine."""


DEEP_SHARES = 100_000_000
"""At each level when costs are compared: what a thousand followers ask for fills as what one asks for does."""


class Unfinished(Exception):
    """The run was stopped before everything was decided; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run made and took. `step_ns` is CPU time by step; `database_ms` None where it cannot be read."""

    followers: int
    report: Mapping[str, Any]
    cpu_ns: int
    step_ns: Mapping[str, int]
    steps_entered: int
    database_ms: int | None

    @property
    def copies(self) -> int:
        """Copies written, whatever became of them."""
        return sum(self.report["copies"].values())


def run_at_full_speed(files: Sequence[ReplayFile], followers: Sequence[Follower], *, measured: bool) -> Run:
    """Replay the files for these followers and drain. Raises Unfinished, or LeaseHeldByAnother.

    Only a measured run has steps; the other one is what an operator's engine does.
    """
    cpu = SystemCpuClock()
    costs = CpuCosts(cpu) if measured else None
    choices = Choices(
        live=False,
        remember=True,
        venue_latency=False,
        costs=costs or NO_COSTS,
        depth_shares=DEEP_SHARES if measured else None,
    )
    bounds = roomy_bounds(operator_bounds(choices), followers)
    engine, supervisor = build_supervisor(replace(choices, operator=bounds))
    source = ReplaySource(files, engine.intake)
    database_ms, began_ns = database_cpu_ms(), cpu.process_ns()
    drained, report = run_engine(engine, supervisor, lambda: source)
    cpu_ns = cpu.process_ns() - began_ns
    if not drained or not source.finished:
        raise Unfinished("The run was stopped before everything was decided; its figures would mean nothing.")
    step_ns = costs.spent_ns() if costs else Counter[str]()
    return Run(
        followers=len(followers),
        report=report,
        cpu_ns=cpu_ns - step_ns.pop(OUTSIDE, 0),
        step_ns=step_ns,
        steps_entered=costs.times_entered() if costs else 0,
        database_ms=_difference(database_ms, database_cpu_ms()),
    )


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
