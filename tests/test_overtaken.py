"""A sale that is heard before the purchase it sells: the purchase is not copied any more, for nobody would sell it."""

from collections.abc import Callable
from typing import Any

import pytest

from copytrading.models import Signal
from tests.factories import SignalFactory
from tests.world import OTHER_TOKEN, World, reasons, story

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Live: its signals have an age. The times of trading are whole seconds."""
    made = make_world(live=True)
    made.follower()
    return made


def rows(world: World, *sides: str, every_s: int = 2, **more: Any) -> list[dict[str, Any]]:
    """Trades of Lena's, one after the other; the last has just happened."""
    found = []
    for number, side in enumerate(sides, start=1):
        world.clock.advance(every_s)
        found.append(world.row(tx=number, side=side, **more))
    return found


def test_purchase_heard_after_its_sale_is_skipped(world: World) -> None:
    buy, sell = rows(world, "BUY", "SELL")
    world.copy(sell)
    late = world.copy(buy, walk="late")[-1]
    assert (late.status, reasons(late)) == ("SKIPPED", [("SOLD_ALREADY", None, None)])


def test_purchase_after_a_sale_is_copied(world: World) -> None:
    sell, buy = rows(world, "SELL", "BUY")
    world.copy(sell)
    assert story(world.copy(buy, walk="next")[-1])[0] == "EXECUTED"


def test_trades_of_one_second_are_taken_in_the_order_of_hearing(world: World) -> None:
    buy, sell = rows(world, "BUY", "SELL", every_s=0)
    world.copy(sell)
    assert story(world.copy(buy, walk="late")[-1])[0] == "EXECUTED"


def test_sale_of_the_other_token_overtakes_nothing(world: World) -> None:
    (buy,) = rows(world, "BUY")
    world.clock.advance(2)
    world.copy(world.row(tx=2, side="SELL", asset=str(OTHER_TOKEN), outcomeIndex=1))
    assert story(world.copy(buy, walk="late")[-1])[0] == "EXECUTED"


def test_sale_of_another_leader_overtakes_nothing(world: World) -> None:
    (buy,) = rows(world, "BUY")
    world.show(buy)
    bought = Signal.objects.get()
    world.clock.advance(2)
    SignalFactory(side="SELL", token_id=bought.token_id, traded_at=world.clock.now(), detected_at=world.clock.now())
    world.settle()
    assert story(world.trades()[-1])[0] == "EXECUTED"


def test_purchase_that_waited_in_the_queue_while_its_sale_was_heard_is_copied_and_sold(world: World) -> None:
    buy, sell = rows(world, "BUY", "SELL")
    world.show(buy)
    world.show(sell, walk="next")
    world.settle()
    assert [(each.side, each.status) for each in world.trades()] == [("BUY", "EXECUTED"), ("SELL", "EXECUTED")]


def test_late_part_of_a_purchase_that_was_sold_meanwhile_is_skipped(world: World) -> None:
    buy, sell = rows(world, "BUY", "SELL")
    world.copy(buy)
    world.copy(sell, walk="next")
    late = world.copy(buy | {"size": "3000"}, walk="logs", source="chain-logs")[-1]
    assert (late.side, late.status, late.signal.part) == ("BUY", "SKIPPED", 2)
