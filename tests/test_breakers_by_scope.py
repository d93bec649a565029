"""Breakers of everybody, of a venue and of an account in the running engine: each holds back its own orders only."""

import asyncio
from collections import deque
from typing import Any

import pytest
from prometheus_client import REGISTRY

from copytrading.models import CopyTrade, Follower
from execution.orders import OrderPlan
from execution.ports import HoldUp, NotTaken, Outcome, Rejected, RejectReason, Unknown
from guardrails.circuits import BreakerScope, Kind, State
from guardrails.models import Breaker, GuardrailEvent
from guardrails.operations import override_breaker
from ledger.units import ONE
from tests.venues import ScriptedVenue, filled
from tests.world import World, reasons

pytestmark = pytest.mark.django_db

NO = Rejected(reason=RejectReason.REJECTED, detail="no")
POOR = Rejected(reason=RejectReason.NOT_ENOUGH_BALANCE, detail="not enough balance / allowance")
BUSY = NotTaken(why=HoldUp.RATE_LIMITED, wait_s=1.0)
BUSY_TOO_LONG = NotTaken(why=HoldUp.RATE_LIMITED, wait_s=100.0)
HELD = [("BREAKER_OPEN", None, None)]


class VenueByFollower(ScriptedVenue):
    """Answers each follower's orders with what waits for it, one after the other, and then as it always does."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, deque[Outcome]] = {}
        self.thinks = 0

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
        usual = await super().submit(plan, signature, follower_id=follower_id)
        for _ in range(self.thinks):
            await asyncio.sleep(0)
        waiting = self.waiting.get(follower_id)
        return waiting.popleft() if waiting else usual

    def will_say(self, follower: Follower, *answers: Outcome) -> None:
        self.waiting[follower.pk] = deque(answers)


@pytest.fixture
def venue() -> VenueByFollower:
    return VenueByFollower()


@pytest.fixture
def world(make_world: Any, venue: VenueByFollower) -> World:
    return make_world(venue=venue)


def copy(world: World, *, tx: int, **how: Any) -> list[CopyTrade]:
    """The copies of one more trade of Lena's, by follower."""
    world.copy(world.row(tx=tx, **how))
    signal = world.signals()[-1]
    return list(CopyTrade.objects.filter(signal=signal).order_by("follower_id"))


def opened() -> list[tuple[str, str, str]]:
    rows = Breaker.objects.exclude(state="CLOSED").order_by("kind", "scope", "key")
    return list(rows.values_list("kind", "scope", "key"))


def test_the_very_next_order_of_the_same_signal_is_held_back(
    world: World, venue: VenueByFollower, settings: Any
) -> None:
    settings.BREAKER_VENUE_LEAST_COUNT = 3
    world.start()
    for number in range(8):
        world.follower(f"F{number}")
    venue.answer = NO
    trades = copy(world, tx=1)

    assert len(venue.submitted) == 3
    assert [reasons(trade)[0][0] for trade in trades].count("BREAKER_OPEN") == 5
    assert opened() == [("FAILURE_RATE", "VENUE", "scripted")]
    assert [each.subject for each in GuardrailEvent.objects.filter(reason="BREAKER_OPENED")] == [
        "Failure rate breaker for venue scripted"
    ]


def test_the_next_order_of_one_accounts_lane_is_held_back_before_anything_is_written(
    world: World, venue: VenueByFollower, settings: Any
) -> None:
    settings.BREAKER_ACCOUNT_LEAST_COUNT = 2
    world.start()
    world.follower()
    venue.answer = NO
    rows = [world.row(tx=number) for number in range(1, 6)]
    world.copy(*rows)

    assert len(venue.submitted) == 2
    assert [reasons(trade) for trade in world.trades()[2:]] == [HELD] * 3


def test_an_account_whose_orders_fail_stops_alone(world: World, venue: VenueByFollower) -> None:
    fay, gina = world.follower("Fay"), world.follower("Gina")
    venue.will_say(fay, *[POOR] * 5)
    for number in range(1, 6):
        copy(world, tx=number)
    of_fay, of_gina = copy(world, tx=6)

    assert (reasons(of_fay), of_gina.status) == (HELD, "EXECUTED")
    assert opened() == [("FAILURE_RATE", "FOLLOWER", str(fay.pk))]
    assert gina.pk == of_gina.follower_id


