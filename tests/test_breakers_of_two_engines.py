"""Circuit breakers of several engines on one database: what one opens the others hold back, written once."""

from collections.abc import Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar

import pytest
from django.db import OperationalError

from copytrading.breaker_counts import Result
from copytrading.breaker_watch import NOTHING_HELD, Breakers, Leaving
from guardrails.circuits import BreakerScope, BreakerTerms, Event, Kind, State
from guardrails.operations import override_breaker
from ledger.units import Side
from tests.doors import InlineDatabase, VirtualClock, outside_loop
from tests.test_breakers_in_the_engine import incidents, row

pytestmark = pytest.mark.django_db

P = ParamSpec("P")
T = TypeVar("T")

TERMS = BreakerTerms(kind=Kind.FAILURE_RATE, least=1, window=5, open_bps=1, cooldown_s=60, cooldown_max_s=60, probes=2)
OF_VENUE, OF_ACCOUNT = replace(TERMS, scope=BreakerScope.VENUE), replace(TERMS, scope=BreakerScope.FOLLOWER)


class Away(InlineDatabase):
    """A database that is away while it says so."""

    away = False

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.away:
            raise OperationalError("the server closed the connection unexpectedly")
        return await super().run(work, *args, **kwargs)


def engines(
    number: int, database: InlineDatabase | None = None, *, terms: BreakerTerms = TERMS
) -> tuple[VirtualClock, list[Breakers]]:
    clock = VirtualClock()
    return clock, [Breakers(database or InlineDatabase(), clock, terms=[terms]) for _ in range(number)]


def tell(breakers: Breakers, *answers: tuple[int, Event]) -> None:
    """The venue answered these orders, (trade id, how); each is of another follower."""
    for trade_id, event in answers:
        breakers.answers.note(Result(trade_id, trade_id, "PAPER", event))


def ask(breakers: Breakers, trade_id: int, *, follower_id: int = 1, mode: str = "PAPER") -> bool:
    """An order asks whether it may leave."""
    return breakers.grant(Leaving(trade_id, follower_id, Side.BUY, mode))


async def test_what_one_engine_opens_the_others_hold_back_within_a_round() -> None:
    _clock, (one, two) = engines(2)
    await two.ready()
    tell(one, (1, Event.FAILURE))
    await one.save()
    assert two.held_back() is NOTHING_HELD
    await two.run_once()

    assert two.held_back().holds(Side.SELL, 7, "PAPER")
    assert not ask(two, 2)


async def test_two_engines_that_open_it_together_write_one_row_and_one_incident() -> None:
    _clock, (one, two) = engines(2)
    for each in (one, two):
        tell(each, (1, Event.FAILURE))
    await one.save()
    await two.save()

    assert outside_loop(incidents) == [("BREAKER_OPENED", "Failure rate breaker for everything")]
    assert outside_loop(row).version == 1
    assert two.state(Kind.FAILURE_RATE) is State.OPEN


async def test_an_opening_is_written_though_another_engine_opened_and_closed_it_meanwhile() -> None:
    clock, (one, two) = engines(2)
    await two.ready()
    tell(one, (1, Event.FAILURE))
    await one.save()
    clock.advance(60)
    assert ask(one, 2) and ask(one, 3)
    tell(one, (2, Event.SUCCESS), (3, Event.SUCCESS))
    await one.save()
    tell(two, (4, Event.FAILURE))
    await two.save()

    assert (outside_loop(row).state, outside_loop(row).version) == ("OPEN", 3)
    assert two.held_back().everything


async def test_a_persons_word_wins_over_a_change_that_was_made_before_it_was_read() -> None:
    clock, (one,) = engines(1)
    await one.ready()
    await InlineDatabase().run(override_breaker, await first_id(), to="CLOSED", who="olga", why="", now=clock.now())
    tell(one, (1, Event.FAILURE))
    await one.save()

    assert (outside_loop(row).state, one.state(Kind.FAILURE_RATE)) == ("CLOSED", State.CLOSED)


async def first_id(scope: str = "GLOBAL") -> int:
    return outside_loop(row, scope=scope).pk


async def test_without_a_database_it_opens_in_memory_and_is_written_later() -> None:
    database = Away()
    _clock, (one,) = engines(1, database)
    await one.ready()
    database.away = True
    tell(one, (1, Event.FAILURE))
    await one.save()
    assert one.held_back().everything
    assert outside_loop(row).state == "CLOSED"
    database.away = False
    await one.run_once()

    assert outside_loop(row).state == "OPEN"


