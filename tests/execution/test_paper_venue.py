"""The paper venue: fills from books by order hash, once, for followers who compete, late and unreliably on demand."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.books import Book, BookShape, Level
from execution.fees import FeeTerms
from execution.orders import OrderPlan, OrderType, build_plan
from execution.ports import Fill, Filled, NotFound, Outcome, Rejected, RejectReason, Unknown, Venue
from execution.preflight import MarketTerms
from execution.quotes import AroundLeader, FixedBooks, KnownQuotes
from execution.venues.paper import PaperConfig, PaperDoors, PaperVenue
from ledger.system import SeededRandomness
from ledger.units import BPS, ONE, Micros, Side
from tests.doors import SequentialIds, VirtualClock
from tests.execution.test_orders import draft
from tests.venues import ref

SIGNATURE = bytes(65)
TOKEN = 71
PROMPT = PaperConfig(latency_ms=0, jitter_ms=0)


class Table:
    """A paper venue with everything around it; one ask of 100 at 0.51 and one bid of 100 at 0.49."""

    def __init__(self, config: PaperConfig = PROMPT, *, quotes: KnownQuotes | None = None, **terms: Any) -> None:
        self.clock = VirtualClock()
        self.ids = SequentialIds()
        self.books = FixedBooks(self.clock)
        self.terms = MarketTerms(**terms)
        self.put(bids=[(490_000, 100 * ONE)], asks=[(510_000, 100 * ONE)])
        doors = PaperDoors(
            quotes=quotes or self.books,
            terms_of=lambda _token: self.terms,
            clock=self.clock,
            randomness=SeededRandomness(7),
        )
        self.venue = PaperVenue("paper", doors, config=config)

    def put(
        self, *, asks: Sequence[tuple[int, int]] = (), bids: Sequence[tuple[int, int]] = (), version: str = "1"
    ) -> None:
        self.books.put(Book(token_id=TOKEN, bids=_levels(bids), asks=_levels(asks), version=version))

    def plan(self, size: int = 50, **changes: Any) -> OrderPlan:
        usual = {"token_id": TOKEN, "limit_micros": Micros(510_000), "salt": self.ids.salt()}
        return build_plan(draft(size_micros=Micros(size * ONE), **(usual | changes)))

    async def submit(self, plan: OrderPlan) -> Outcome:
        return await self.venue.submit(plan, SIGNATURE)


def _levels(pairs: Sequence[tuple[int, int]]) -> tuple[Level, ...]:
    return tuple(Level(Micros(price), Micros(size)) for price, size in pairs)


def filled(size: int, price: int, cost: int, fee: int = 0) -> Filled:
    return Filled(
        fill=Fill(
            size_micros=Micros(size), price_micros=Micros(price), cost_micros=Micros(cost), fee_micros=Micros(fee)
        )
    )


def reason_of(outcome: object) -> RejectReason | None:
    return outcome.reason if isinstance(outcome, Rejected) else None


def size_of(outcome: object) -> int:
    return outcome.fill.size_micros if isinstance(outcome, Filled) else 0


async def test_a_buy_within_the_book_is_filled_whole() -> None:
    table = Table()
    venue: Venue = table.venue

    outcome = await venue.submit(table.plan(50), SIGNATURE)

    assert outcome == filled(50 * ONE, 510_000, 25_500_000)


async def test_a_sell_meets_the_bids() -> None:
    table = Table()

    outcome = await table.submit(table.plan(50, side=Side.SELL, limit_micros=Micros(490_000)))

    assert outcome == filled(50 * ONE, 490_000, 24_500_000)


async def test_a_fill_over_two_levels_has_their_average_price_and_the_fee_on_it() -> None:
    table = Table(fee=FeeTerms(rate_bps=500))
    table.put(asks=[(500_000, 50 * ONE), (510_000, 100 * ONE)])

    outcome = await table.submit(table.plan(100))

    # 100 * 0.05 * 0.505 * 0.495 = 1.249875
    assert outcome == filled(100 * ONE, 505_000, 50_500_000, 1_249_870)


async def test_more_than_the_book_offers_is_filled_in_part() -> None:  # example 23
    table = Table()
    table.put(asks=[(510_000, 60 * ONE), (520_000, 100 * ONE)])

    assert await table.submit(table.plan(100)) == filled(60 * ONE, 510_000, 30_600_000)


async def test_fill_or_kill_is_never_filled_in_part() -> None:
    table = Table()

    assert reason_of(await table.submit(table.plan(101, order_type=OrderType.FOK))) is RejectReason.NO_FILL
    assert size_of(await table.submit(table.plan(100, order_type=OrderType.FOK))) == 100 * ONE


async def test_followers_compete_for_the_same_liquidity_until_the_book_changes() -> None:
    table = Table()

    first = [size_of(await table.submit(table.plan(60))) // ONE for _follower in range(3)]
    table.put(asks=[(510_000, 100 * ONE)], version="2")
    then = size_of(await table.submit(table.plan(60))) // ONE

    assert first == [60, 40, 0]
    assert then == 60


async def test_buys_do_not_use_up_what_sells_meet() -> None:
    table = Table()
    await table.submit(table.plan(100))

    outcome = await table.submit(table.plan(100, side=Side.SELL, limit_micros=Micros(490_000)))

    assert size_of(outcome) == 100 * ONE


REFUSALS: list[tuple[dict[str, Any], dict[str, Any], RejectReason, str]] = [
    ({}, {"closed": True}, RejectReason.MARKET_CLOSED, "takes no orders"),
    ({}, {"accepting_orders": False}, RejectReason.MARKET_CLOSED, "takes no orders"),
    ({}, {"tick_micros": Micros(100_000)}, RejectReason.OFF_TICK, "0.51 is not on tick 0.1"),
    ({"limit_micros": Micros(995_000), "tick_micros": Micros(5_000)}, {}, RejectReason.OFF_TICK, "outside"),
    ({"size": 4}, {}, RejectReason.BELOW_MINIMUM, "value 4, limit 5"),
    ({"size": 9, "limit_micros": Micros(110_000)}, {}, RejectReason.BELOW_MINIMUM, "value 9, limit 9.1"),
    ({"limit_micros": Micros(500_000)}, {}, RejectReason.NO_FILL, "No orders found to match"),
    ({"token_id": 72}, {}, RejectReason.NO_FILL, "no book"),
    ({"order_type": OrderType.GTC}, {}, RejectReason.REJECTED, "Nothing rests"),
]


@pytest.mark.parametrize(("changes", "terms", "reason", "detail"), REFUSALS)
async def test_what_the_venue_refuses(
    changes: dict[str, Any], terms: dict[str, Any], reason: RejectReason, detail: str
) -> None:
    table = Table(**terms)

    outcome = await table.submit(table.plan(**changes))

    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason
    assert detail in outcome.detail


async def test_a_refused_order_takes_no_liquidity() -> None:
    table = Table()
    await table.submit(table.plan(500, order_type=OrderType.FOK))

    assert size_of(await table.submit(table.plan(100))) == 100 * ONE


async def test_a_plan_whose_hash_is_not_its_own_and_one_without_signature_are_refused() -> None:
    table = Table()
    plan = table.plan()
    rebuilt_wrongly = dataclasses.replace(plan, salt=plan.salt + 1)

    assert reason_of(await table.submit(rebuilt_wrongly)) is RejectReason.REJECTED
    assert reason_of(await table.venue.submit(table.plan(), b"")) is RejectReason.REJECTED


async def test_the_same_hash_is_executed_once_and_gets_the_same_answer() -> None:
    table = Table()
    plan = table.plan(60)

    first, again = await asyncio.gather(table.submit(plan), table.submit(plan))

    assert first == again == filled(60 * ONE, 510_000, 30_600_000)
    assert size_of(await table.submit(table.plan(60))) == 40 * ONE


async def test_a_rejected_order_stays_rejected_when_the_market_comes_back() -> None:
    table = Table()
    plan = table.plan()
    table.put()
    before = await table.submit(plan)

    table.put(asks=[(510_000, 100 * ONE)], version="2")

    assert await table.submit(plan) == before
    assert await table.venue.look_up(ref(plan)) == before


async def test_look_up_answers_by_hash() -> None:
    table = Table()
    plan = table.plan()
    assert await table.venue.look_up(ref(plan)) == NotFound()

    outcome = await table.submit(plan)

    assert await table.venue.look_up(ref(plan)) == outcome


async def test_an_order_whose_answer_was_lost_stands() -> None:
    table = Table(dataclasses.replace(PROMPT, lost_answer_bps=BPS))
    plan = table.plan()

    assert isinstance(await table.submit(plan), Unknown)
    assert size_of(await table.venue.look_up(ref(plan))) == 50 * ONE


async def test_an_order_whose_request_was_lost_never_appears() -> None:
    table = Table(dataclasses.replace(PROMPT, lost_request_bps=BPS))
    plan = table.plan()

    assert isinstance(await table.submit(plan), Unknown)
    assert await table.venue.look_up(ref(plan)) == NotFound()


async def test_a_submission_that_is_cancelled_while_it_waits_for_the_answer_stands() -> None:
    table = Table(PaperConfig(latency_ms=100, jitter_ms=0))
    plan = table.plan()
    sending = asyncio.create_task(table.submit(plan))
    for _turn in range(2):
        await asyncio.sleep(0)
    assert table.clock.monotonic_ms() == 50

    sending.cancel()

    await asyncio.gather(sending, return_exceptions=True)
    assert size_of(await table.venue.look_up(ref(plan))) == 50 * ONE


async def test_failures_come_in_the_stated_mix() -> None:
    mix = dataclasses.replace(PROMPT, reject_bps=1_000, lost_answer_bps=2_000, lost_request_bps=3_000)
    table = Table(mix)
    table.put(asks=[(510_000, 10**12)])
    plans = [table.plan(5) for _ in range(2_000)]

    outcomes = [await table.submit(plan) for plan in plans]
    states = [await table.venue.look_up(ref(plan)) for plan in plans]

    unknown = sum(isinstance(outcome, Unknown) for outcome in outcomes)
    lost = sum(isinstance(state, NotFound) for state in states)
    rejected = sum(reason_of(state) is RejectReason.REJECTED for state in states)
    assert abs(rejected - 200) < 60
    assert abs(lost - 600) < 80
    assert abs(unknown - lost - 400) < 70


async def test_latency_and_jitter_pass_on_the_clock_half_each_way() -> None:
    table = Table(PaperConfig(latency_ms=100, jitter_ms=40))
    began = table.clock.monotonic_ms()

    await table.submit(table.plan())

    assert 100 <= table.clock.monotonic_ms() - began <= 140


async def test_the_oldest_books_are_forgotten_beyond_the_bound() -> None:
    table = Table(dataclasses.replace(PROMPT, books_max=2))

    fills = []
    for version in "ababcab":
        table.put(asks=[(510_000, 100 * ONE)], version=version)
        fills.append(size_of(await table.submit(table.plan(60))) // ONE)

    # `c` drives out `a`, the one not traded for longest; its depth comes back and drives out `b`.
    assert fills == [60, 60, 40, 40, 60, 60, 60]


async def test_what_is_left_of_a_book_is_forgotten_a_while_after_its_last_order() -> None:
    table = Table(PROMPT)

    fills = []
    for version, later_s in (("a", 0), ("b", 60), ("a", 0), ("b", 60), ("c", 1), ("a", 0)):
        table.clock.advance(later_s)
        table.put(asks=[(510_000, 100 * ONE)], version=version)
        fills.append(size_of(await table.submit(table.plan(60))) // ONE)

    # When `c` is traded, nobody has traded `a` for 61 seconds.
    assert fills == [60, 60, 40, 40, 60, 60]


async def test_the_oldest_orders_are_forgotten_beyond_the_bound() -> None:
    table = Table(dataclasses.replace(PROMPT, orders_max=2))
    plans = [table.plan(5) for _ in range(3)]

    for plan in plans:
        await table.submit(plan)

    states = [await table.venue.look_up(ref(plan)) for plan in plans]
    assert [isinstance(state, Filled) for state in states] == [False, True, True]


async def test_a_book_around_the_leader_is_the_one_the_pipeline_quoted() -> None:
    shape = BookShape(spread_bps=100, depth_micros=Micros(1_000 * ONE), levels=3)
    quotes = AroundLeader(VirtualClock(), lambda _token: Micros(10_000), shape=shape)
    table = Table(quotes=quotes)
    await quotes.quote(TOKEN, around_micros=Micros(500_000))

    outcome = await table.submit(table.plan(limit_micros=Micros(530_000)))

    assert outcome == filled(50 * ONE, 510_000, 25_500_000)


async def test_a_book_around_the_limit_serves_when_nobody_has_quoted_the_token() -> None:
    shape = BookShape(spread_bps=0, depth_micros=Micros(1_000 * ONE), levels=1)
    table = Table(quotes=AroundLeader(VirtualClock(), lambda _token: Micros(10_000), shape=shape))

    assert await table.submit(table.plan()) == filled(50 * ONE, 510_000, 25_500_000)


@pytest.mark.parametrize(
    "bad", [{"latency_ms": -1}, {"reject_bps": -1}, {"lost_answer_bps": 10_001}, {"orders_max": 0}, {"books_max": 0}]
)
def test_an_impossible_configuration_is_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        PaperConfig(**bad)


@given(
    asks=st.lists(st.tuples(st.integers(1, 99), st.integers(1, 300 * ONE)), max_size=6, unique_by=lambda ask: ask[0]),
    sizes=st.lists(st.integers(5, 200), min_size=1, max_size=6),
    limit=st.integers(1, 99),
    rate_bps=st.integers(0, 1_000),
)
def test_fills_never_pass_limit_size_money_or_depth(
    asks: list[tuple[int, int]], sizes: list[int], limit: int, rate_bps: int
) -> None:
    async def submit_all() -> list[tuple[OrderPlan, Outcome]]:
        table = Table(fee=FeeTerms(rate_bps=rate_bps))
        table.put(asks=sorted((price * 10_000, size) for price, size in asks))
        plans = [table.plan(size, limit_micros=Micros(limit * 10_000)) for size in sizes]
        return [(plan, await table.submit(plan)) for plan in plans]

    fills = [(plan, outcome.fill) for plan, outcome in asyncio.run(submit_all()) if isinstance(outcome, Filled)]

    for plan, fill in fills:
        assert 0 < fill.size_micros <= plan.size_micros
        assert fill.price_micros <= plan.limit_micros
        assert fill.cost_micros <= plan.maker_amount
    offered = sum(size for price, size in asks if price <= limit)
    assert sum(fill.size_micros for _plan, fill in fills) <= offered
