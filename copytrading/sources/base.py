"""What a source reads and where it puts it. Pure types and the sink's Protocol."""

from collections.abc import Sequence
from typing import Protocol

from copytrading.signals import LeaderAction, OtherAction, RepeatedRow, Unreadable

Reading = LeaderAction | OtherAction | RepeatedRow | Unreadable
"""One delivered row after parsing: a leader's action, a row counted by its type, a repeated or an unreadable one."""


class Sink(Protocol):
    """Takes readings; waits (never drops) while there is no room."""

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        """Take the rows read in one go.

        `walk` names one pass over the feed (a file, a connection, a poll): equal rows inside a walk are
        separate fills, the same rows in another walk are the same fills read again. `complete` says that
        every group in these readings is whole, so nothing need wait for the coalescing window.
        """
        ...

    async def end_walk(self, walk: str) -> None:
        """The walk is over: everything that still waits for the window is recorded, its tally forgotten."""
        ...

    async def withdraw(self, source: str, tx_hashes: Sequence[str]) -> None:
        """These transactions, which this source has shown, are not in the chain (any more).

        Their totals at this source fall to nothing; what was acted on stays acted on and is marked, with an incident.
        """
        ...
