"""A change of one copy trade, as its mover saw the row. A value; the operations that take it write."""

from dataclasses import dataclass, replace
from datetime import datetime

from copytrading.models import CopyTrade
from copytrading.states import OPEN, Actor, Status
from execution.ports import Fill
from guardrails.intents import Refusal
from ledger.units import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of one row, as its mover saw the row. `refusal` says why it FAILED.

    `fill` is all that is confirmed of its order: for EXECUTED, and for MATCHED while others of its trades are not
    final. `watched`: EXECUTED, and more of it may be confirmed late, which is looked for as after a failure.
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
    def adds(self) -> bool:
        """More of a matched order is confirmed, and it stays what it is: no move in the table of states."""
        return self.fill is not None and self.to is Status.MATCHED and self.row.status == Status.MATCHED

    @property
    def undoes(self) -> bool:
        """What was booked as filled, whole or in part, is taken back."""
        return self.to is Status.FAILED and self.row.fill_size_micros > 0

    @property
    def reserves_micros(self) -> int:
        """What stays reserved: nothing at the end; of a matched order the part of its shares not booked, rounded up."""
        row = self.row
        if self.to not in OPEN:
            return 0
        if self.fill is None:
            return row.reserved_micros
        before, after = row.size_micros - row.fill_size_micros, row.size_micros - self.fill.size_micros
        return -(-row.reserved_micros * after // before)

    @property
    def more(self) -> Fill | None:
        """What of the fill is not booked yet."""
        row, fill = self.row, self.fill
        if fill is None or not row.fill_size_micros:
            return fill
        return replace(
            fill,
            size_micros=Micros(fill.size_micros - row.fill_size_micros),
            cost_micros=Micros(fill.cost_micros - row.fill_cost_micros),
            fee_micros=Micros(fill.fee_micros - row.fee_micros),
        )