@pytest.mark.parametrize(
    ("answer", "scopes"),
    [
        (POOR, {"FOLLOWER"}),
        (Rejected(reason=RejectReason.OFF_TICK), {"FOLLOWER"}),
        (Rejected(reason=RejectReason.WRONG_VERSION), {"FOLLOWER"}),
        (Rejected(reason=RejectReason.ACCOUNT_REFUSED), {"FOLLOWER"}),
        (Rejected(reason=RejectReason.BLOCKED), {"GLOBAL", "VENUE", "FOLLOWER"}),
        (NO, {"GLOBAL", "VENUE", "FOLLOWER"}),
        (Unknown(), {"GLOBAL", "VENUE", "FOLLOWER"}),
        (Rejected(reason=RejectReason.NO_FILL), set()),
    ],
)
def test_whose_fault_an_answer_is(
    world: World, venue: VenueByFollower, settings: Any, answer: Outcome, scopes: set[str]
) -> None:
    for scope in ("", "VENUE_", "ACCOUNT_"):
        setattr(settings, f"BREAKER_{scope}LEAST_COUNT", 1)
    settings.BREAKER_PRICE_APART_BPS = 0
    world.start()
    world.follower()
    venue.answer = answer
    copy(world, tx=1)

    assert {scope for _kind, scope, _key in opened()} == scopes


def test_what_the_venue_did_not_look_at_counts_for_nobody(world: World, venue: VenueByFollower, settings: Any) -> None:
    for scope in ("", "VENUE_", "ACCOUNT_"):
        setattr(settings, f"BREAKER_{scope}LEAST_COUNT", 1)
    world.start()
    world.follower()
    venue.answer = BUSY_TOO_LONG
    (trade,) = copy(world, tx=1)

    assert (trade.status, reasons(trade)) == ("FAILED", [("RATE_LIMITED", None, None)])
    assert opened() == []


def open_account(world: World, venue: VenueByFollower, fay: Follower) -> None:
    venue.will_say(fay, *[POOR] * 5)
    for number in range(1, 6):
        copy(world, tx=number)
    assert opened() == [("FAILURE_RATE", "FOLLOWER", str(fay.pk))]


def test_a_probe_that_has_to_wait_leaves_as_the_same_probe(world: World, venue: VenueByFollower) -> None:
    fay = world.follower()
    open_account(world, venue, fay)
    world.clock.advance(60)
    venue.will_say(fay, BUSY)
    (trade,) = copy(world, tx=6)

    assert trade.status == "EXECUTED"
    assert opened() == []


def test_a_probe_that_never_left_gives_way_to_another(world: World, venue: VenueByFollower, settings: Any) -> None:
    fay = world.follower()
    open_account(world, venue, fay)
    world.clock.advance(60)
    venue.will_say(fay, BUSY_TOO_LONG)
    assert reasons(copy(world, tx=6)[0]) == [("RATE_LIMITED", None, None)]
    venue.will_say(fay)

    assert copy(world, tx=7)[0].status == "EXECUTED"
    assert opened() == []


def test_only_a_probe_leaves_while_it_is_under_way(world: World, venue: VenueByFollower, settings: Any) -> None:
    settings.BREAKER_VENUE_LEAST_COUNT, settings.BREAKER_PROBES_COUNT = 1, 1
    world.start()
    for name in ("Fay", "Gina", "Hal"):
        world.follower(name)
    venue.answer = NO
    copy(world, tx=1)
    sent, venue.answer, venue.thinks = len(venue.submitted), None, 50
    world.clock.advance(60)
    trades = copy(world, tx=2)

    assert (sent, len(venue.submitted)) == (1, 2)
    assert sorted(trade.status for trade in trades) == ["EXECUTED", "FAILED", "FAILED"]
    assert opened() == []


def test_an_accounts_breaker_is_still_open_after_the_process_was_started_again(
    world: World, venue: VenueByFollower
) -> None:
    fay = world.follower()
    open_account(world, venue, fay)
    world.start()

    assert reasons(copy(world, tx=6)[0]) == HELD


