"""Circuit breakers in the running engine: what opens them, what they hold back, and how they close again."""

from typing import Any, ParamSpec, TypeVar

import pytest
from django.core.exceptions import ImproperlyConfigured

from copytrading.breaker_counts import Result
from copytrading.models import CopyTrade
from copytrading.wiring_breakers import breaker_terms
from execution.ports import Rejected, RejectReason, Unknown
from guardrails.circuits import Event, Kind, State
from guardrails.models import Breaker, GuardrailEvent
from guardrails.operations import override_breaker
from ledger.models import CashBalance
from ledger.units import ONE
from tests.venues import ScriptedVenue, filled
from tests.world import World, reasons

pytestmark = pytest.mark.django_db

P = ParamSpec("P")
T = TypeVar("T")

NO = Rejected(reason=RejectReason.REJECTED, detail="no")
HELD = [("BREAKER_OPEN", None, None)]


@pytest.fixture
def venue() -> ScriptedVenue:
    return ScriptedVenue()


@pytest.fixture
def world(make_world: Any, venue: ScriptedVenue, settings: Any) -> World:
    """Breakers that open with the first bad answer, wait a minute, and take one probe."""
    settings.BREAKER_LEAST_COUNT, settings.BREAKER_PROBES_COUNT = 1, 1
    return make_world(venue=venue)


def row(kind: Kind = Kind.FAILURE_RATE, scope: str = "GLOBAL") -> Breaker:
    return Breaker.objects.get(kind=kind.value, scope=scope)


def last(world: World, *, tx: int, **how: Any) -> CopyTrade:
    """The newest copy after one more trade of Lena's."""
    return world.copy(world.row(tx=tx, **how))[-1]


def break_it(world: World, venue: ScriptedVenue, *, answer: Any = NO) -> None:
    venue.answer = answer
    last(world, tx=1)
    venue.answer = None


def incidents() -> list[tuple[str, str]]:
    rows = GuardrailEvent.objects.filter(reason__startswith="BREAKER_", trade=None).order_by("pk")
    return [(each.reason, each.subject) for each in rows]


def test_one_refusal_too_many_opens_it_and_later_copies_are_skipped(world: World, venue: ScriptedVenue) -> None:
    world.follower()
    break_it(world, venue)
    trade = last(world, tx=2)

    assert (trade.status, reasons(trade), len(venue.submitted)) == ("SKIPPED", HELD, 1)
    assert (row().state, row().version, row().opened_at) == ("OPEN", 1, world.clock.now())
    assert row().why == "1 of the last 1 orders were refused, which is more than 80 %."
    assert incidents() == [("BREAKER_OPENED", "Failure rate breaker for everything")]


def test_a_lost_answer_opens_the_other_one(world: World, venue: ScriptedVenue) -> None:
    world.follower()
    break_it(world, venue, answer=Unknown(detail="timeout"))

    assert (row(Kind.UNKNOWN_RATE).state, row().state) == ("OPEN", "CLOSED")
    assert reasons(last(world, tx=2)) == HELD


def test_nobody_at_the_price_is_no_fault_of_the_venue(world: World, venue: ScriptedVenue) -> None:
    world.follower()
    break_it(world, venue, answer=Rejected(reason=RejectReason.NO_FILL))

    assert last(world, tx=2).status == "EXECUTED"


def test_the_venues_breaker_holds_back_exits_too(world: World, venue: ScriptedVenue) -> None:
    fay = world.follower()
    break_it(world, venue)
    world.hold(fay, 100)

    assert reasons(last(world, tx=2, side="SELL")) == HELD