async def test_exactly_as_many_probes_are_granted_as_the_terms_say() -> None:
    clock, (one,) = engines(1)
    tell(one, (1, Event.FAILURE))
    clock.advance(60)

    assert [ask(one, trade) for trade in range(10, 15)] == [True, True, *[False] * 3]
    assert one.held_back().everything


async def test_only_answers_to_probes_count_while_it_is_half_open() -> None:
    clock, (one,) = engines(1)
    tell(one, (1, Event.FAILURE))
    clock.advance(60)
    assert ask(one, 10) and ask(one, 11)
    tell(one, (2, Event.FAILURE), (3, Event.SUCCESS), (4, Event.SUCCESS), (10, Event.SUCCESS))
    assert one.state(Kind.FAILURE_RATE) is State.HALF_OPEN
    tell(one, (11, Event.SUCCESS))

    assert one.state(Kind.FAILURE_RATE) is State.CLOSED


async def test_probes_that_are_never_answered_are_granted_anew() -> None:
    clock, (one,) = engines(1)
    tell(one, (1, Event.FAILURE))
    clock.advance(60)
    assert ask(one, 10)
    for _ in ("the probe is silent", "the wait is over"):
        clock.advance(60)
        await one.run_once()

    assert [ask(one, trade) for trade in (11, 12, 13)] == [True, True, False]


async def test_a_venues_breaker_holds_back_that_venues_orders_only_and_in_every_engine() -> None:
    _clock, (one, two) = engines(2, terms=OF_VENUE)
    await two.ready()
    one.answers.note(Result(1, 1, "EXCHANGE", Event.FAILURE))
    await one.save()
    await two.run_once()

    assert [ask(two, 2, mode=mode) for mode in ("EXCHANGE", "PAPER")] == [False, True]
    held = two.held_back()
    assert [held.holds(Side.SELL, 7, mode) for mode in ("EXCHANGE", "PAPER")] == [True, False]


async def test_an_accounts_breaker_holds_back_that_account_only_and_in_every_engine() -> None:
    _clock, (one, two) = engines(2, terms=OF_ACCOUNT)
    await two.ready()
    tell(one, (7, Event.FAILURE))
    await one.save()
    await two.run_once()

    assert [ask(two, 2, follower_id=follower) for follower in (7, 8)] == [False, True]
    assert [two.held_back().holds(Side.SELL, follower, "PAPER") for follower in (7, 8)] == [True, False]


async def test_an_accounts_breaker_that_another_engine_closed_is_closed_here() -> None:
    clock, (one, two) = engines(2, terms=OF_ACCOUNT)
    tell(one, (7, Event.FAILURE))
    await one.save()
    await two.run_once()
    clock.advance(60)
    assert [ask(one, trade, follower_id=7) for trade in (8, 9)] == [True, True]
    for trade in (8, 9):
        one.answers.note(Result(trade, 7, "PAPER", Event.SUCCESS))
    await one.save()
    await two.run_once()

    assert two.state(Kind.FAILURE_RATE, BreakerScope.FOLLOWER, "7") is State.CLOSED
    assert two.held_back() is NOTHING_HELD


async def test_what_a_person_closed_long_ago_does_not_hinder_a_new_opening_after_a_start() -> None:
    clock, (one,) = engines(1, terms=OF_ACCOUNT)
    tell(one, (7, Event.FAILURE))
    await one.save()
    await InlineDatabase().run(
        override_breaker, await first_id("FOLLOWER"), to="CLOSED", who="olga", why="", now=clock.now()
    )
    started = Breakers(InlineDatabase(), clock, terms=[OF_ACCOUNT])
    await started.ready()
    clock.advance(3_600)
    tell(started, (7, Event.FAILURE))
    await started.save()

    assert (outside_loop(row, scope="FOLLOWER").state, outside_loop(row, scope="FOLLOWER").version) == ("OPEN", 3)
    assert not ask(started, 8, follower_id=7)


async def test_ten_thousand_accounts_without_trouble_are_numbers_and_those_with_trouble_are_let_go_again() -> None:
    _clock, (one,) = engines(1, terms=replace(OF_ACCOUNT, least=3, open_bps=5_000))
    for follower in range(10_000):
        one.answers.note_good(follower, follower, mode="PAPER")
    assert not one._circuits.kept
    tell(one, (7, Event.FAILURE))
    assert len(one._circuits.kept) == 1
    for trade in range(TERMS.window):
        one.answers.note_good(trade, 7, mode="PAPER")

    assert not one._circuits.kept
