"""Lanes: one order after the other for each follower, all followers side by side, and a bug stops the shard."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from copytrading.pipeline import TAKE_MAX, TAKE_MIN, signals_to_take
from execution.orders import OrderPlan
from execution.ports import Outcome, Unknown
from tests.venues import ScriptedVenue

pytestmark = pytest.mark.django_db(transaction=True)


class SlowVenue(ScriptedVenue):
    """Lets others run between taking an order and answering it, and notes who was in it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.together: set[frozenset[str]] = set()

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
        assert plan.maker not in self.inside, "two orders of one follower at once"
        self.inside.append(plan.maker)
        self.together.add(frozenset(self.inside))
        await asyncio.sleep(0)
        self.inside.remove(plan.maker)
        return await super().submit(plan, signature, follower_id=follower_id)


@pytest.fixture
def venue() -> SlowVenue:
    return SlowVenue()


def test_orders_of_one_follower_wait_for_each_other_and_those_of_two_do_not(make_world: Any, venue: SlowVenue) -> None:
    world = make_world(venue=venue)
    wallets = {world.follower(name).wallet for name in ("Fay", "Ann")}
    trades = world.copy(*(world.row(tx=number) for number in (1, 2, 3)))
    assert [trade.status for trade in trades] == ["EXECUTED"] * 6
    assert frozenset(wallets) in venue.together


def test_a_lane_sends_in_the_order_of_the_signals(make_world: Any, venue: SlowVenue) -> None:
    world = make_world(venue=venue)
    world.follower()
    trades = world.copy(*(world.row(tx=number) for number in (1, 2, 3)))
    assert [plan.order_hash for plan in venue.submitted] == [trade.order_hash for trade in trades]


def test_a_lane_is_taken_down_when_it_is_empty_and_made_anew(make_world: Any, venue: SlowVenue) -> None:
    world = make_world(venue=venue)
    world.follower()
    assert len(world.copy(world.row(tx=1))) == 1
    assert world.engine.sender.in_flight == 0
    assert len(world.copy(world.row(tx=2))) == 2
    assert len(venue.submitted) == 2


def test_a_bug_in_a_send_reaches_the_pipeline_and_what_was_behind_it_is_left_to_rescue(make_world: Any) -> None:
    venue = ScriptedVenue()
    world = make_world(venue=venue)
    world.follower()
    world.show(*(world.row(tx=number) for number in (1, 2, 3)))

    def break_down(_plan: OrderPlan) -> None:
        raise ZeroDivisionError("a bug")

    venue.on_submit = break_down
    with pytest.raises(ZeroDivisionError, match="a bug"):
        world.run(lambda: _work_until_raised(world))
    assert len(venue.submitted) == 1
    assert world.engine.sender.in_flight == 0
    assert {trade.status for trade in world.trades()} == {"PENDING"}


@pytest.mark.parametrize(("outcome", "status"), [(None, "EXECUTED"), (Unknown(detail="lost"), "UNKNOWN")])
def test_the_moment_of_the_durable_row_is_kept_with_what_became_of_the_order(
    make_world: Any, outcome: Outcome | None, status: str
) -> None:
    venue = ScriptedVenue()
    world = make_world(venue=venue)
    world.follower()
    venue.on_submit, venue.answer = lambda _plan: world.clock.advance(1), outcome
    first, second = world.copy(world.row(tx=1), world.row(tx=2))
    assert (first.status, second.status) == (status, status)
    assert first.decided_at <= first.prewritten_at <= first.submitted_at
    # The turn in the lane is the send's, not the prewrite's.
    assert first.prewritten_at == second.prewritten_at
    assert second.submitted_at - second.prewritten_at >= timedelta(seconds=1)


async def _work_until_raised(world: Any) -> None:
    await world.engine.pipeline.run_once()
    await world.engine.sender.idle()


@pytest.mark.parametrize(
    ("signals", "copies", "taken"),
    [
        (0, 0, TAKE_MAX),
        (64, 0, TAKE_MAX),
        (64, 64, TAKE_MAX),
        (64, 640, 100),
        (64, 6_400, TAKE_MIN),
        (1, 1_000, TAKE_MIN),
    ],
)
def test_as_many_signals_are_taken_as_fill_two_batches(signals: int, copies: int, taken: int) -> None:
    assert signals_to_take(signals, copies, batch_copies=500) == taken
