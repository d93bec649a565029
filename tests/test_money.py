"""Money as the database holds it after the engine has run: the ledger, cash, positions and budgets agree."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from copytrading.models import CopyTrade, Follower, Leader, Signal
from copytrading.states import OPEN
from execution.models import Market, Position
from execution.ports import Resting, Unknown
from guardrails.models import Budget, GuardrailEvent
from ledger.entries import CASH, Entry, account, net
from ledger.models import CashBalance, LedgerEntry
from ledger.units import ONE, cost_up
from tests.factories import CopyTradeFactory
from tests.test_pipeline import NO_FILL, MeddlingBooks, Venue, filled, statuses, told, worlds
from tests.world import TOKEN, World, reasons

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """A maker of worlds, closed at the end."""
    with worlds() as make:
        yield make


@pytest.fixture
def world(make_world: Any) -> World:
    """Lena, her market with a deep book at 0.50, and nobody else."""
    return make_world()


def assert_books_agree(follower: Follower) -> None:
    """The cached cash and positions are what the ledger's entries add up to, and nothing is left reserved."""
    rows = LedgerEntry.objects.values_list("key", "kind", "debit_account", "credit_account", "asset", "amount_micros")
    names = ("key", "kind", "debit", "credit", "asset", "amount_micros")
    sums = net(Entry(**dict(zip(names, row, strict=True))) for row in rows)
    cash = CashBalance.objects.get(follower=follower)
    position = Position.objects.filter(follower=follower, token_id=TOKEN).first() or Position()

    def of(name: str, asset: str = CASH) -> int:
        return sums.get((account(follower.pk, name), asset), 0)

    assert (of("cash"), 0) == (cash.cash_micros, cash.reserved_micros)
    assert (of("shares", str(TOKEN)), 0) == (position.size_micros, position.reserved_micros)
    assert (of("cost"), -of("profit")) == (position.cost_micros, position.realised_micros)
    assert of("fees") == position.fees_micros
    assert cash.cash_micros >= 0 and position.size_micros >= 0


@pytest.mark.parametrize("seed", range(4))
def test_cached_cash_and_positions_follow_from_the_ledger_whatever_happened(
    seed: int, make_world: Any, settings: Any
) -> None:
    settings.PAPER_REJECT_BPS, settings.PAPER_LOST_ANSWER_BPS, settings.PAPER_LOST_REQUEST_BPS = 1_000, 1_000, 1_000
    dice, world = random.Random(seed), make_world()
    Market.objects.update(fee_rate_bps=300)
    followers = [
        world.follower("Fay"),
        world.follower("Gina", sizing="FIXED_AMOUNT", amount_micros=60 * ONE, below_minimum="RAISE"),
        world.follower(
            "Hal", sizing="RANGE", percentage_bps=3_000, floor_micros=9 * ONE, cap_micros=80 * ONE, cash=150
        ),
    ]
    world.lena_holds(dice.choice([0, 5_000]))
    for number in range(25):
        cents = dice.randrange(20, 80)
        world.set_book(f"0.{cents}", f"0.{cents}", shares=dice.choice([15, 60, 1_000]))
        side = dice.choice(["BUY", "BUY", "SELL"])
        world.copy(world.row(str(dice.randrange(1, 2_000)), f"0.{cents}", tx=number, side=side))
        world.clock.advance(dice.choice([0, 1, 300]))
        world.rescue()
    world.clock.advance(700)
    world.rescue()
    assert not CopyTrade.objects.filter(status__in=OPEN).exists()
    assert {"EXECUTED", "SKIPPED", "FAILED"} <= set(statuses(world.trades()))
    for follower in followers:
        assert_books_agree(follower)


def test_fees_are_charged_and_profit_is_what_the_sale_brought_above_its_cost(world: World) -> None:
    Market.objects.update(fee_rate_bps=500)
    fay = world.follower()
    world.lena_holds(0)
    world.copy(world.row("1000", "0.50", tx=1))
    world.set_book("0.60", "0.60")
    buy, sell = world.copy(world.row("500", "0.60", tx=2, side="SELL"))
    assert (buy.fee_micros, sell.fee_micros) == (1_250_000, 600_000)
    position = Position.objects.get(follower=fay)
    assert (position.size_micros, position.cost_micros) == (50 * ONE, 25 * ONE)
    assert (position.realised_micros, position.fees_micros) == (5 * ONE, 1_850_000)
    assert CashBalance.objects.get().cash_micros == (10_000 - 50 + 30) * ONE - 1_850_000
    assert_books_agree(fay)


