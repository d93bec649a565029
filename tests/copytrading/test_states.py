"""The states of a copy: exactly the moves of house.md, each only by whom it belongs to."""

import itertools

import pytest

from copytrading.states import FIRST, MOVES, OPEN, Actor, IllegalMove, Status, check_move

PIPELINE, RESCUE, TRACKING = Actor.PIPELINE, Actor.RESCUE, Actor.TRACKING
SETTLEMENT, WATCH, REORG, OPERATOR = Actor.SETTLEMENT, Actor.WATCH, Actor.REORG, Actor.OPERATOR

TABLE: dict[str, dict[str, set[Actor]]] = {
    "READY": {"PENDING": {PIPELINE}, "SKIPPED": {PIPELINE}},
    "PENDING": {
        "UNKNOWN": {PIPELINE, RESCUE},
        "LIVE": {PIPELINE, RESCUE},
        "MATCHED": {PIPELINE, RESCUE},
        "SETTLEMENT_PENDING": {PIPELINE, RESCUE},
        "EXECUTED": {PIPELINE, RESCUE},
        "FAILED": {PIPELINE, RESCUE},
    },
    "UNKNOWN": {
        "LIVE": {RESCUE},
        "MATCHED": {RESCUE},
        "SETTLEMENT_PENDING": {RESCUE},
        "EXECUTED": {RESCUE},
        "FAILED": {RESCUE},
    },
    "LIVE": {
        "MATCHED": {TRACKING, RESCUE},
        "SETTLEMENT_PENDING": {TRACKING, RESCUE},
        "EXECUTED": {TRACKING, RESCUE},
        "FAILED": {TRACKING, RESCUE},
    },
    "MATCHED": {
        "SETTLEMENT_PENDING": {TRACKING, RESCUE},
        "EXECUTED": {TRACKING, RESCUE},
        "FAILED": {TRACKING, RESCUE, OPERATOR, REORG},
    },
    "SETTLEMENT_PENDING": {"EXECUTED": {SETTLEMENT}, "FAILED": {SETTLEMENT}},
    "FAILED": {"MATCHED": {WATCH}, "SETTLEMENT_PENDING": {WATCH}, "EXECUTED": {WATCH}},
    "EXECUTED": {"SETTLEMENT_PENDING": {REORG}, "FAILED": {REORG}},
    "SKIPPED": {},
}
"""Who may move a copy from where to where; what is not here is illegal."""

EVERY_PAIR = list(itertools.product(Status, Status))


def allowed(before: Status, after: Status, actor: Actor) -> bool:
    return actor in TABLE[before.value].get(after.value, set())


@pytest.mark.parametrize(("before", "after"), EVERY_PAIR, ids=str)
def test_a_move_is_taken_by_its_own_actors_alone(before: Status, after: Status) -> None:
    for actor in Actor:
        if allowed(before, after, actor):
            check_move(before, after, actor)
            continue
        with pytest.raises(IllegalMove, match=f"{actor} may not move a copy trade from {before} to {after}"):
            check_move(before, after, actor)


def test_the_table_has_no_other_moves() -> None:
    assert set(MOVES) == {(Status(a), Status(b)) for a, row in TABLE.items() for b in row}


def test_a_skipped_copy_stays_skipped() -> None:
    assert not [move for move in MOVES if move[0] is Status.SKIPPED]


def test_only_a_copy_never_sent_becomes_pending() -> None:
    assert [move[0] for move in MOVES if move[1] is Status.PENDING] == [Status.READY]


def test_nobody_but_rescue_moves_a_copy_whose_answer_was_lost() -> None:
    assert {actor for (before, _after), who in MOVES.items() if before is Status.UNKNOWN for actor in who} == {RESCUE}


def test_no_state_is_reached_from_itself() -> None:
    assert not [move for move in MOVES if move[0] is move[1]]


def test_every_state_is_born_or_reached() -> None:
    assert {after for _before, after in MOVES} | FIRST == set(Status)


def test_from_every_open_state_there_is_a_way_to_an_end() -> None:
    for status in OPEN:
        assert {after for before, after in MOVES if before is status} >= {Status.EXECUTED, Status.FAILED}


def test_open_states_are_those_that_are_neither_ended_nor_unsent() -> None:
    assert set(Status) - OPEN == {Status.SKIPPED, Status.READY, Status.EXECUTED, Status.FAILED}
