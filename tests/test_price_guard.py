"""The price guard in the whole engine: slippage, depth for a whole fan-out, fees, and what the rows say of it."""

from collections.abc import Callable
from typing import Any

import pytest

from copytrading.models import CopyTrade
from copytrading.states import Status
from execution.books import Book, Level
from execution.models import Market
from guardrails.operations import set_switch
from ledger.units import ONE, Micros
from tests.world import TOKEN, World, reasons, story

pytestmark = pytest.mark.django_db


def put(world: World, *asks: tuple[int, int], version: str = "thin") -> None:
    """The book of Lena's token: (cents, shares) that are asked."""
    levels = tuple(Level(Micros(cents * 10_000), Micros(shares * ONE)) for cents, shares in asks)
    bid = (Level(Micros(490_000), Micros(10_000 * ONE)),)
    world.books.put(Book(token_id=TOKEN, bids=bid, asks=levels, version=version))


def followers(world: World, number: int, **config: Any) -> None:
    for each in range(number):
        world.follower(f"Follower {each}", sizing="SHARES", shares_micros=10 * ONE, **config)


def told(trades: list[CopyTrade]) -> list[str]:
    return [reasons(trade)[0][0] if reasons(trade) else trade.status for trade in trades]


def test_a_hundred_followers_do_not_each_believe_in_the_same_ten_shares(world: World) -> None:
    followers(world, 100)
    put(world, (50, 10), (53, 5_000))
    first, *others = world.copy(world.row())
    assert (first.status, first.fill_size_micros) == ("EXECUTED", 10 * ONE)
    assert {(each.status, *reasons(each)) for each in others} == {("SKIPPED", ("PRICE_DEVIATION", 600, 200))}


def test_what_is_left_of_a_level_is_the_next_followers(world: World) -> None:
    followers(world, 3)
    put(world, (50, 15))
    trades = world.copy(world.row())
    assert [trade.fill_size_micros // ONE for trade in trades] == [10, 5, 0]
    assert told(trades) == ["EXECUTED", "EXECUTED", "NO_LIQUIDITY"]


def test_signals_that_share_a_book_share_its_depth(world: World) -> None:
    followers(world, 1)
    put(world, (50, 15))
    world.show(world.row(tx=1), world.row(tx=2), world.row(tx=3))
    world.settle()
    assert told(world.trades()) == ["EXECUTED", "EXECUTED", "NO_LIQUIDITY"]
    put(world, (50, 15), version="changed")
    assert told(world.copy(world.row(tx=4)))[-1] == "EXECUTED"


def test_a_fan_out_of_several_batches_shares_the_depth(make_world: Callable[..., World], settings: Any) -> None:
    settings.COPY_TRADING_BATCH_COPIES = 2
    world = make_world()
    followers(world, 5)
    put(world, (50, 35))
    assert told(world.copy(world.row())) == ["EXECUTED"] * 4 + ["NO_LIQUIDITY"]


def test_a_dry_run_takes_nothing_from_the_others(world: World) -> None:
    dry = world.follower("Dry", sizing="SHARES", shares_micros=10 * ONE)
    who = {"who": "olga", "why": "test", "now": world.clock.now()}
    set_switch(kind="DRY_RUN", scope="FOLLOWER", key=str(dry.pk), on=True, **who)
    followers(world, 1)
    put(world, (50, 10))
    assert told(world.copy(world.row())) == ["DRY_RUN", "EXECUTED"]


def test_an_auto_limit_follows_the_book_and_the_row_says_what_it_saw(world: World) -> None:
    followers(world, 1, slippage="AUTO", slippage_bps_max=1_000)
    put(world, (50, 4), (51, 100))
    (trade,) = world.copy(world.row())
    assert story(trade) == ("EXECUTED", "10", "0.52")
    assert (trade.quote_source, trade.best_micros) == ("fixed", 500_000)
    assert trade.budget_micros == 10 * 520_000


def test_a_refused_price_is_kept_beside_the_refusal(world: World) -> None:
    followers(world, 1)
    put(world, (53, 100))
    (trade,) = world.copy(world.row())
    assert (trade.status, trade.quote_source, trade.best_micros) == ("SKIPPED", "fixed", 530_000)


@pytest.mark.parametrize(("asked", "status"), [(9, "SKIPPED"), (10, "EXECUTED")])
def test_a_fok_config_takes_all_or_nothing(world: World, asked: int, status: str) -> None:
    followers(world, 1, order_type="FOK")
    put(world, (50, asked))
    (trade,) = world.copy(world.row())
    assert trade.status == status
    if Status(trade.status) is Status.SKIPPED:
        assert reasons(trade) == [("NO_LIQUIDITY", 9 * ONE, 10 * ONE)]
    else:
        assert trade.order_type == "FOK"


@pytest.mark.parametrize(("bound", "expected"), [(349, "FEE_TOO_HIGH"), (350, "EXECUTED")])
def test_a_fee_above_the_followers_bound_is_not_paid(world: World, bound: int, expected: str) -> None:
    Market.objects.update(fee_rate_bps=700)
    followers(world, 1, fee_bps_max=bound)
    assert told(world.copy(world.row())) == [expected]
