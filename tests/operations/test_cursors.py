"""Cursors move forwards, once, and go with the last follower."""

import pytest

from copytrading.models import CopyConfig, Leader, LeaderPosition, SignalCursor
from copytrading.operations.cursors import (
    CursorName,
    Missed,
    begin_cursor,
    forget_unfollowed,
    give_up,
    move_cursor,
)
from guardrails.models import GuardrailEvent
from tests.doors import BEGINNING
from tests.factories import LeaderFactory

pytestmark = pytest.mark.django_db

OTHER = CursorName("chain-logs", "")


@pytest.fixture
def name(lena: Leader) -> CursorName:
    return CursorName("data-api", lena.wallet)


def position(name: CursorName) -> str:
    return SignalCursor.objects.get(source=name.source, key=name.key).position


def test_a_cursor_begins_once(name: CursorName) -> None:
    assert (begin_cursor(name, 10), begin_cursor(name, 99)) == (10, 10)


def test_a_cursor_moves_only_from_where_it_was_seen(name: CursorName) -> None:
    begin_cursor(name, 10)
    assert move_cursor(name, before=10, after=20)
    assert not move_cursor(name, before=10, after=30)
    assert position(name) == "20"


@pytest.mark.parametrize("after", [9, 10])
def test_a_cursor_never_goes_back(name: CursorName, after: int) -> None:
    begin_cursor(name, 10)
    with pytest.raises(ValueError, match="10"):
        move_cursor(name, before=10, after=after)


def test_a_cursor_that_was_removed_does_not_come_back(name: CursorName) -> None:
    assert not move_cursor(name, before=10, after=20)
    assert not SignalCursor.objects.exists()


def test_what_is_given_up_is_an_event_once_and_unlearns_the_holdings(name: CursorName, lena: Leader) -> None:
    LeaderPosition.objects.create(leader=lena, token_id=1, condition_id="0x1", size_micros=5, known=True)
    Leader.objects.update(holdings_complete=True)
    begin_cursor(name, 10)
    missed = Missed(rows=7, why="older than is replayed")
    done = [give_up(name, before=10, after=50, missed=missed, now=BEGINNING) for _ in range(2)]
    event = GuardrailEvent.objects.get()
    assert done == [True, False]
    assert (event.reason, event.value, lena.wallet in event.subject) == ("HISTORY_MISSED", 7, True)
    assert not LeaderPosition.objects.get().known
    assert not Leader.objects.get().holdings_complete


def test_giving_up_nothing_is_no_event(name: CursorName) -> None:
    begin_cursor(name, 10)
    assert give_up(name, before=10, after=50, missed=Missed(rows=0, why=""), now=BEGINNING)
    assert (position(name), GuardrailEvent.objects.count()) == ("50", 0)


def test_cursors_of_leaders_nobody_follows_go_and_no_others(name: CursorName, fay_config: CopyConfig) -> None:
    lonely = CursorName("data-api", LeaderFactory(name="Luca").wallet)
    for each in (name, lonely, OTHER):
        begin_cursor(each, 10)
    assert forget_unfollowed("data-api") == 1
    assert {row.key for row in SignalCursor.objects.all()} == {name.key, OTHER.key}
