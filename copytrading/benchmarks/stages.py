"""Adds measured steps up to the stages that people know, and to what is left. Pure arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass

STAGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "record": {"read and group": ("source", "intake"), "write signals": ("db.record_signals",)},
    "gather": {
        "open signals": ("begin", "db.begin_signals", "db.count_try", "db.drop_signals"),
        "configs": ("configs", "db.leader_ids", "db.configs_after", "db.changes_since", "db.configs_by_id"),
        "facts": ("db._read",),
    },
    "decide": {"size, filters, rules": ("decide",)},
    "plan": {"books": ("quote",), "limit, amounts, order hash": ("plan",)},
    "prewrite": {
        "lock lease, budgets, cash, shares": ("prewrite.lock",),
        "grant": ("prewrite.grant",),
        "build rows": ("prewrite.rows",),
        "insert": ("prewrite.insert",),
        "write budgets, cash, shares": ("prewrite.funds",),
        "events": ("prewrite.events",),
        "the rest": ("db.prewrite",),
    },
    "sign": {"order hash, signature": ("sign",)},
    "venue": {"check and match": ("venue",)},
    "send": {"lanes and gate": ("send",), "switches": ("db.switches",)},
    "outcome": {
        "build rows": ("outcome.rows",),
        "compare and set": ("outcome.update",),
        "budgets": ("outcome.budgets",),
        "entries, cash, shares": ("outcome.money",),
        "the rest": ("db.record_outcomes", "outcomes"),
    },
    "report": {"events of the dashboard": ("reporter", "db._publish_tick")},
    "stops": {"profits of configs with a stop": ("stopper", "db._measure", "db._exit")},
}
"""Stage, part, and the steps that it is made of; the names behind `db.` are those of the functions run there."""

OTHER = "other"
"""Services beside the copies (lease, rescue, sweeper, breakers), the pipeline's own loop, and steps without a stage.

These, the reports and the stops run by the clock: a copy bears more of them on a machine that makes few.
"""

LOOP = "event loop"
"""What no step measured: tasks, futures, callbacks, the pool of threads, the interpreter's own work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """CPU nanoseconds of a stage and of its parts."""

    name: str
    ns: int
    parts: Mapping[str, int]


def stages_of(step_ns: Mapping[str, int], total_ns: int) -> tuple[Stage, ...]:
    """All stages in their order; they add up to the total."""
    left = dict(step_ns)
    found: list[Stage] = []
    for name, parts in STAGES.items():
        taken = {part: sum(left.pop(step, 0) for step in steps) for part, steps in parts.items()}
        found.append(Stage(name=name, ns=sum(taken.values()), parts=taken))
    found.append(Stage(name=OTHER, ns=sum(left.values()), parts=dict(sorted(left.items()))))
    unmeasured = total_ns - sum(stage.ns for stage in found)
    return (*found, Stage(name=LOOP, ns=unmeasured, parts={}))