def test_what_was_reserved_before_it_opened_is_not_sent_and_given_back(
    world: World, venue: ScriptedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.follower()
    start = world.engine.sender.start

    def refused_elsewhere_first(reserved: Any, **moment: Any) -> None:
        world.engine.breakers.answers.note(Result(0, 0, "PAPER", Event.FAILURE))
        start(reserved, **moment)

    monkeypatch.setattr(world.engine.sender, "start", refused_elsewhere_first)
    trade = last(world, tx=1)

    assert (trade.status, reasons(trade), venue.submitted) == ("FAILED", HELD, [])
    assert CashBalance.objects.get().reserved_micros == 0


def test_a_good_probe_closes_it(world: World, venue: ScriptedVenue) -> None:
    world.follower()
    break_it(world, venue)
    world.clock.advance(60)

    assert last(world, tx=2).status == "EXECUTED"
    assert (row().state, row().why) == ("CLOSED", "All 1 probes were good.")
    assert incidents()[-1] == ("BREAKER_CLOSED", "Failure rate breaker for everything")


def test_a_refused_probe_opens_it_again_for_twice_as_long(world: World, venue: ScriptedVenue) -> None:
    world.follower()
    break_it(world, venue)
    world.clock.advance(60)
    venue.answer = NO
    assert last(world, tx=2).status == "FAILED"

    assert (row().state, row().why) == ("OPEN", "A probe failed.")
    assert row().probe_at is not None
    assert (row().probe_at - world.clock.now()).total_seconds() == 120
    assert [reason for reason, _subject in incidents()] == ["BREAKER_OPENED", "BREAKER_OPENED"]


def test_the_row_says_half_open_when_the_cool_down_is_over_even_without_orders(
    world: World, venue: ScriptedVenue
) -> None:
    world.follower()
    break_it(world, venue)
    world.clock.advance(60)
    world.run(world.engine.breakers.run_once)

    assert (row().state, row().version) == ("HALF_OPEN", 2)


def test_a_person_closes_it_and_copies_flow_again(world: World, venue: ScriptedVenue) -> None:
    world.follower()
    break_it(world, venue)
    told = override_breaker(row().pk, to="CLOSED", who="olga", why="The venue is back.", now=world.clock.now())
    world.run(world.engine.breakers.run_once)

    assert (told.circuit.state, told.changed_by, told.version) == (State.CLOSED, "olga", 2)
    assert (row().state, row().changed_by, row().why) == ("CLOSED", "olga", "The venue is back.")
    assert last(world, tx=2).status == "EXECUTED"


def test_a_person_opens_it_and_it_stays_open(world: World, venue: ScriptedVenue) -> None:
    world.follower()
    assert last(world, tx=1).status == "EXECUTED"
    override_breaker(row().pk, to="OPEN", who="olga", why="Something is wrong.", now=world.clock.now())
    world.run(world.engine.breakers.run_once)
    world.clock.advance(86_400)

    assert reasons(last(world, tx=2)) == HELD
    assert incidents() == [("BREAKER_OPENED", "Failure rate breaker for everything")]


def test_a_state_that_does_not_exist_is_refused(world: World) -> None:
    world.run(world.engine.breakers.run_once)
    with pytest.raises(ValueError, match="AJAR"):
        override_breaker(row().pk, to="AJAR", who="olga", why="", now=world.clock.now())


def test_it_is_still_open_after_the_process_was_started_again(world: World, venue: ScriptedVenue) -> None:
    world.follower()
    break_it(world, venue)
    world.start()

    assert reasons(last(world, tx=2)) == HELD


def test_the_venues_breakers_have_rows_before_they_first_open(world: World) -> None:
    world.run(world.engine.breakers.run_once)

    told = Breaker.objects.order_by("kind", "scope").values_list("kind", "scope", "key")
    kinds = ("FAILURE_RATE", "PRICE_DEVIATION", "UNKNOWN_RATE")
    assert list(told) == [(k, s, key) for k in kinds for s, key in (("GLOBAL", ""), ("VENUE", "scripted"))]
    assert set(Breaker.objects.values_list("state", "version")) == {("CLOSED", 0)}


def test_no_breaker_exists_where_the_settings_say_zero(make_world: Any, venue: ScriptedVenue, settings: Any) -> None:
    for scope in ("", "VENUE_", "ACCOUNT_"):
        for name in ("REJECTED", "UNKNOWN", "PRICE"):
            setattr(settings, f"BREAKER_{scope}{name}_BPS", 0)
        setattr(settings, f"BREAKER_{scope}LEAST_COUNT", 1)
    world = make_world(venue=venue)
    world.follower()
    break_it(world, venue)

    assert last(world, tx=2).status == "EXECUTED"
    assert not Breaker.objects.exists()


def test_the_defaults_take_few_bad_answers_of_an_account_and_hundreds_of_everybody(settings: Any) -> None:
    terms = breaker_terms()

    assert [(each.kind.value, each.scope.value, each.least) for each in terms] == [
        (kind, scope, least)
        for scope, least in (("GLOBAL", 200), ("VENUE", 20), ("FOLLOWER", 5))
        for kind in ("FAILURE_RATE", "UNKNOWN_RATE", "PRICE_DEVIATION")
    ]


WRONG = [("BREAKER_WINDOW_COUNT", 3), ("BREAKER_ACCOUNT_WINDOW_COUNT", 3), ("BREAKER_COOLDOWN_MAX_S", 1)]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_settings_that_do_not_fit_together_are_a_sentence(settings: Any, name: str, value: int) -> None:
    setattr(settings, name, value)
    with pytest.raises(ImproperlyConfigured, match="The settings BREAKER_"):
        breaker_terms()


def lose(world: World, *, tx: int) -> CopyTrade:
    """Lena sells at a price below what Fay paid, and Fay with her."""
    world.set_book("0.40", "0.40")
    return last(world, tx=tx, side="SELL", size="100", price="0.40")


def test_a_streak_of_losses_holds_back_the_losers_buys_and_nothing_else(make_world: Any, settings: Any) -> None:
    settings.BREAKER_ACCOUNT_LOSSES_COUNT = 2
    world = make_world()
    fay = world.follower("Fay")
    assert world.copy(world.row("2000"))[-1].status == "EXECUTED"
    assert [lose(world, tx=2).status, lose(world, tx=3).status] == ["EXECUTED", "EXECUTED"]
    gina = world.follower("Gina")
    world.clock.advance(2)  # the configs are read anew
    world.copy(world.row(tx=4, price="0.40"))

    (fays,) = world.trades(fay)[-1:]
    (ginas,) = world.trades(gina)[-1:]
    assert (fays.side, reasons(fays), ginas.status) == ("BUY", HELD, "EXECUTED")
    lose(world, tx=5)
    assert world.trades(fay)[-1].status == "EXECUTED"  # an exit does not get stuck
    opened = row(Kind.CONSECUTIVE_LOSSES, "FOLLOWER")
    assert (opened.scope, opened.key, opened.state) == ("FOLLOWER", str(fay.pk), "OPEN")
    assert opened.why == "2 sells in a row realised a loss."


def test_a_win_between_ends_the_streak(make_world: Any, settings: Any) -> None:
    settings.BREAKER_ACCOUNT_LOSSES_COUNT = 2
    world = make_world()
    world.follower()
    world.copy(world.row("2000"))
    lose(world, tx=2)
    world.set_book("0.60", "0.60")
    assert last(world, tx=3, side="SELL", size="100", price="0.60").status == "EXECUTED"
    lose(world, tx=4)

    assert not Breaker.objects.filter(kind="CONSECUTIVE_LOSSES").exists()


def test_a_loss_that_rescue_found_counts_too(make_world: Any, venue: ScriptedVenue, settings: Any) -> None:
    settings.BREAKER_ACCOUNT_LOSSES_COUNT = 1
    world = make_world(venue=venue)
    fay = world.follower()
    world.hold(fay, 100)
    venue.answer = Unknown()
    trade = last(world, tx=1, side="SELL")
    assert trade.status == "UNKNOWN"
    venue.states[trade.order_hash or ""] = filled(trade.size_micros, 400_000)
    world.clock.advance(10)
    world.rescue()

    assert row(Kind.CONSECUTIVE_LOSSES, "FOLLOWER").state == "OPEN"


def test_orders_that_were_never_sent_are_no_answers(world: World) -> None:
    world.follower()
    world.engine.breakers.answers.note(Result(5, 0, "PAPER", Event.FAILURE))
    assert last(world, tx=1).status == "SKIPPED"
    world.clock.advance(60)
    start = world.engine.sender.start

    def too_late(reserved: Any, **_moment: Any) -> None:
        start(reserved, written_ms=-10 * ONE)

    world.engine.sender.start = too_late  # type: ignore[method-assign]
    trade = last(world, tx=2)

    assert reasons(trade) == [("TOO_LATE_TO_SEND", None, None)]
    assert world.engine.breakers.state(Kind.FAILURE_RATE) is State.HALF_OPEN
