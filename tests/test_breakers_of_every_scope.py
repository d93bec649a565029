"""Each kind of breaker for everybody, a venue and an account, fifteen in all: when it opens, whom it holds back, how
it closes again, and a person's word on it."""

from itertools import product
from typing import Any

import pytest

from copytrading.breaker_circuits import OF_MONEY
from copytrading.breaker_counts import Result
from copytrading.breaker_watch import Breakers, Leaving
from copytrading.models import CopyTrade, Follower
from copytrading.outcomes import note_answer
from execution.orders import OrderPlan
from execution.ports import Outcome, Rejected, RejectReason, Unknown
from guardrails.circuits import HOLDS_EVERYTHING, BreakerScope, BreakerTerms, Event, Kind, State
from guardrails.models import Breaker
from guardrails.pauses import overrule_breakers
from ledger.models import AuditEntry, CashBalance
from ledger.units import ONE, Side
from tests.doors import InlineDatabase, VirtualClock
from tests.test_breakers_by_scope import VenueByFollower
from tests.venues import filled
from tests.world import World, reasons

HELD = [("BREAKER_OPEN", None, None)]
DEAR = filled(100 * ONE, 400_000)
"""A sell at 0.40 of what cost 0.50, where the leader had 0.50: far from its price, and a loss of $10."""

TROUBLE: dict[Kind, Outcome] = {
    Kind.FAILURE_RATE: Rejected(reason=RejectReason.REJECTED, detail="no"),
    Kind.UNKNOWN_RATE: Unknown(detail="timeout"),
    **dict.fromkeys((Kind.PRICE_DEVIATION, Kind.CONSECUTIVE_LOSSES, Kind.DAILY_DRAWDOWN), DEAR),
}
OPENS_AT_ONCE = {
    Kind.FAILURE_RATE: ("REJECTED_BPS", 1),
    Kind.UNKNOWN_RATE: ("UNKNOWN_BPS", 1),
    Kind.PRICE_DEVIATION: ("PRICE_BPS", 1),
    Kind.CONSECUTIVE_LOSSES: ("LOSSES_COUNT", 1),
    Kind.DAILY_DRAWDOWN: ("DRAWDOWN_USD", 5),
}
PREFIXES = {BreakerScope.GLOBAL: "", BreakerScope.VENUE: "VENUE_", BreakerScope.FOLLOWER: "ACCOUNT_"}
ALL = [pytest.param(kind, scope, id=f"{kind}-{scope}") for kind, scope in product(Kind, BreakerScope)]


class Venue(VenueByFollower):
    """Fills at 0.50 what it has no other answer for, and remembers whose orders reached it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: list[int] = []

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
        self.reached.append(follower_id)
        self.answer = filled(plan.size_micros, 500_000)
        return await super().submit(plan, signature, follower_id=follower_id)


class Cast:
    """Fay, who meets the trouble, and Gina of the same venue, under one breaker that opens at once."""

    def __init__(self, world: World, venue: Venue, kind: Kind, scope: BreakerScope) -> None:
        self.world, self.venue, self.kind, self.scope = world, venue, kind, scope
        self.fay, self.gina = world.follower("Fay"), world.follower("Gina")
        world.hold(self.fay, 400)
        self._tx = 0

    @property
    def concerned(self) -> set[Follower]:
        """Whose orders the breaker holds back."""
        return {self.fay} if self.scope is BreakerScope.FOLLOWER else {self.fay, self.gina}

    def copy(self, **how: Any) -> dict[Follower, CopyTrade]:
        """The copies of one more trade of Lena's."""
        self._tx += 1
        self.world.copy(self.world.row(tx=self._tx, **how))
        signal = self.world.signals()[-1]
        return {trade.follower: trade for trade in CopyTrade.objects.filter(signal=signal).select_related("follower")}

    def meet_trouble(self) -> CopyTrade:
        """Lena sells, and Fay's sell with her is what must open the breaker."""
        self.venue.will_say(self.fay, TROUBLE[self.kind])
        return self.copy(side="SELL")[self.fay]

    def holds_back(self) -> bool:
        """Whether the next buys of those concerned, and of nobody else, are refused and do not reach the venue."""
        before, trades = len(self.venue.reached), self.copy()
        held = {follower for follower, trade in trades.items() if reasons(trade) == HELD}
        reached = set(self.venue.reached[before:])
        assert reached == {each.pk for each in trades if each not in held}
        assert held in (set(), self.concerned), held
        return bool(held)

    def row(self) -> Breaker:
        return Breaker.objects.get(kind=self.kind.value, scope=self.scope.value)

    def say(self, to: str, why: str) -> None:
        """Olga overrules it, and the engine reads it."""
        overrule_breakers([self.row().pk], to=to, who="olga", why=why, now=self.world.clock.now())
        self.world.run(self.world.engine.breakers.run_once)


