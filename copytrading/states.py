"""The CopyTrade state machine: the table of legal moves and who may take each. Pure.

The database refuses other moves on its own (a trigger on Postgres); a test holds the two tables together.
"""

from enum import StrEnum


class Status(StrEnum):
    """What a CopyTrade is; see house.md for the meaning of each state."""

    SKIPPED = "SKIPPED"
    READY = "READY"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    LIVE = "LIVE"
    MATCHED = "MATCHED"
    SETTLEMENT_PENDING = "SETTLEMENT_PENDING"
    EXECUTED = "EXECUTED"
    FAILED = "FAILED"


ON_THE_VENUE = "EXCHANGE"
"""The mode of followers whose orders go to the venue from their own accounts, and meet its books."""


class Actor(StrEnum):
    """Who takes a move."""

    PIPELINE = "pipeline"
    RESCUE = "rescue"
    TRACKING = "fill tracking"
    SETTLEMENT = "settlement"
    WATCH = "watch"
    REORG = "reorg watcher"
    OPERATOR = "operator"


FIRST = frozenset({Status.SKIPPED, Status.READY, Status.PENDING})
"""States in which a row may be born."""

OPEN = frozenset({Status.PENDING, Status.UNKNOWN, Status.LIVE, Status.MATCHED, Status.SETTLEMENT_PENDING})
"""States that hold a reservation: something may stand or has stood on the venue."""

_FOUND = (Status.LIVE, Status.MATCHED, Status.SETTLEMENT_PENDING, Status.EXECUTED, Status.FAILED)

MOVES: dict[tuple[Status, Status], frozenset[Actor]] = {
    (Status.READY, Status.PENDING): frozenset({Actor.PIPELINE}),
    (Status.READY, Status.SKIPPED): frozenset({Actor.PIPELINE}),
    (Status.PENDING, Status.UNKNOWN): frozenset({Actor.PIPELINE, Actor.RESCUE}),
    **{(Status.PENDING, to): frozenset({Actor.PIPELINE, Actor.RESCUE}) for to in _FOUND},
    **{(Status.UNKNOWN, to): frozenset({Actor.RESCUE}) for to in _FOUND},
    (Status.LIVE, Status.MATCHED): frozenset({Actor.TRACKING, Actor.RESCUE}),
    (Status.LIVE, Status.SETTLEMENT_PENDING): frozenset({Actor.TRACKING, Actor.RESCUE}),
    (Status.LIVE, Status.EXECUTED): frozenset({Actor.TRACKING, Actor.RESCUE}),
    (Status.LIVE, Status.FAILED): frozenset({Actor.TRACKING, Actor.RESCUE}),
    (Status.MATCHED, Status.SETTLEMENT_PENDING): frozenset({Actor.TRACKING, Actor.RESCUE}),
    (Status.MATCHED, Status.EXECUTED): frozenset({Actor.TRACKING, Actor.RESCUE}),
    (Status.MATCHED, Status.FAILED): frozenset({Actor.TRACKING, Actor.RESCUE, Actor.OPERATOR, Actor.REORG}),
    (Status.SETTLEMENT_PENDING, Status.EXECUTED): frozenset({Actor.SETTLEMENT}),
    (Status.SETTLEMENT_PENDING, Status.FAILED): frozenset({Actor.SETTLEMENT}),
    (Status.FAILED, Status.MATCHED): frozenset({Actor.WATCH}),
    (Status.FAILED, Status.SETTLEMENT_PENDING): frozenset({Actor.WATCH}),
    (Status.FAILED, Status.EXECUTED): frozenset({Actor.WATCH}),
    (Status.EXECUTED, Status.SETTLEMENT_PENDING): frozenset({Actor.REORG}),
    (Status.EXECUTED, Status.FAILED): frozenset({Actor.REORG}),
}


class IllegalMove(ValueError):
    """A change of status that the table does not allow."""


def check_move(before: Status, after: Status, actor: Actor) -> None:
    """Raise IllegalMove unless the actor may take this move."""
    if actor not in MOVES.get((before, after), frozenset()):
        raise IllegalMove(f"{actor} may not move a copy trade from {before} to {after}")
