"""kill -9 at each boundary of a real order (reliability.md 1.3, B3 to B10): what is durable then, and that the next
engine carries it to the same end without sending anything twice.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from copytrading.models import CopyTrade
from copytrading.operations import fills
from execution.models import Position, VenueFill
from execution.ports import NotFound, OrderRef, OrderState, Resting
from ledger.models import CashBalance, LedgerEntry
from ledger.units import ONE
from tests.operations.deals import assert_books_agree
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.tracking.trades import trade

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """The process is gone; nothing of it runs on, and nobody catches it."""


def die(*_args: Any, **_how: Any) -> Any:
    raise Killed


async def frozen(*_args: Any, **_how: Any) -> Any:
    """As far as a process came: it is not heard of again."""
    await asyncio.get_running_loop().create_future()


def dies_while_sending(world: ExchangeWorld) -> None:
    """An order is handed to the sender, which does not come back from where it is; then another process starts."""

    async def work() -> None:
        await world.engine.pipeline.run_once()
        for _turn in range(100):
            await asyncio.sleep(0)

    world.show(world.row())
    world.run(work)
    world.start()


def killed(world: ExchangeWorld, work: Callable[[], Any]) -> None:
    """The process dies at work, and another one starts on what the database holds."""
    with pytest.raises(Killed):
        work()
    world.start()


def carry_on(world: ExchangeWorld) -> CopyTrade:
    """The next engine is offered what is open, and asks about what may have been sent."""
    world.clock.advance(6)
    world.run(world.engine.sweeper.run_once)
    world.settle()
    world.look()
    for _round in range(3):
        world.clock.advance(6)
        world.rescue()
    (row,) = world.trades()
    return row


def assert_bought_once(world: ExchangeWorld, row: CopyTrade) -> None:
    assert (row.status, row.fill_size_micros, len(world.exchange.submitted)) == ("EXECUTED", 100 * ONE, 1)
    assert (CashBalance.objects.get().reserved_micros, Position.objects.get().size_micros) == (0, 100 * ONE)
    assert LedgerEntry.objects.filter(kind="SHARES").count() == 1
    assert_books_agree(cash_before=0)


def confirms_everything(world: ExchangeWorld) -> None:
    """The venue has a confirmed trade for each order that reached it, and knows of no other."""

    async def look_up(order: OrderRef) -> OrderState:
        plan = next((each for each in world.exchange.submitted if each.order_hash == order.order_hash), None)
        if plan is None:
            return NotFound()
        row = CopyTrade(order_hash=order.order_hash)
        return Resting(matched=True, matched_micros=plan.size_micros, trades=(trade(row),), final=True)

    world.exchange.look_up = look_up  # type: ignore[method-assign]


@pytest.fixture
def dying(exchange: ExchangeWorld) -> ExchangeWorld:
    exchange.follower()
    confirms_everything(exchange)
    return exchange


def test_b2_a_copy_that_waits_goes_on(dying: ExchangeWorld) -> None:
    dying.rates.wait_ms = 500
    dying.copy(dying.row())
    assert statuses(dying) == ["READY"]
    dying.start()
    dying.rates.wait_ms = 0
    assert_bought_once(dying, carry_on(dying))


def test_b3_what_was_granted_to_a_waiting_copy_and_not_committed_is_granted_anew(
    dying: ExchangeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying.rates.wait_ms = 500
    dying.copy(dying.row())
    dying.rates.wait_ms = 0
    with monkeypatch.context() as patch:
        patch.setattr("copytrading.operations.waiting.record_events", die)
        killed(dying, lambda: dying.look(after=1))
    assert (statuses(dying), CashBalance.objects.get().reserved_micros) == (["READY"], 0)
    assert_bought_once(dying, carry_on(dying))


def test_b4_a_signature_dies_with_its_process_and_the_order_is_never_sent(dying: ExchangeWorld) -> None:
    """Signed and committed, and not one byte left: the row says that it may have been sent, so nobody sends it."""
    route = dying.engine.sender._doors.routes["EXCHANGE"]
    object.__setattr__(route, "sign", frozen)
    dies_while_sending(dying)
    assert (statuses(dying), dying.exchange.submitted) == (["PENDING"], [])
    row = carry_on(dying)
    assert (row.status, dying.exchange.submitted) == ("UNKNOWN", [])
    dying.clock.advance(601)
    dying.rescue()
    (row,) = dying.trades()
    assert (row.status, dying.exchange.cancelled, dying.exchange.submitted) == ("FAILED", [row.order_hash], [])
    assert CashBalance.objects.get().reserved_micros == 0


def test_b5_to_b8_an_order_on_the_wire_is_asked_about_and_booked_once(dying: ExchangeWorld) -> None:
    submit = dying.exchange.submit

    async def sent_and_gone(*args: Any, **how: Any) -> Any:
        await submit(*args, **how)
        await frozen()

    dying.exchange.submit = sent_and_gone  # type: ignore[method-assign]
    dies_while_sending(dying)
    dying.exchange.submit = submit  # type: ignore[method-assign]
    assert statuses(dying) == ["PENDING"]
    assert_bought_once(dying, carry_on(dying))


def test_b9_a_matched_copy_is_settled_by_the_next_engine(dying: ExchangeWorld) -> None:
    dying.copy(dying.row())
    assert statuses(dying) == ["MATCHED"]
    dying.start()
    assert_bought_once(dying, carry_on(dying))


def test_b9_a_trade_that_was_not_committed_is_heard_again(
    dying: ExchangeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying.copy(dying.row())
    with monkeypatch.context() as patch:
        patch.setattr(fills, "record_outcomes", die)
        killed(dying, lambda: dying.confirm(dying.trades()[0]))
    assert (statuses(dying), VenueFill.objects.count()) == (["MATCHED"], 0)
    assert_bought_once(dying, carry_on(dying))


def test_b10_a_booked_copy_is_left_as_it_is(dying: ExchangeWorld) -> None:
    (row,) = dying.copy(dying.row())
    dying.confirm(row)
    dying.start()
    dying.confirm(row)
    assert_bought_once(dying, carry_on(dying))