def test_a_person_overrules_an_accounts_breaker(world: World, venue: VenueByFollower) -> None:
    fay = world.follower()
    open_account(world, venue, fay)
    row = Breaker.objects.get(scope="FOLLOWER")
    override_breaker(row.pk, to="CLOSED", who="olga", why="She has paid in.", now=world.clock.now())
    world.run(world.engine.breakers.run_once)

    assert copy(world, tx=6)[0].status == "EXECUTED"
    assert Breaker.objects.get(scope="FOLLOWER").changed_by == "olga"


def test_no_follower_is_a_label_of_the_metrics(world: World, venue: VenueByFollower) -> None:
    fay = world.follower()
    open_account(world, venue, fay)
    labels = {"kind": "FAILURE_RATE", "scope": "FOLLOWER", "venue": ""}

    assert REGISTRY.get_sample_value("slipstream_breakers_open", labels) == 1
    world.clock.advance(60)
    copy(world, tx=6)
    assert REGISTRY.get_sample_value("slipstream_breakers_open", labels) == 0
    told = {
        key for metric in REGISTRY.collect() if "breaker" in metric.name for s in metric.samples for key in s.labels
    }
    assert told == {"kind", "scope", "venue"}


# --- Prices -------------------------------------------------------------------------------------------------


@pytest.fixture
def pricey(make_world: Any, venue: VenueByFollower, settings: Any) -> World:
    """Three fills of an account more than 3 % off the leader's price are too many; Fay takes up to 20 %."""
    settings.BREAKER_PRICE_APART_BPS, settings.BREAKER_ACCOUNT_LEAST_COUNT = 300, 3
    return make_world(venue=venue)


def test_fills_too_far_from_the_leaders_price_stop_an_accounts_buys(pricey: World, venue: VenueByFollower) -> None:
    fay = pricey.follower("Fay", slippage_bps_max=2_000)
    pricey.follower("Gina")
    venue.will_say(fay, *[filled(10 * ONE, 560_000)] * 3)
    for number in range(1, 4):
        assert copy(pricey, tx=number)[0].status == "EXECUTED"
    of_fay, of_gina = copy(pricey, tx=4)

    assert (reasons(of_fay), of_gina.status) == (HELD, "EXECUTED")
    row = Breaker.objects.get(state="OPEN")
    assert (row.kind, row.scope) == ("PRICE_DEVIATION", "FOLLOWER")
    assert row.why.startswith("3 of the last 3 prices were more than 3 % worse than the leader's")
    assert copy(pricey, tx=5, side="SELL")[0].status == "EXECUTED"


def test_a_near_price_of_a_probe_closes_it(pricey: World, venue: VenueByFollower) -> None:
    fay = pricey.follower("Fay", slippage_bps_max=2_000)
    venue.will_say(fay, *[filled(10 * ONE, 560_000)] * 3)
    for number in range(1, 4):
        copy(pricey, tx=number)
    pricey.clock.advance(60)
    venue.will_say(fay, filled(10 * ONE, 505_000))

    assert copy(pricey, tx=4)[0].status == "EXECUTED"
    assert opened() == []


def test_a_fill_that_rescue_found_has_a_price_too(pricey: World, venue: VenueByFollower, settings: Any) -> None:
    settings.BREAKER_ACCOUNT_LEAST_COUNT, settings.BREAKER_ACCOUNT_UNKNOWN_BPS = 1, 0
    pricey.start()
    pricey.follower("Fay", slippage_bps_max=2_000)
    venue.answer = Unknown()
    (trade,) = copy(pricey, tx=1)
    venue.states[trade.order_hash or ""] = filled(trade.size_micros, 560_000)
    pricey.clock.advance(10)
    pricey.rescue()

    assert [kind for kind, _scope, _key in opened()] == ["PRICE_DEVIATION"]


# --- A day's drawdown ---------------------------------------------------------------------------------------


@pytest.fixture
def careful(make_world: Any, settings: Any) -> World:
    """An account may lose $15 a day; half a day is over."""
    settings.BREAKER_ACCOUNT_DRAWDOWN_USD = 15
    return make_world()


