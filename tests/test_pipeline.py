"""The engine as a whole: what the database holds after signals, refusals, races, restarts and bad luck."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from copytrading.models import CopyConfig, CopyTrade, Follower, Leader, LeaderPosition, Signal
from copytrading.operations.cast import seed_leaders
from copytrading.operations.outcomes import Move, record_outcomes
from copytrading.operations.prewrite import Reserved
from copytrading.signals import parse_row
from copytrading.states import Actor, Status
from execution.models import Market, Position
from execution.orders import OrderPlan
from execution.ports import Fill, Filled, NotFound, OrderRef, OrderState, Outcome, Quote, Rejected, RejectReason
from execution.quotes import FixedBooks
from guardrails.models import Budget, GuardrailEvent
from guardrails.operations import set_switch
from ledger.units import ONE, Micros
from tests.doors import VirtualClock, outside_loop
from tests.factories import CopyTradeFactory
from tests.world import CONDITION, OTHER_TOKEN, TOKEN, World, minutes, reasons

pytestmark = pytest.mark.django_db

LUCA = "0x" + "1c" * 20


@contextmanager
def worlds() -> Iterator[Callable[..., World]]:
    """A maker of worlds; they are closed at the end."""
    made: list[World] = []

    def make(**choices: Any) -> World:
        made.append(World(**choices))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """A maker of worlds, closed at the end."""
    with worlds() as make:
        yield make


@pytest.fixture
def world(make_world: Any) -> World:
    """Lena, her market with a deep book at 0.50, and nobody else."""
    return make_world()


class MeddlingBooks(FixedBooks):
    """Books whose next question is the moment for something else to happen."""

    def __init__(self) -> None:
        super().__init__(VirtualClock())
        self.meddle: Callable[[], object] | None = None

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            outside_loop(meddle)
        return await super().quote(token_id, around_micros=around_micros)


class Venue:
    """Answers as it was told, and remembers how many orders of one account were under way at once."""

    name = "scripted"

    def __init__(self, answer: Outcome | None = None, *, turns: int = 0) -> None:
        self.answer, self.turns, self.done = answer, turns, 0
        self.states: dict[str, OrderState] = {}
        self.first_is_done = asyncio.Event()
        self.under_way: Counter[str] = Counter()
        self.most_at_once = 0

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
        self.under_way[plan.maker] += 1
        self.most_at_once = max(self.most_at_once, self.under_way[plan.maker])
        for _turn in range(self.turns):
            await asyncio.sleep(0)
        self.under_way[plan.maker] -= 1
        self.done += 1
        self.first_is_done.set()
        return self.answer or filled(plan.size_micros, plan.limit_micros)

    async def look_up(self, order: OrderRef) -> OrderState:
        return self.states.get(order.order_hash, NotFound())

    async def cancel(self, order: OrderRef) -> bool:
        return True


def filled(size: int, price: int) -> Filled:
    cost = Micros(size * price // ONE)
    return Filled(
        fill=Fill(size_micros=Micros(size), price_micros=Micros(price), cost_micros=cost, fee_micros=Micros(0))
    )


NO_FILL = Rejected(reason=RejectReason.NO_FILL)


def statuses(trades: list[CopyTrade]) -> list[str]:
    return [trade.status for trade in trades]


def told(trades: list[CopyTrade]) -> list[list[str]]:
    return [[reason for reason, _value, _limit in reasons(trade)] for trade in trades]


# --- Pauses and filters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ("FOLLOWER", "FOLLOWER_PAUSED"),
        ("LEADER", "LEADER_PAUSED"),
        ("MARKET", "MARKET_PAUSED"),
        ("GLOBAL", "GLOBAL_PAUSE"),
    ],
)
def test_a_pause_stops_whom_it_names_at_once_and_can_be_lifted(world: World, scope: str, reason: str) -> None:
    fay, fred = world.follower("Fay"), world.follower("Fred")
    key = {"FOLLOWER": str(fay.pk), "LEADER": str(world.lena.pk), "MARKET": CONDITION, "GLOBAL": ""}[scope]
    for on in (True, False):
        set_switch(kind="PAUSE", scope=scope, key=key, on=on, who="olga", why="", now=world.clock.now())
        world.copy(world.row(tx=1 + on))
    assert told(world.trades(fay)) == [[reason], []]
    assert told(world.trades(fred)) == [[] if scope == "FOLLOWER" else [reason], []]


def test_a_follower_outside_the_allowlist_is_skipped(make_world: Any, settings: Any) -> None:
    fay = make_world().follower("Fay")
    settings.COPY_TRADING_FOLLOWER_ALLOWLIST = [fay.wallet.upper().replace("0X", "0x")]
    world = make_world()
    fred = world.follower("Fred")
    world.copy(world.row())
    assert (told(world.trades(fay)), told(world.trades(fred))) == ([[]], [["NOT_ALLOWED"]])


@pytest.mark.parametrize("mode", ["EXCHANGE", "PROXY"])
def test_a_follower_in_a_mode_of_later_versions_is_skipped(world: World, mode: str) -> None:
    world.follower("Fay")
    fred = world.follower("Fred")
    Follower.objects.filter(pk=fred.pk).update(mode=mode)
    assert told(world.copy(world.row())) == [[], ["MODE_UNAVAILABLE"]]


@pytest.mark.parametrize(
    ("live", "age", "expected"), [(True, 61, ["STALE_SIGNAL"]), (True, 60, []), (False, 9_999, [])]
)
def test_a_signal_is_stale_after_a_minute_live_and_never_in_a_replay(
    make_world: Any, live: bool, age: int, expected: list[str]
) -> None:
    world = make_world(live=live)
    world.follower()
    long_ago = int((world.clock.now() - timedelta(seconds=age)).timestamp())
    assert told(world.copy(world.row(timestamp=long_ago))) == [expected]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"version": "v9"}, "UNKNOWN_MARKET_VERSION"),
        ({"closed": True}, "MARKET_CLOSED"),
        ({"accepting_orders": False}, "MARKET_CLOSED"),
    ],
)
def test_a_market_that_cannot_be_traded_is_refused(world: World, columns: dict[str, Any], reason: str) -> None:
    world.follower()
    Market.objects.update(**columns)
    (trade,) = world.copy(world.row())
    assert told([trade]) == [[reason]]
    assert GuardrailEvent.objects.get(trade=trade).reason == reason


def test_a_changed_config_holds_for_the_next_signal_and_copies_name_their_version(world: World) -> None:
    world.follower()
    world.copy(world.row(tx=1))
    CopyConfig.objects.update(percentage_bps=500, version=2)
    world.clock.advance(1.1)
    first, second = world.copy(world.row(tx=2))
    assert [(t.config_version, t.size_micros // ONE) for t in (first, second)] == [(1, 100), (2, 50)]


# --- Ends of signals ----------------------------------------------------------------------------------


def test_a_signal_without_subscribers_ends_as_dropped(world: World) -> None:
    world.follower()
    CopyConfig.objects.update(active=False)
    assert world.copy(world.row()) == []
    (signal,) = world.signals()
    assert (signal.dropped_reason, signal.done_at is not None) == ("NO_SUBSCRIBERS", True)


def test_a_poisoned_signal_is_put_aside_after_three_tries(make_world: Any) -> None:
    books = MeddlingBooks()
    world = make_world(quotes=books)
    world.follower()
    world.show(world.row())
    (signal,) = world.signals()
    world.clock.advance(6)
    for _try in range(3):
        books.meddle = lambda: 1 / 0
        with pytest.raises(ZeroDivisionError):
            world.run(lambda: world.engine.pipeline.process([signal.pk]))
    world.run(lambda: world.engine.pipeline.process([signal.pk]))
    signal.refresh_from_db()
    assert (signal.dropped_reason, signal.done_at) == ("DEAD_LETTER", world.clock.now())
    assert GuardrailEvent.objects.get(reason="DEAD_LETTER").subject == f"signal {signal.pk}"
    assert not world.trades()


class PoisonedBooks(MeddlingBooks):
    """Books of which one can never be asked for."""

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:
        if token_id == OTHER_TOKEN:
            raise ZeroDivisionError
        return await super().quote(token_id, around_micros=around_micros)


def test_a_poisoned_signal_takes_none_of_its_batch_with_it(make_world: Any) -> None:
    world = make_world(quotes=PoisonedBooks())
    world.follower()
    world.show(world.row(tx=1), world.row(tx=2, asset=str(OTHER_TOKEN), outcomeIndex=1), world.row(tx=3))
    for _process in range(8):  # each meets the poison, dies, and is started again
        world.start()
        world.clock.advance(6)
        world.run(world.engine.sweeper.run_once)
        with suppress(ZeroDivisionError):
            world.settle()
    assert [signal.dropped_reason for signal in world.signals()] == ["", "DEAD_LETTER", ""]
    assert statuses(world.trades()) == ["EXECUTED", "EXECUTED"]


def test_a_fresh_signal_is_never_poison_however_often_it_is_offered(make_world: Any) -> None:
    books = MeddlingBooks()
    world = make_world(quotes=books)
    world.follower()
    world.show(world.row())
    (signal,) = world.signals()
    for _try in range(5):
        books.meddle = lambda: 1 / 0
        with pytest.raises(ZeroDivisionError):
            world.run(lambda: world.engine.pipeline.process([signal.pk]))
    world.settle()
    assert (statuses(world.trades()), world.signals()[0].attempts) == (["EXECUTED"], 0)


def test_a_lost_race_for_one_follower_still_writes_the_others(make_world: Any) -> None:
    books = MeddlingBooks()
    world = make_world(quotes=books)
    fay, fred, gina = (world.follower(name) for name in ("Fay", "Fred", "Gina"))
    Leader.objects.update(daily_limit_micros=500 * ONE)
    books.meddle = lambda: CopyTradeFactory(config=fred.configs.get(), signal=Signal.objects.get())
    world.copy(world.row())
    assert told(world.trades(fred)) == [["BELOW_MINIMUM"]]
    assert statuses(world.trades(fay) + world.trades(gina)) == ["EXECUTED", "EXECUTED"]
    assert Budget.objects.get().spent_micros == 102 * ONE
    assert Signal.objects.get().done_at


def test_nobody_is_left_out_when_configs_change_between_two_batches_of_a_signal(make_world: Any, settings: Any) -> None:
    settings.COPY_TRADING_BATCH_COPIES = 2
    books = MeddlingBooks()
    world = make_world(quotes=books)
    ann, *others = (world.follower(name) for name in ("Ann", "Bob", "Cleo", "Dan"))

    def ann_leaves() -> None:
        CopyConfig.objects.filter(follower=ann).update(active=False)
        world.clock.advance(2)

    books.meddle = ann_leaves
    world.copy(world.row())
    assert [statuses(world.trades(each)) for each in others] == [["EXECUTED"]] * 3


def test_a_crash_between_two_batches_leaves_the_rest_to_the_next_engine(make_world: Any, settings: Any) -> None:
    settings.COPY_TRADING_BATCH_COPIES = 2
    books = MeddlingBooks()
    world = make_world(quotes=books)
    for name in ("Ann", "Bob", "Cleo"):
        world.follower(name)
    world.show(world.row())
    (signal,) = world.signals()
    books.meddle = lambda: setattr(books, "meddle", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.run(lambda: world.engine.pipeline.process([signal.pk]))
    assert len(world.trades()) == 2 and Signal.objects.get().done_at is None
    world.start()
    world.run(lambda: world.engine.sweeper.run_once(older_than=minutes(-1)))
    world.settle()
    assert len(world.trades()) == 3 and Signal.objects.get().done_at


# --- Order and load -----------------------------------------------------------------------------------


def test_two_buys_and_the_sell_after_them_are_copied_in_order(world: World) -> None:
    fay = world.follower()
    world.lena_holds(0)
    rows = [("1000", "BUY"), ("500", "BUY"), ("750", "SELL")]
    trades = world.copy(*(world.row(size, "0.50", tx=tx, side=side) for tx, (size, side) in enumerate(rows, start=1)))
    assert [(t.side, t.size_micros // ONE, t.status) for t in trades] == [
        ("BUY", 100, "EXECUTED"),
        ("BUY", 50, "EXECUTED"),
        ("SELL", 75, "EXECUTED"),
    ]
    assert Position.objects.get(follower=fay).size_micros == 75 * ONE


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one after the other"])
def test_two_leaders_who_leave_a_token_sell_each_their_part_of_what_is_left(world: World, together: bool) -> None:
    fay = world.follower()
    (luca,) = seed_leaders({LUCA: "Luca"}, holdings_complete=True)
    CopyConfig.objects.create(follower=fay, leader=luca)
    world.hold(fay, 200)
    for leader in (world.lena, luca):
        LeaderPosition.objects.create(
            leader=leader, token_id=TOKEN, condition_id=CONDITION, size_micros=1_000 * ONE, known=True
        )
    first, second = world.row("600", tx=1, side="SELL"), world.row("600", tx=2, side="SELL", proxyWallet=LUCA)
    world.show(*([first, second] if together else [first]))
    world.settle()
    world.copy(*([] if together else [second]))
    assert [(t.status, t.size_micros // ONE) for t in world.trades()] == [("EXECUTED", 120), ("EXECUTED", 48)]


def test_an_account_sends_one_order_at_a_time(make_world: Any) -> None:
    venue = Venue(turns=300)
    world = make_world(venue=venue)
    world.follower()
    world.show(world.row(tx=1), world.row(tx=2))
    late = parse_row(world.row(tx=3), source="data-api", place="late")

    async def third_comes_while_the_second_is_under_way() -> None:
        await world.engine.pipeline.run_once()
        await venue.first_is_done.wait()
        await world.engine.intake.offer("later", [late], complete=True)
        await world.engine.pipeline.run_once()

    world.run(third_comes_while_the_second_is_under_way)
    world.settle()
    assert (venue.done, venue.most_at_once) == (3, 1)


def queries_of_one_signal(world: World, *, tx: int) -> tuple[int, int]:
    """How often the database is asked to decide and write all copies, and to record what became of them."""
    reserved: list[Reserved] = []
    world.engine.sender.start = lambda rows, **_moment: reserved.extend(rows)  # type: ignore[method-assign]
    world.show(world.row(tx=tx))
    with CaptureQueriesContext(connection) as deciding:
        world.run(world.engine.pipeline.run_once)
    fill = filled(5 * ONE, 500_000).fill
    moves = [Move(row=each.row, to=Status.EXECUTED, actor=Actor.PIPELINE, fill=fill) for each in reserved]
    with CaptureQueriesContext(connection) as recording:
        assert len(record_outcomes(moves, now=world.clock.now())) == len(reserved)
    return len(deciding), len(recording)


@pytest.mark.postgres  # SQLite takes so few parameters that Django cuts a large insert in pieces
def test_the_number_of_queries_does_not_grow_with_the_followers(world: World) -> None:
    Leader.objects.update(daily_limit_micros=10**15)
    for number in range(5):
        world.follower(f"early {number}")
    _first, few = (queries_of_one_signal(world, tx=tx) for tx in (1, 2))
    for number in range(45):
        world.follower(f"late {number}")
    world.clock.advance(2)
    _first, many = (queries_of_one_signal(world, tx=tx) for tx in (3, 4))
    assert len(world.trades()) == 2 * 5 + 2 * 50
    assert many == few
    assert sum(few) < 50


def test_orders_that_leave_together_ask_for_pauses_once(world: World) -> None:
    for number in range(20):
        world.follower(f"follower {number}")
    with CaptureQueriesContext(connection) as asked:
        world.copy(world.row())
    questions = [query["sql"] for query in asked if 'FROM "guardrails_switch"' in query["sql"]]
    assert len(questions) == 2  # once to decide, once at the gate
