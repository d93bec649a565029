"""Signals that this process recorded a moment ago: their first try need not read them again."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from copytrading.decide import SignalFacts
from copytrading.operations.attempts import FRESH_FOR, has_a_past

REMEMBERED_MAX = 5_000
"""As many as a queue holds unless it is set otherwise, about a kilobyte each; the oldest are read again."""


class FreshSignals:
    """What was recorded here and not begun yet. The rows stay the truth: a copy that exists is not made again.

    A sell is never answered for, nor a later part of an action: what the leader did before it, and is still open, has
    to be read with it.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[int, SignalFacts] = OrderedDict()

    def note(self, signals: Sequence[SignalFacts]) -> None:
        """These were recorded now."""
        for each in signals:
            self._known[each.signal_id] = each
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)

    def take(self, signal_ids: Sequence[int], *, now: datetime) -> list[SignalFacts] | None:
        """All of these in their order, on their first try; None when one of them must be read. They are forgotten."""
        found = [each for key in signal_ids if (each := self._known.pop(key, None)) is not None]
        known = len(found) == len(set(signal_ids))
        if not known or any(has_a_past(each) or each.detected_at < now - FRESH_FOR for each in found):
            return None
        return sorted(found, key=lambda each: each.signal_id)