@pytest.mark.parametrize(("cash", "status"), [(51, "EXECUTED"), (50, "SKIPPED")])
def test_a_buy_needs_cash_for_its_limit(world: World, cash: int, status: str) -> None:
    world.follower(cash=cash)
    (trade,) = world.copy(world.row())
    assert trade.status == status
    short = [("NOT_ENOUGH_CASH", 51 * ONE, 50 * ONE)]
    assert reasons(trade) == (short if status == "SKIPPED" else [])


def test_what_one_buy_reserved_the_next_cannot_spend(make_world: Any) -> None:
    world = make_world(venue=Venue(turns=1))
    world.follower(cash=100)
    assert statuses(world.copy(world.row(tx=1), world.row(tx=2))) == ["EXECUTED", "SKIPPED"]


def test_parts_at_different_prices_never_spend_more_than_the_amount(world: World) -> None:
    world.follower(sizing="FIXED_AMOUNT", amount_micros=20 * ONE)
    for price in ("0.60", "0.30"):
        world.set_book(price, price)
        world.copy(world.row("1000", price), walk="the stream")
    assert len(world.trades()) == 2
    assert sum(cost_up(t.fill_size_micros, t.limit_micros) for t in world.trades()) <= 20 * ONE


BUDGETS = [
    (scope, period, measure)
    for scope in ("FOLLOWER", "LEADER", "MARKET", "GLOBAL")
    for period in ("HOURLY", "DAILY")
    for measure in ("LIMIT", "COUNT")
]


def set_bound(settings: Any, scope: str, period: str, *, measure: str) -> None:
    """At most $80, or one copy."""
    if scope == "GLOBAL":
        name = "USD" if measure == "LIMIT" else "COUNT"
        setattr(settings, f"COPY_TRADING_GLOBAL_{period}_{name}", 80 if measure == "LIMIT" else 1)
        return
    model = {"FOLLOWER": Follower, "LEADER": Leader, "MARKET": Market}[scope]
    column = "micros" if measure == "LIMIT" else "count"
    model.objects.update(**{f"{period.lower()}_limit_{column}": 80 * ONE if measure == "LIMIT" else 1})


@pytest.mark.parametrize(("scope", "period", "measure"), BUDGETS)
def test_a_budget_holds_until_its_window_is_over(
    make_world: Any, settings: Any, scope: str, period: str, measure: str
) -> None:
    make_world().follower()
    set_bound(settings, scope, period, measure=measure)
    world = make_world()
    first, second = world.copy(world.row(tx=1), world.row(tx=2))
    passed = (102 * ONE, 80 * ONE) if measure == "LIMIT" else (2, 1)
    assert (first.status, second.status) == ("EXECUTED", "SKIPPED")
    assert reasons(second) == [(f"{scope}_{period}_{measure}", *passed)]
    world.clock.advance(3_600 if period == "HOURLY" else 24 * 3_600)
    assert world.copy(world.row(tx=3))[-1].status == "EXECUTED"


def test_a_sell_is_bounded_by_no_budget(world: World) -> None:
    fay = world.follower()
    world.hold(fay, 200)
    world.lena_holds(2_000)
    Follower.objects.update(daily_limit_micros=0, daily_limit_count=0)
    (trade,) = world.copy(world.row("500", side="SELL"))
    assert trade.status == "EXECUTED" and not Budget.objects.exists()


def test_a_markets_default_bound_gives_way_to_its_own(make_world: Any, settings: Any) -> None:
    settings.COPY_TRADING_MARKET_DAILY_USD = 40
    world = make_world()
    world.follower()
    Market.objects.update(daily_limit_micros=60 * ONE)
    assert told(world.copy(world.row(tx=1), world.row(tx=2))) == [[], ["MARKET_DAILY_LIMIT"]]