@pytest.fixture
def cast(make_world: Any, settings: Any, kind: Kind, scope: BreakerScope) -> Cast:
    """Only this one breaker exists; it opens with the first bad result, and takes one probe after a minute."""
    for each, (name, value) in OPENS_AT_ONCE.items():
        for its, prefix in PREFIXES.items():
            setattr(settings, f"BREAKER_{prefix}{name}", value if (each, its) == (kind, scope) else 0)
    for prefix in PREFIXES.values():
        setattr(settings, f"BREAKER_{prefix}LEAST_COUNT", 1)
    settings.BREAKER_PROBES_COUNT = 1
    venue = Venue()
    return Cast(make_world(venue=venue), venue, kind, scope)


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "scope"), ALL)
def test_an_order_that_is_about_to_leave_when_it_opens_does_not(cast: Cast, monkeypatch: Any) -> None:
    """What became of the first signal is told while the second's orders are signed and ask whether they may go."""
    engine, gate = cast.world.engine, cast.world.engine.sender._doors.gate
    engine.writer.breakers = Breakers(InlineDatabase(), cast.world.clock)
    trouble, outcome = cast.meet_trouble(), TROUBLE[cast.kind]
    engine.writer.breakers, look = engine.breakers, gate._refresh
    reserved = CashBalance.objects.get(follower=cast.fay).reserved_micros
    untold = iter([trouble])

    async def told_just_now() -> None:
        for row in untold:
            note_answer(engine.breakers, row, outcome)
            if outcome is DEAR:
                await engine.breakers.note_fills([(row.pk, row.follower_id, row.mode, Side(row.side))])
        await look()

    monkeypatch.setattr(gate, "_refresh", told_just_now)
    before, trades = len(cast.venue.reached), cast.copy()

    held = {follower for follower, trade in trades.items() if (trade.status, reasons(trade)) == ("FAILED", HELD)}
    assert held == cast.concerned
    assert set(cast.venue.reached[before:]) == {cast.fay.pk, cast.gina.pk} - {each.pk for each in held}
    assert CashBalance.objects.get(follower=cast.fay).reserved_micros == reserved


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "scope"), ALL)
def test_the_next_signal_is_held_back_and_it_closes_by_itself(cast: Cast) -> None:
    cast.meet_trouble()
    row = cast.row()
    assert (row.state, row.key) == ("OPEN", {"GLOBAL": "", "VENUE": "scripted"}.get(cast.scope, str(cast.fay.pk)))
    assert cast.holds_back()

    cast.world.clock.advance(12 * 3_600 if cast.kind is Kind.DAILY_DRAWDOWN else 60)
    assert cast.copy()[cast.fay].status == "EXECUTED"
    if cast.kind is Kind.CONSECUTIVE_LOSSES:
        assert cast.row().state == "HALF_OPEN"
        cast.venue.will_say(cast.fay, filled(100 * ONE, 600_000))
        cast.copy(side="SELL")
    cast.world.run(cast.world.engine.breakers.run_once)
    assert (cast.row().state, cast.row().changed_by) == ("CLOSED", "")


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "scope"), ALL)
def test_a_person_overrules_it_with_a_reason(cast: Cast) -> None:
    cast.meet_trouble()
    cast.say("CLOSED", "It was a drill.")
    assert (cast.row().changed_by, cast.row().why) == ("olga", "It was a drill.")
    assert not cast.holds_back()
    cast.say("OPEN", "Now it is not.")
    cast.world.clock.advance(86_400)
    assert cast.holds_back()
    cast.say("HALF_OPEN", "Let one try.")

    assert cast.copy()[cast.fay].status == "EXECUTED"
    told = AuditEntry.objects.filter(action="override").order_by("pk").values_list("actor", "why")
    assert list(told) == [("olga", "It was a drill."), ("olga", "Now it is not."), ("olga", "Let one try.")]


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "scope"), [(Kind.DAILY_DRAWDOWN, BreakerScope.GLOBAL)])
def test_what_everybody_lost_elsewhere_is_read_from_the_ledger(cast: Cast) -> None:
    world, mine = cast.world, cast.world.engine.breakers
    world.run(mine.run_once)
    world.start()
    cast.meet_trouble()
    Breaker.objects.all().delete()
    assert mine.state(cast.kind) is State.CLOSED
    world.clock.advance(11)
    world.run(mine.run_once)

    assert mine.state(cast.kind) is State.OPEN


