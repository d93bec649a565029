"""Each fault of a real CLOB leaves exactly one order or none for a copy, with the right row and the right budget."""

import pytest

from copytrading.models import CopyTrade
from execution.models import VenueFill
from execution.sandbox.exchange.order_door import Mode
from ledger.units import ONE, cost_up
from tests.doors import outside_loop
from tests.execution.clob.sandbox_trader import PLENTY
from tests.operations.deals import assert_books_agree
from tests.tracking.desk import SHARES, Desk, open_desk

pytestmark = pytest.mark.django_db(transaction=False)

ORDERS = "clob-orders"
CASH = 10_000 * ONE


def check_books(desk: Desk, row: CopyTrade) -> None:
    """Row, cash, reservation, budget and the venue's own money are of one mind; nothing is half done."""
    cash, reserved, spent = desk.money()
    paid = row.fill_cost_micros + row.fee_micros
    assert (cash, reserved) == (CASH - paid, 0)
    assert spent == cost_up(row.fill_size_micros, row.limit_micros)
    # Fees of several trades are rounded one by one there, and together here.
    assert abs(PLENTY - desk.venue_cash() - paid) <= 100
    outside_loop(lambda: assert_books_agree(cash_before=0))


def fills() -> list[str]:
    return outside_loop(lambda: list(VenueFill.objects.order_by("pk").values_list("status", flat=True)))


async def test_a_copy_is_an_order_that_is_matched_confirmed_and_booked(settings: object) -> None:
    async with open_desk() as desk:
        row = await desk.copy()
        assert (row.status, row.matched_micros, desk.venue_orders()) == ("MATCHED", SHARES * ONE, 1)
        row = await desk.end()
        assert (row.status, row.fill_size_micros, row.order_hash) == (
            "EXECUTED",
            SHARES * ONE,
            desk.trader.box.exchange.orders()[0].order_hash,
        )
        check_books(desk, row)


@pytest.mark.parametrize("fault", ["accept_then_timeout", "accept_then_cut", "accept_then_500"])
async def test_an_order_whose_answer_was_lost_is_booked_once_and_sent_once(fault: str) -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:{fault}=1")
        assert (await desk.copy()).status == "UNKNOWN"
        row = await desk.end()
        assert (row.status, row.fill_size_micros) == ("EXECUTED", SHARES * ONE)
        assert (desk.venue_orders(), desk.trader.box.exchange.received[str(row.order_hash)]) == (1, 1)
        check_books(desk, row)


async def test_an_order_that_the_venue_hides_at_first_is_found_later() -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:accept_then_500=1")
        await desk.trader.box.faults.apply(f"{ORDERS}:hide=1,300ms")
        await desk.copy()
        assert (await desk.ask()).status == "UNKNOWN"
        await desk.trader.box.world.clock.sleep(0.35)
        row = await desk.end()
        assert (row.status, desk.venue_orders()) == ("EXECUTED", 1)
        check_books(desk, row)


async def test_an_order_that_an_error_swallowed_is_never_sent_again_and_gives_its_money_back() -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:error_500=1")
        assert (await desk.copy()).status == "UNKNOWN"
        row = await desk.end()
        assert (row.status, row.reasons[-1]["reason"], desk.venue_orders()) == ("FAILED", "EXPIRED", 0)
        assert desk.trader.box.exchange.received[str(row.order_hash)] == 1
        check_books(desk, row)


@pytest.mark.parametrize("fault", ["reject", "reject_quietly"])
async def test_a_rejected_order_has_failed_at_once(fault: str) -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:{fault}=1")
        row = await desk.copy()
        assert (row.status, row.reasons[-1]["reason"], desk.venue_orders()) == ("FAILED", "REJECTED", 0)
        check_books(desk, row)


@pytest.mark.parametrize("fault", ["restart_425", "too_many_429"])
async def test_what_was_provably_not_taken_is_sent_again_as_the_same_bytes(fault: str) -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:{fault}=1")
        row = await desk.copy()
        assert (row.status, desk.venue_orders()) == ("MATCHED", 1)
        assert desk.trader.box.exchange.received[str(row.order_hash)] == 2
        row = await desk.end()
        assert row.status == "EXECUTED"
        check_books(desk, row)