def lose_ten(world: World, *, tx: int) -> None:
    """Whoever holds shares bought at 0.50 sells 100 of them at 0.40."""
    world.set_book("0.40", "0.40")
    copy(world, tx=tx, side="SELL", size="1000", price="0.40")
    world.set_book("0.50", "0.50")


def drawdown(world: World, key: str, scope: BreakerScope = BreakerScope.FOLLOWER) -> State:
    return world.engine.breakers.state(Kind.DAILY_DRAWDOWN, scope, key)


def test_a_days_loss_stops_an_accounts_buys_until_midnight_and_not_its_exits(careful: World) -> None:
    fay = careful.follower("Fay")
    careful.hold(fay, 400)
    lose_ten(careful, tx=1)
    assert copy(careful, tx=2)[0].status == "EXECUTED"
    lose_ten(careful, tx=3)
    (held,) = copy(careful, tx=4)

    assert reasons(held) == HELD
    row = Breaker.objects.get(kind="DAILY_DRAWDOWN")
    assert (row.state, row.key, row.why) == (
        "OPEN",
        str(fay.pk),
        "Since midnight UTC $20.00 were lost, which is more than $15.00.",
    )
    lose_ten(careful, tx=5)
    assert careful.trades()[-1].status == "EXECUTED"
    careful.clock.advance(12 * 3_600)
    assert copy(careful, tx=6)[0].status == "EXECUTED"
    careful.run(careful.engine.breakers.run_once)
    row.refresh_from_db()
    assert (row.state, row.why) == ("CLOSED", "A new UTC day began.")


def test_a_days_loss_is_remembered_by_the_ledger_when_the_process_starts_again(careful: World) -> None:
    fay = careful.follower("Fay")
    careful.hold(fay, 400)
    lose_ten(careful, tx=1)
    careful.start()
    lose_ten(careful, tx=2)

    assert drawdown(careful, str(fay.pk)) is State.OPEN


def test_what_other_engines_booked_is_read_from_the_ledger(careful: World) -> None:
    fay = careful.follower("Fay")
    careful.hold(fay, 400)
    mine = careful.engine.breakers
    careful.run(mine.run_once)
    careful.start()
    lose_ten(careful, tx=1)
    lose_ten(careful, tx=2)
    Breaker.objects.filter(kind="DAILY_DRAWDOWN").delete()
    careful.clock.advance(11)
    careful.run(mine.run_once)

    assert mine.state(Kind.DAILY_DRAWDOWN, BreakerScope.FOLLOWER, str(fay.pk)) is State.OPEN


def test_a_day_that_a_person_closed_counts_anew_also_after_a_start(careful: World) -> None:
    fay = careful.follower("Fay")
    careful.hold(fay, 600)
    lose_ten(careful, tx=1)
    lose_ten(careful, tx=2)
    careful.clock.advance(60)
    row = Breaker.objects.get(kind="DAILY_DRAWDOWN")
    override_breaker(row.pk, to="CLOSED", who="olga", why="She wants to go on.", now=careful.clock.now())
    careful.run(careful.engine.breakers.run_once)
    careful.clock.advance(60)
    lose_ten(careful, tx=3)
    careful.start()
    careful.run(careful.engine.breakers.run_once)
    assert drawdown(careful, str(fay.pk)) is State.CLOSED
    lose_ten(careful, tx=4)

    assert drawdown(careful, str(fay.pk)) is State.OPEN


def test_losses_of_all_accounts_of_a_venue_count_together(make_world: Any, settings: Any) -> None:
    settings.BREAKER_VENUE_DRAWDOWN_USD = 15
    world = make_world()
    for name in ("Fay", "Gina"):
        world.hold(world.follower(name), 200)
    lose_ten(world, tx=1)

    assert drawdown(world, "paper", BreakerScope.VENUE) is State.OPEN
    assert [reasons(trade) for trade in copy(world, tx=2)] == [HELD, HELD]


def test_a_win_makes_up_for_a_loss(careful: World) -> None:
    fay = careful.follower("Fay")
    careful.hold(fay, 400)
    lose_ten(careful, tx=1)
    careful.set_book("0.60", "0.60")
    copy(careful, tx=2, side="SELL", size="1000", price="0.60")
    lose_ten(careful, tx=3)

    assert drawdown(careful, str(fay.pk)) is State.CLOSED