def test_what_a_failed_buy_gives_back_goes_to_the_hour_that_granted_it(make_world: Any) -> None:
    books = MeddlingBooks()
    world = make_world(quotes=books, venue=Venue(NO_FILL))
    world.follower()
    Leader.objects.update(hourly_limit_micros=80 * ONE)
    world.clock.advance(3_599)
    books.meddle = lambda: world.clock.advance(2)
    (trade,) = world.copy(world.row())
    assert (trade.status, told([trade])) == ("FAILED", [["NO_FILL"]])
    assert [row.spent_micros for row in Budget.objects.all()] == [0]


def test_a_later_part_counts_when_the_first_part_failed(make_world: Any) -> None:
    venue = Venue(NO_FILL)
    world = make_world(venue=venue)
    world.follower()
    Leader.objects.update(daily_limit_count=5)
    world.copy(world.row())
    venue.answer = None
    assert statuses(world.copy(world.row())) == ["FAILED", "EXECUTED"]
    assert Budget.objects.get().count == 1


def late_fill_of_a_failed_order(world: World, venue: Venue) -> CopyTrade:
    """The answer and the order are lost, it expires, and an hour later the venue shows that it was filled."""
    venue.answer = Unknown(detail="lost")
    trade = world.copy(world.row(tx=1))[-1]
    for _look in range(2):
        world.clock.advance(601)
        world.rescue()
    trade.refresh_from_db()
    assert trade.status == "FAILED"
    venue.states[trade.order_hash or ""] = filled(trade.size_micros, trade.limit_micros)
    venue.answer = None
    world.clock.advance(3_600)
    return trade


def test_a_late_fill_counts_again(make_world: Any) -> None:
    venue = Venue()
    world = make_world(venue=venue)
    world.follower()
    Leader.objects.update(daily_limit_count=5, daily_limit_micros=500 * ONE)
    late_fill_of_a_failed_order(world, venue)
    world.rescue()
    assert statuses(world.trades()) == ["EXECUTED"]
    budget = Budget.objects.get()
    assert (budget.spent_micros, budget.count) == (51 * ONE, 1)


def test_a_late_fill_of_a_sell_whose_shares_are_gone_is_an_incident_and_stops_nothing(make_world: Any) -> None:
    venue = Venue()
    world = make_world(venue=venue)
    fay = world.follower()
    world.hold(fay, 100)
    world.lena_holds(1_000)
    row = world.row
    world.row = lambda *size, **more: row("1000", side="SELL", **more)  # type: ignore[method-assign]
    late = late_fill_of_a_failed_order(world, venue)
    world.lena_holds(1_000)
    world.copy(world.row(tx=2))
    world.rescue()
    assert Position.objects.get().size_micros == 0
    assert GuardrailEvent.objects.filter(reason="LATE_FILL", trade=late).exists()


def test_an_order_that_is_matched_no_more_stops_nothing_and_is_asked_about_again(make_world: Any) -> None:
    venue = Venue(Resting(matched=True))
    world = make_world(venue=venue)
    world.follower()
    (trade,) = world.copy(world.row())
    venue.states[trade.order_hash or ""] = Resting(matched=False)
    world.clock.advance(10)
    world.rescue()
    venue.states[trade.order_hash or ""] = filled(100 * ONE, 500_000)
    world.clock.advance(10)
    world.rescue()
    assert statuses(world.trades()) == ["EXECUTED"]


def test_a_lost_race_for_the_only_follower_leaves_everything_to_the_winner(make_world: Any) -> None:
    books = MeddlingBooks()
    world = make_world(quotes=books)
    fred = world.follower()
    Leader.objects.update(daily_limit_micros=500 * ONE)
    before = list(CashBalance.objects.values())
    books.meddle = lambda: CopyTradeFactory(config=fred.configs.get(), signal=Signal.objects.get())
    world.copy(world.row())
    assert told(world.trades(fred)) == [["BELOW_MINIMUM"]]
    assert not Budget.objects.exclude(spent_micros=0).exists()
    assert list(CashBalance.objects.values()) == before
    assert Signal.objects.get().done_at
