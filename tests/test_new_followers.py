"""Who begins to copy a leader that others copy already: what the leader did before is that leader's history."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from copytrading.models import CopyConfig, CopyConfigVersion, Follower
from copytrading.operations.bulk import set_active
from tests.world import World, reasons

pytestmark = pytest.mark.django_db

BEFORE = [("BEFORE_FOLLOW", None, None)]


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Live, and Fay has followed Lena for long."""
    made = make_world(live=True)
    made.follower("Fay")
    return made


def told(world: World, follower: Follower) -> list[Any]:
    """The reasons of each of a follower's copies; none for one that was executed."""
    return [reasons(each) if each.status == "SKIPPED" else each.status for each in world.trades(follower)]


def test_trade_made_just_before_a_follow_is_copied_by_those_who_followed_then(world: World) -> None:
    world.show(world.row(tx=1))
    world.clock.advance(5)
    fred = world.follower("Fred", created_at=world.clock.now())
    world.settle()
    assert [each.status for each in world.trades()] == ["EXECUTED", "SKIPPED"]
    assert told(world, fred) == [BEFORE]


def test_trade_heard_after_a_follow_and_made_before_it_is_history_too(world: World) -> None:
    late = world.row(tx=1)
    world.clock.advance(5)
    fred = world.follower("Fred", created_at=world.clock.now())
    world.clock.advance(5)
    world.copy(late)
    assert told(world, fred) == [BEFORE]
    world.copy(world.row(tx=2), walk="next")
    assert told(world, fred) == [BEFORE, "EXECUTED"]


def test_trade_in_the_second_of_the_follow_is_copied(world: World) -> None:
    # Whether it was before or after nobody can say: the venue's times are whole seconds.
    trade = world.row(tx=1)
    fred = world.follower("Fred", created_at=world.clock.now() + timedelta(milliseconds=700))
    world.clock.advance(1)
    world.copy(trade)
    assert told(world, fred) == ["EXECUTED"]


def test_what_a_leader_did_while_a_config_was_switched_off_is_not_copied_when_it_is_on_again(world: World) -> None:
    fred = world.follower("Fred")
    config = CopyConfig.objects.get(follower=fred)
    set_active([config.pk], active=False, who="olga", why="test")
    while_off = world.row(tx=1)
    world.clock.advance(5)
    activate(config, at=world.clock.now())
    world.copy(while_off)
    assert told(world, fred) == [BEFORE]
    world.copy(world.row(tx=2), walk="next")
    assert told(world, fred) == [BEFORE, "EXECUTED"]


def test_replay_copies_what_was_before_every_follow(make_world: Callable[..., World]) -> None:
    world = make_world(live=False)
    trade = world.row(tx=1)
    world.clock.advance(5)
    world.follower("Fred", created_at=world.clock.now())
    assert [each.status for each in world.copy(trade)] == ["EXECUTED"]


def activate(config: CopyConfig, *, at: datetime) -> None:
    """Switch it on at a moment of the world's clock; the database would say its own."""
    set_active([config.pk], active=True, who="olga", why="test")
    CopyConfigVersion.objects.filter(config=config, version=3).update(created_at=at)
