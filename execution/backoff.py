"""How long to wait before trying again. Pure."""

from ledger.clock import Randomness

DOUBLINGS_MAX = 16
"""Beyond these the cap has long been reached, and the power would only grow."""


def backoff_s(attempt: int, *, base_s: float, cap_s: float, randomness: Randomness) -> float:
    """Seconds before try number `attempt` + 1: between `base_s` / 2 and twice as much for each failed try, at most cap.

    Full jitter above the lower bound, so that a thousand clients of one broken server do not come back together.
    """
    ceiling_s = min(cap_s, base_s * 2.0 ** min(max(attempt, 0), DOUBLINGS_MAX))
    floor_s = min(base_s, cap_s) / 2
    return floor_s + (ceiling_s - floor_s) * randomness.fraction()