# --- Two venues -----------------------------------------------------------------------------------------------

FAY, GINA, HAL = (1, "EXCHANGE"), (2, "EXCHANGE"), (3, "PAPER")
HOLDS = {
    BreakerScope.GLOBAL: [FAY, GINA, HAL],
    BreakerScope.VENUE: [FAY, GINA],
    BreakerScope.FOLLOWER: [FAY],
}
BAD = {
    Kind.FAILURE_RATE: Event.FAILURE,
    Kind.UNKNOWN_RATE: Event.UNKNOWN,
    Kind.PRICE_DEVIATION: Event.OFF_PRICE,
    Kind.CONSECUTIVE_LOSSES: Event.LOSS,
}


def breakers(kind: Kind, scope: BreakerScope, **venues: str) -> tuple[VirtualClock, Breakers]:
    day = {"loss_micros": 5 * ONE} if kind is Kind.DAILY_DRAWDOWN else {}
    terms = BreakerTerms(
        kind=kind, scope=scope, window=1, open_bps=1, cooldown_s=60, cooldown_max_s=60, probes=1, **day
    )
    clock = VirtualClock()
    return clock, Breakers(InlineDatabase(), clock, terms=[terms], **({"venues": venues} if venues else {}))


def go_wrong(found: Breakers, kind: Kind, who: tuple[int, str]) -> None:
    """One bad result of somebody's."""
    if kind is Kind.DAILY_DRAWDOWN:
        found._days.note([(*who, -10 * ONE)])
        return
    counts = {Kind.PRICE_DEVIATION: found.prices, Kind.CONSECUTIVE_LOSSES: found._losses}.get(kind, found.answers)
    counts.note(Result(1, *who, BAD[kind]))


def held(found: Breakers, side: Side = Side.BUY) -> list[tuple[int, str]]:
    """Whose order would be held back now, by the decision as by the gate."""
    asked = [who for who in (FAY, GINA, HAL) if found.held_back().holds(side, *who)]
    assert asked == [who for who in (FAY, GINA, HAL) if found.holds(Leaving(9, who[0], side, who[1]))]
    return asked


@pytest.mark.parametrize(("kind", "scope"), ALL)
def test_whom_it_holds_back(kind: Kind, scope: BreakerScope) -> None:
    _clock, found = breakers(kind, scope)
    assert held(found) == []
    go_wrong(found, kind, FAY)

    assert held(found) == HOLDS[scope]
    assert held(found, Side.SELL) == (HOLDS[scope] if kind in HOLDS_EVERYTHING else [])


@pytest.mark.parametrize("kind", Kind)
def test_pretend_losses_do_not_stop_real_money(kind: Kind) -> None:
    _clock, found = breakers(kind, BreakerScope.GLOBAL)
    go_wrong(found, kind, HAL)

    assert held(found) == ([] if kind in OF_MONEY else [FAY, GINA, HAL])


@pytest.mark.parametrize("kind", sorted(OF_MONEY))
def test_where_only_paper_is_traded_paper_counts(kind: Kind) -> None:
    _clock, found = breakers(kind, BreakerScope.GLOBAL, PAPER="paper")
    go_wrong(found, kind, HAL)

    assert found.state(kind) is State.OPEN


def test_a_pretend_order_takes_no_probe_from_real_money() -> None:
    clock, found = breakers(Kind.CONSECUTIVE_LOSSES, BreakerScope.GLOBAL)
    go_wrong(found, Kind.CONSECUTIVE_LOSSES, FAY)
    clock.advance(60)

    def asks(trade_id: int, who: tuple[int, str]) -> bool:
        return found.grant(Leaving(trade_id, who[0], Side.BUY, who[1]))

    assert [asks(2, HAL), asks(3, FAY), asks(4, GINA), asks(5, HAL)] == [True, True, False, False]


def test_pretend_wins_do_not_end_a_streak_of_real_losses() -> None:
    terms = BreakerTerms(kind=Kind.CONSECUTIVE_LOSSES, least=2, cooldown_s=60, cooldown_max_s=60, probes=1)
    found = Breakers(InlineDatabase(), VirtualClock(), terms=[terms])
    for who, event in ((FAY, Event.LOSS), (HAL, Event.WIN), (GINA, Event.LOSS)):
        found._losses.note(Result(1, *who, event))

    assert found.state(Kind.CONSECUTIVE_LOSSES) is State.OPEN