async def test_a_venue_that_takes_no_orders_for_long_fails_the_copy_and_takes_nothing() -> None:
    async with open_desk() as desk:
        desk.trader.box.exchange.set_mode(Mode.POST_ONLY)
        row = await desk.copy()
        assert (row.status, row.reasons[-1]["reason"], desk.venue_orders()) == ("FAILED", "VENUE_UNAVAILABLE", 0)
        check_books(desk, row)


async def test_a_doubled_order_is_one_order() -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:duplicate=1")
        assert (await desk.copy()).status in ("MATCHED", "LIVE")
        row = await desk.end()
        assert (row.status, desk.venue_orders()) == ("EXECUTED", 1)
        check_books(desk, row)


async def test_a_slow_answer_is_waited_for() -> None:
    async with open_desk(timeout_s=3) as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:slow=1,200ms")
        assert (await desk.copy()).status == "MATCHED"
        row = await desk.end()
        assert (row.status, desk.venue_orders()) == ("EXECUTED", 1)
        check_books(desk, row)


async def test_a_delayed_order_is_followed_until_it_is_matched() -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:delay=1,200ms")
        assert (await desk.copy()).status == "LIVE"
        await desk.trader.box.world.clock.sleep(0.3)
        row = await desk.end()
        assert (row.status, row.fill_size_micros, desk.venue_orders()) == ("EXECUTED", SHARES * ONE, 1)
        check_books(desk, row)


async def test_what_was_matched_in_part_is_booked_in_part() -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:partial=1")
        row = await desk.copy()
        row = await desk.end()
        assert (row.status, row.fill_size_micros < SHARES * ONE, desk.venue_orders()) == ("EXECUTED", True, 1)
        check_books(desk, row)


async def test_a_match_whose_settlement_failed_moves_no_money() -> None:
    async with open_desk() as desk:
        await desk.trader.box.faults.apply(f"{ORDERS}:match_then_fail=9")
        assert (await desk.copy()).status == "MATCHED"
        row = await desk.end()
        assert (row.status, row.reasons[-1]["reason"], set(fills())) == ("FAILED", "SETTLEMENT_FAILED", {"FAILED"})
        check_books(desk, row)


async def test_a_match_of_which_one_trade_failed_moves_the_rest() -> None:
    async with open_desk() as desk:
        desk.trader.box.exchange.makers_per_trade = 1
        await desk.trader.box.faults.apply(f"{ORDERS}:match_then_fail=1")
        offered = desk.trader.box.board.offers(desk.trader.box.markets[0].token_ids[0], "BUY")
        await desk.copy()
        row = await desk.end()
        trades = desk.trader.box.exchange.trades(str(row.order_hash))
        if len(trades) == 1:
            assert offered[0].shares_micros >= SHARES * ONE and row.status == "FAILED"
        else:
            assert row.status == "EXECUTED" and "FAILED" in fills()
        check_books(desk, row)


async def test_a_venue_that_cannot_be_asked_settles_nothing_and_everything_afterwards() -> None:
    async with open_desk() as desk:
        await desk.copy()
        await desk.trader.box.exchange.settled()
        await desk.trader.box.faults.apply("clob-account:5xx=1")
        assert (await desk.ask()).status == "MATCHED"
        row = await desk.end(tries=40)
        assert row.status == "EXECUTED"
        check_books(desk, row)


async def test_a_sale_is_booked_with_what_the_venue_paid() -> None:
    async with open_desk() as desk:
        await desk.copy()
        await desk.end()
        before = desk.venue_cash()
        await desk.copy(side="SELL")
        row = await desk.end()
        assert (row.side, row.status) == ("SELL", "EXECUTED")
        assert abs(desk.venue_cash() - before - (row.fill_cost_micros - row.fee_micros)) <= 100
        outside_loop(lambda: assert_books_agree(cash_before=0))
