"""A change of one copy trade, as its mover saw the row. A value; the operations that take it write."""

from dataclasses import dataclass
from datetime import datetime

from copytrading.models import CopyTrade
from copytrading.states import Actor, Status
from execution.ports import Fill
from guardrails.intents import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of one row, as its mover saw the row. `fill` for EXECUTED; `refusal` says why it FAILED.

    `watched`: EXECUTED, and more of it may be confirmed late, which is looked for as after a failure.
    """

    row: CopyTrade
    to: Status
    actor: Actor
    fill: Fill | None = None
    refusal: Refusal | None = None
    prewritten_at: datetime | None = None
    submitted_at: datetime | None = None
    answered_at: datetime | None = None
    matched_micros: int = 0
    executor: str = ""
    next_retry_at: datetime | None = None
    watched: bool = False

    @property
    def wakes(self) -> bool:
        """A failed order turns out to stand: a late fill, or an order that was matched after all."""
        return self.row.status == Status.FAILED

    @property
    def was_given_up(self) -> bool:
        """The order failed once and is not filled since: it holds no budget, and may have been booked and undone.

        An order that failed keeps the reason; one under way has notes at most.
        """
        if self.row.status == Status.EXECUTED:
            return False
        return self.wakes or any(not told.get("note") for told in self.row.reasons)

    @property
    def undoes(self) -> bool:
        """What was booked as filled is taken back."""
        return self.to is Status.FAILED and self.row.status == Status.EXECUTED
