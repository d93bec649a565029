"""When to put work off because there is more of it than can be decided: a transition function. Pure.

NORMAL, and three steps of shedding, each with all before it: less fan-out, so that sells and what was begun come to
their turns sooner; the mempool off; old entries put off, for a fresh trade is worth more than a stale one. A bad
window goes one step up, so many healthy ones in a row one step back; a window that is neither changes nothing.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

HEALTHY_PART = 2
"""A window is healthy within this part of both bounds: between it and the bounds the level stays."""


class Level(IntEnum):
    """How much is put off; each level does what those below it do."""

    NORMAL = 0
    LESS_FAN_OUT = 1
    NO_MEMPOOL = 2
    NO_OLD_ENTRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ShedBounds:
    """What is too much; 0 bounds nothing. Healthy windows in a row that take back one step."""

    depth_max: int
    lag_ms_max: int
    healthy_windows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was seen: undecided signals, and the p95 of their ages; 0 when there are none."""

    depth: int
    lag_ms: int


@dataclass(frozen=True, slots=True)
class Load:
    """The level, and how many healthy windows were seen since it was last changed or shaken."""

    level: Level = Level.NORMAL
    healthy: int = 0


def next_load(load: Load, window: Window, bounds: ShedBounds) -> Load:
    """The load after this window: at most one step from the one before."""
    if _exceeds(window, bounds, part=1):
        return Load(Level(min(load.level + 1, Level.NO_OLD_ENTRIES)))
    if load.level is Level.NORMAL or _exceeds(window, bounds, part=HEALTHY_PART):
        return replace(load, healthy=0)
    if load.healthy + 1 < bounds.healthy_windows:
        return replace(load, healthy=load.healthy + 1)
    return Load(Level(load.level - 1))


def _exceeds(window: Window, bounds: ShedBounds, *, part: int) -> bool:
    too_deep = bool(bounds.depth_max) and window.depth * part > bounds.depth_max
    too_late = bool(bounds.lag_ms_max) and window.lag_ms * part >= bounds.lag_ms_max
    return too_deep or too_late
