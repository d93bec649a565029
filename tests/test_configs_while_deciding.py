"""A config that changes while its signal is on its way: what is switched off meanwhile is not copied."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError

from copytrading.models import CopyConfig, Signal
from copytrading.operations.bulk import set_active
from ledger.units import ONE
from tests.doors import outside_loop
from tests.factories import CopyConfigFactory
from tests.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def switch_off(config: CopyConfig) -> None:
    set_active([config.pk], active=False, who="olga", why="test")


def while_waiting(world: World, monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Once, while a batch waits five seconds for room."""
    wait, left = world.engine.sender.room_for, [what]

    async def slow(copies: int) -> None:
        if left:
            outside_loop(left.pop())
            world.clock.advance(5)
        await wait(copies)

    monkeypatch.setattr(world.engine.sender, "room_for", slow)


def test_who_switches_off_while_the_batch_waits_is_not_copied(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.follower()
    fred = world.follower("Fred")
    fay = CopyConfig.objects.earliest("pk")
    while_waiting(world, monkeypatch, lambda: switch_off(fay))
    assert [(each.follower_id, each.status) for each in world.copy(world.row())] == [(fred.pk, "EXECUTED")]


def test_last_follower_who_switches_off_while_the_batch_waits_leaves_nothing_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.follower()
    while_waiting(world, monkeypatch, lambda: switch_off(CopyConfig.objects.get()))
    assert world.copy(world.row()) == []
    assert Signal.objects.get().dropped_reason == "NO_SUBSCRIBERS"


def test_try_is_counted_once_however_often_configs_change_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.follower()
    config = CopyConfig.objects.get()
    while_waiting(world, monkeypatch, lambda: CopyConfig.objects.filter(pk=config.pk).update(percentage_bps=500))
    world.show(world.row())
    world.clock.advance(6)
    world.settle()
    assert Signal.objects.get().attempts == 1
    assert [each.size_micros for each in world.trades()] == [50 * ONE]


def test_config_deleted_by_hand_is_left_out_and_the_others_are_copied(world: World) -> None:
    fay, fred = world.follower(), world.follower("Fred")
    world.run(world.engine.configs.run_once)
    CopyConfig.objects.filter(follower=fay).delete()
    assert [each.follower_id for each in world.copy(world.row())] == [fred.pk]


def test_constraint_that_really_does_not_hold_ends_the_engine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.follower()

    async def broken(*_args: Any, **_more: Any) -> Any:
        raise IntegrityError("another one")

    monkeypatch.setattr(world.engine.pipeline, "_prewrite", broken)
    world.show(world.row())
    with pytest.raises(IntegrityError):
        world.settle()


def test_index_that_is_read_anew_says_whether_there_was_news(world: World) -> None:
    CopyConfigFactory()
    assert world.run(world.engine.configs.reread)
    assert not world.run(world.engine.configs.reread)
