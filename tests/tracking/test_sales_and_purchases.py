"""Which purchases a sale waits for, and whose shares it sells then."""

import pytest

from copytrading.models import CopyConfig
from copytrading.operations.cast import seed_leaders
from execution.models import Position
from ledger.units import ONE
from tests.tracking.exchange import ExchangeWorld
from tests.tracking.test_held_lanes import OTTO
from tests.tracking.test_waiting import sale
from tests.world import notes

pytestmark = pytest.mark.django_db


def test_a_sale_does_not_wait_for_what_was_bought_after_it(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (first,) = exchange.copy(exchange.row(tx=1))
    row = sale(exchange)
    exchange.clock.advance(1)
    exchange.copy(exchange.row(tx=3))
    exchange.confirm(first)
    exchange.look()
    row.refresh_from_db()
    assert (row.status, row.size_micros, notes(row)) == ("MATCHED", 50 * ONE, ["WAITED_FOR_BUY"])


def test_a_sale_and_a_later_purchase_do_not_wait_for_each_other(exchange: ExchangeWorld) -> None:
    exchange.hold(exchange.follower(), 100)
    exchange.rates.wait_ms = 500
    row = sale(exchange)
    exchange.clock.advance(0.1)
    exchange.copy(exchange.row(tx=3))
    exchange.rates.wait_ms = 0
    for _look in range(5):
        exchange.look(after=0.5)
    assert [each.side for each in exchange.exchange.submitted] == ["SELL", "BUY"]
    row.refresh_from_db()
    assert (row.status, notes(row)) == ("MATCHED", ["RATE_LIMITED"])


def test_a_sale_that_waited_does_not_sell_what_was_bought_after_it(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (first,) = exchange.copy(exchange.row(tx=1))
    exchange.lena_holds(1_000)
    exchange.clock.advance(1)
    row = exchange.copy(exchange.row("1000", tx=2, side="SELL"))[-1]
    exchange.clock.advance(1)
    again = exchange.copy(exchange.row("1000", tx=3))[-1]
    exchange.confirm(again)
    exchange.confirm(first)
    exchange.look()
    row.refresh_from_db()
    assert (row.status, row.size_micros) == ("MATCHED", 100 * ONE)
    exchange.confirm(row)
    # Lena bought again, and her follower has it too.
    assert Position.objects.get().size_micros == 100 * ONE


def test_nor_what_is_booked_of_a_later_purchase_that_goes_on(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (first,) = exchange.copy(exchange.row(tx=1))
    exchange.lena_holds(1_000)
    exchange.clock.advance(1)
    row = exchange.copy(exchange.row("1000", tx=2, side="SELL"))[-1]
    exchange.clock.advance(1)
    again = exchange.copy(exchange.row("1000", tx=3))[-1]
    exchange.confirm(again, 60)
    exchange.confirm(first)
    exchange.look()
    row.refresh_from_db()
    again.refresh_from_db()
    assert (again.status, row.status, row.size_micros) == ("MATCHED", "MATCHED", 100 * ONE)


def test_an_exit_does_not_wait_for_what_is_bought_of_the_same_after_another_leader(exchange: ExchangeWorld) -> None:
    fay = exchange.follower(stop_loss_micros=10 * ONE, on_stop="EXIT")
    (otto,) = seed_leaders({OTTO: "Otto"}, holdings_complete=False)
    config = {"percentage_bps": 1_000, "created_at": CopyConfig.objects.get().created_at}
    CopyConfig.objects.create(follower=fay, leader=otto, **config)
    (buy,) = exchange.copy(exchange.row())
    exchange.confirm(buy)
    exchange.run(exchange.engine.stopper.run_once)
    exchange.copy(exchange.row(tx=2, proxyWallet=OTTO))
    exchange.set_book("0.30", "0.30")
    exchange.clock.advance(2)
    exchange.run(exchange.engine.stopper.run_once)
    exchange.settle()
    row = exchange.trades()[-1]
    assert (row.side, row.status, row.size_micros, notes(row)) == ("SELL", "MATCHED", 100 * ONE, [])
