"""Whoever is told of what became of orders is told once for each, however often the venue corrects itself."""

from collections.abc import Callable
from typing import Any

import pytest

from guardrails.circuits import Event
from guardrails.models import Breaker
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.tracking.trades import trade

pytestmark = pytest.mark.django_db

Make = Callable[..., ExchangeWorld]


@pytest.fixture
def losing(make_exchange: Make, settings: Any) -> ExchangeWorld:
    """Two losses in a row stop a follower; Fay has a hundred shares that cost her more than they bring."""
    settings.BREAKER_ACCOUNT_LOSSES_COUNT = 2
    world = make_exchange()
    world.hold(world.follower(), 100, cost="0.90")
    world.lena_holds(1_000)
    return world


def confirmed(world: ExchangeWorld, shares: int, *, name: str) -> None:
    row = world.trades()[-1]
    world.run(lambda: world.engine.rescue.fills.note([trade(row, shares, name=name)]))


def test_a_sale_that_is_booked_anew_with_more_is_one_loss(losing: ExchangeWorld) -> None:
    (row,) = losing.copy(losing.row("1000", side="SELL"))
    losing.exchange.show(row, trade(row, 60, name="t1"))
    losing.clock.advance(700)
    losing.rescue()
    assert statuses(losing) == ["EXECUTED"]
    confirmed(losing, 40, name="t2")
    (row,) = losing.trades()
    assert row.fill_size_micros == row.size_micros
    assert not Breaker.objects.filter(kind="CONSECUTIVE_LOSSES").exists()


def test_an_answer_is_told_once_and_what_follows_from_it_is_not_told_again(
    make_exchange: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_exchange()
    world.follower()
    told: list[Event] = []
    answers = world.engine.breakers.answers
    monkeypatch.setattr(answers, "note", lambda result: told.append(result.event))
    monkeypatch.setattr(answers, "note_good", lambda *_args, **_how: told.append(Event.SUCCESS))
    (row,) = world.copy(world.row())
    world.confirm(row, status="MATCHED")
    world.confirm(row)
    world.confirm(row)
    world.confirm(row, status="FAILED")
    assert (statuses(world), told) == (["FAILED"], [Event.SUCCESS])
