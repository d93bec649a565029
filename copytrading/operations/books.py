"""The rows of money that a batch of moves changes while they are locked, and what it will append.

Inside the caller's transaction. Locked in one fixed order: positions, what the copies of configs did, cash; budgets
come after all of these. Only positions are read before the work: the rest are sums, added at the end, so that a
prewrite of the same followers waits for two statements and a commit, and not for all the work between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from django.db.models import F

from copytrading.models import CopiedPosition, CopyTrade
from execution.operations import Held, PositionKey, create_positions, lock_positions, write_positions
from guardrails.intents import Refusal
from guardrails.operations import record_events
from ledger.entries import Entry
from ledger.operations import Cash, lock_cash, write_cash, write_entries
from ledger.sql import add_rows

CopiedKey = tuple[int, int]
"""(config id, token id)."""


@dataclass(slots=True)
class Copied:
    """By how much a CopiedPosition changes; micros."""

    condition_id: str
    size_micros: int = 0
    spent_micros: int = 0
    received_micros: int = 0
    realised_micros: int = 0
    fees_micros: int = 0


_SUMS = ("size_micros", "spent_micros", "received_micros", "realised_micros", "fees_micros")
_CHANGES = attrgetter(*_SUMS)


@dataclass(slots=True)
class Books:
    """Positions as they will be, changes of cash and copied positions, new entries, and incidents met on the way."""

    held: dict[PositionKey, Held]
    cash: dict[int, Cash] = field(default_factory=dict)
    copied: dict[CopiedKey, Copied] = field(default_factory=dict)
    entries: list[tuple[Entry, int | None]] = field(default_factory=list)
    incidents: list[tuple[int | None, Refusal]] = field(default_factory=list)

    def money(self, row: CopyTrade) -> Cash:
        """What changes in the follower's cash."""
        return self.cash.setdefault(row.follower_id, Cash(0, 0))

    def position(self, row: CopyTrade) -> Held:
        """The follower's shares of the row's token; a new position where there was none."""
        return self.held.setdefault(position_of(row), Held(row.condition_id))

    def copy(self, row: CopyTrade) -> Copied:
        """What changes for the row's config in its token."""
        key = (row.config_id, row.token_id)
        found = self.copied.get(key)
        if found is None:
            found = self.copied[key] = Copied(row.condition_id)
        return found


def position_of(row: CopyTrade) -> PositionKey:
    """The key of the position that the row trades."""
    return (row.follower_id, row.token_id)


def lock_books(rows: Iterable[CopyTrade]) -> Books:
    """Lock the positions that these rows trade; those that do not exist are created first, empty."""
    wanted = {position_of(row): row.condition_id for row in rows}
    create_positions(wanted)
    return Books(held=lock_positions(wanted))


def write_books(books: Books, *, now: datetime) -> None:
    """Append what is new, and write everything back."""
    record_events(books.incidents, now=now)
    write_entries(books.entries)
    write_positions(books.held)
    _add_copied(books.copied)
    _add_cash(books.cash)


def _add_cash(changes: dict[int, Cash]) -> None:
    cash = lock_cash(changes)
    for follower_id, change in changes.items():
        held = cash.setdefault(follower_id, Cash(0, 0))
        held.cash_micros += change.cash_micros
        held.reserved_micros += change.reserved_micros
    write_cash(cash)


def _add_copied(copied: dict[CopiedKey, Copied]) -> None:
    less = {key for key, each in copied.items() if min(each.spent_micros, each.received_micros, each.fees_micros) < 0}
    rows = [(*key, *_CHANGES(each), each.condition_id) for key, each in copied.items() if key not in less]
    add_rows(CopiedPosition, rows, unique=("config", "token_id"), add=_SUMS, keep=("condition_id",))
    for key in sorted(less):
        _take_copied(key, _CHANGES(copied[key]))


def _take_copied(key: CopiedKey, changes: Sequence[int]) -> None:
    # An insert of less than nothing is refused by the table's constraints before it meets the row it would change.
    config, token = key
    CopiedPosition.objects.filter(config_id=config, token_id=token).update(
        **{name: F(name) + change for name, change in zip(_SUMS, changes, strict=True)}
    )
