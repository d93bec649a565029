"""Circuit breakers of several engines on one database: what one opens the others hold back, written once."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest
from django.db import OperationalError

from copytrading.breaker_watch import NOTHING_HELD, Breakers
from guardrails.breakers import BreakerTerms, Event, Kind, State
from guardrails.operations import override_breaker
from ledger.units import Side
from tests.doors import InlineDatabase, VirtualClock, outside_loop
from tests.test_breakers_in_the_engine import incidents, row

pytestmark = pytest.mark.django_db

P = ParamSpec("P")
T = TypeVar("T")

TERMS = BreakerTerms(kind=Kind.FAILURE_RATE, least=1, window=5, open_bps=1, cooldown_s=60, cooldown_max_s=60, probes=2)


class Away(InlineDatabase):
    """A database that is away while it says so."""

    away = False

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.away:
            raise OperationalError("the server closed the connection unexpectedly")
        return await super().run(work, *args, **kwargs)


def engines(number: int, database: InlineDatabase | None = None) -> tuple[VirtualClock, list[Breakers]]:
    clock = VirtualClock()
    return clock, [Breakers(database or InlineDatabase(), clock, terms=[TERMS]) for _ in range(number)]


async def test_what_one_engine_opens_the_others_hold_back_within_a_round() -> None:
    _clock, (one, two) = engines(2)
    await two.ready()
    one.note_answers([(1, Event.FAILURE)])
    await one.save()
    assert two.held_back() is NOTHING_HELD
    await two.run_once()

    assert two.held_back().holds(Side.SELL, 7)
    assert not two.grant(2, Side.BUY, follower_id=7)


async def test_two_engines_that_open_it_together_write_one_row_and_one_incident() -> None:
    _clock, (one, two) = engines(2)
    for each in (one, two):
        each.note_answers([(1, Event.FAILURE)])
    await one.save()
    await two.save()

    assert outside_loop(incidents) == [("BREAKER_OPENED", "Failure rate breaker for everything")]
    assert outside_loop(row).version == 1
    assert two.state(Kind.FAILURE_RATE) is State.OPEN


async def test_an_opening_is_written_though_another_engine_opened_and_closed_it_meanwhile() -> None:
    clock, (one, two) = engines(2)
    await two.ready()
    one.note_answers([(1, Event.FAILURE)])
    await one.save()
    clock.advance(60)
    assert one.grant(2, Side.BUY, follower_id=1) and one.grant(3, Side.BUY, follower_id=2)
    one.note_answers([(2, Event.SUCCESS), (3, Event.SUCCESS)])
    await one.save()
    two.note_answers([(4, Event.FAILURE)])
    await two.save()

    assert (outside_loop(row).state, outside_loop(row).version) == ("OPEN", 3)
    assert two.held_back().everything


async def test_a_persons_word_wins_over_a_change_that_was_made_before_it_was_read() -> None:
    clock, (one,) = engines(1)
    await one.ready()
    await InlineDatabase().run(override_breaker, await first_id(), to="CLOSED", who="olga", why="", now=clock.now())
    one.note_answers([(1, Event.FAILURE)])
    await one.save()

    assert (outside_loop(row).state, one.state(Kind.FAILURE_RATE)) == ("CLOSED", State.CLOSED)


async def first_id() -> int:
    return outside_loop(row).pk


async def test_without_a_database_it_opens_in_memory_and_is_written_later() -> None:
    database = Away()
    _clock, (one,) = engines(1, database)
    await one.ready()
    database.away = True
    one.note_answers([(1, Event.FAILURE)])
    await one.save()
    assert one.held_back().everything
    assert outside_loop(row).state == "CLOSED"
    database.away = False
    await one.run_once()

    assert outside_loop(row).state == "OPEN"


async def test_exactly_as_many_probes_are_granted_as_the_terms_say() -> None:
    clock, (one,) = engines(1)
    one.note_answers([(1, Event.FAILURE)])
    clock.advance(60)

    assert [one.grant(trade, Side.BUY, follower_id=trade) for trade in range(10, 15)] == [True, True, *[False] * 3]
    assert one.held_back().everything


async def test_only_answers_to_probes_count_while_it_is_half_open() -> None:
    clock, (one,) = engines(1)
    one.note_answers([(1, Event.FAILURE)])
    clock.advance(60)
    assert one.grant(10, Side.BUY, follower_id=1) and one.grant(11, Side.BUY, follower_id=2)
    one.note_answers([(2, Event.FAILURE), (3, Event.SUCCESS), (4, Event.SUCCESS), (10, Event.SUCCESS)])
    assert one.state(Kind.FAILURE_RATE) is State.HALF_OPEN
    one.note_answers([(11, Event.SUCCESS)])

    assert one.state(Kind.FAILURE_RATE) is State.CLOSED


async def test_probes_that_are_never_answered_are_granted_anew() -> None:
    clock, (one,) = engines(1)
    one.note_answers([(1, Event.FAILURE)])
    clock.advance(60)
    assert one.grant(10, Side.BUY, follower_id=1)
    for _ in ("the probe is silent", "the wait is over"):
        clock.advance(60)
        await one.run_once()

    assert [one.grant(trade, Side.BUY, follower_id=1) for trade in (11, 12, 13)] == [True, True, False]
