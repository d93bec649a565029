"""Stops and exits in trouble: sold elsewhere, switched off, started again late, bought at the last moment."""

import asyncio
from typing import Any

import pytest

from copytrading.models import CopyConfig, Signal, SignalGroup, Standing
from copytrading.operations.exits import EXIT_ATTEMPTS_MAX, EXIT_TRIES_MAX
from copytrading.operations.stops import start_again
from execution.books import Book, BookShape
from execution.models import Position
from execution.quotes import AroundLeader
from guardrails.models import GuardrailEvent
from ledger.units import ONE, Micros
from tests.test_examples_of_stops import bought, held, look, price_moves
from tests.world import World

pytestmark = pytest.mark.django_db

LOSS = {"stop_loss_micros": 10 * ONE}
LOSS_AND_EXIT = {**LOSS, "on_stop": "EXIT"}


def start(world: World) -> None:
    assert start_again([CopyConfig.objects.get().pk]) == 1
    world.clock.advance(2)


def test_what_was_lost_while_it_was_stopped_does_not_count_when_it_is_started_again(world: World) -> None:
    bought(world, **LOSS)
    for price in ("0.40", "0.28"):
        price_moves(world, price)
        look(world)
    start(world)
    assert look(world) == 0


def test_what_was_won_back_while_it_was_stopped_may_not_be_lost_again(world: World) -> None:
    bought(world, **LOSS)
    for price in ("0.40", "0.50"):
        price_moves(world, price)
        look(world)
    start(world)
    look(world)
    price_moves(world, "0.38")
    assert look(world) == 1


def test_a_stopped_config_is_still_measured_and_stopped_once(world: World) -> None:
    bought(world, **LOSS)
    for price in ("0.40", "0.30"):
        price_moves(world, price)
        look(world)
    assert Standing.objects.get().profit_micros == -20 * ONE
    assert GuardrailEvent.objects.filter(reason="STOP_LOSS").count() == 1


def test_shares_that_another_leaders_sell_sold_are_not_left(world: World) -> None:
    bought(world, **LOSS_AND_EXIT)
    Position.objects.update(size_micros=0, cost_micros=0)
    price_moves(world, "0.40")
    look(world)
    assert not Signal.objects.filter(only_config__isnull=False).exists()
    world.clock.advance(24 * 3600 + 1)
    look(world)
    assert not Standing.objects.get().exiting


def test_an_exit_of_a_config_that_was_switched_off_is_given_up(world: World) -> None:
    bought(world, **LOSS_AND_EXIT)
    price_moves(world, "0.40")
    world.run(world.engine.stopper.run_once)
    Signal.objects.filter(only_config__isnull=False).update(done_at=world.clock.now())
    CopyConfig.objects.update(active=False)
    world.clock.advance(10)
    look(world)
    assert not Standing.objects.get().exiting
    assert GuardrailEvent.objects.get(reason="EXIT_GIVEN_UP").value == 100 * ONE


def test_an_exit_is_not_tried_more_often_than_its_columns_hold(world: World) -> None:
    bought(world, **LOSS_AND_EXIT)
    price_moves(world, "0.40")
    look(world)
    Position.objects.update(size_micros=100 * ONE)
    Standing.objects.update(exit_attempts=EXIT_TRIES_MAX)
    SignalGroup.objects.filter(kind="EXIT").update(parts=32_767)
    CopyConfig.objects.get().copied.update(size_micros=100 * ONE)
    world.clock.advance(301)
    look(world)
    assert not Standing.objects.get().exiting


def test_what_is_bought_at_the_last_moment_is_sold_too(world: World) -> None:
    """The stop is reached with nothing held, and a buy passes on a config that was read just before."""
    world.lena_holds(0)
    bought(world, **LOSS_AND_EXIT)
    price_moves(world, "0.40")
    world.copy(world.row("1000", "0.40", tx=2, side="SELL"))
    assert (held(), look(world)) == (0, 1)
    Standing.objects.update(stopped_at=None, stopped_reason="", exiting=False)  # as the cached config says
    world.clock.advance(2)
    stopped = {"stopped_at": world.clock.now(), "stopped_reason": "STOP_LOSS", "exiting": True}
    world.copy(world.row("1000", "0.40", tx=3))
    Standing.objects.update(**stopped)
    assert held() == 100
    world.clock.advance(400)
    look(world)
    assert held() == 0


class MadeBooks(AroundLeader):
    """Books around leaders' prices, in a world that also likes to put its own."""

    def put(self, _book: Book) -> None:
        """The world's own books are not wanted here."""


def test_a_newer_trade_counts_before_an_older_book(make_world: Any) -> None:
    shape = BookShape(spread_bps=0, depth_micros=Micros(10**12), levels=3)
    books = MadeBooks(None, lambda _token: Micros(10_000), shape=shape)  # type: ignore[arg-type]
    world = make_world(quotes=books)
    books._clock = world.clock
    world.follower(sides="BUY", **LOSS)
    world.copy(world.row("1000", "0.50"))
    assert look(world) == 0
    world.clock.advance(6 * 3600)
    world.copy(world.row("500", "0.20", tx=2, side="SELL"))  # nobody asks for a book
    world.clock.advance(2)
    assert look(world) == 1


def test_a_signal_of_many_batches_is_tried_once_and_not_buried(make_world: Any, settings: Any) -> None:
    settings.COPY_TRADING_BATCH_COPIES = 2
    world = make_world()
    for number in range(12):
        world.follower(f"Fay {number}")
    world.show(world.row("1000", "0.50"))
    world.clock.advance(6)
    world.run(lambda: _until_stopped(world, _StopAfter(4)))
    assert 0 < len(world.trades()) < 12
    world.start()
    world.clock.advance(60)
    world.run(world.engine.sweeper.run_once)
    world.settle()
    assert (len(world.trades()), Signal.objects.get().dropped_reason) == (12, "")


class _StopAfter:
    """A stop that comes after so many looks at it."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def is_set(self) -> bool:
        """True from then on."""
        self._left -= 1
        return self._left < 0


async def _until_stopped(world: World, stop: Any) -> None:
    engine = world.engine
    working = asyncio.create_task(engine.pipeline.run_once(stop))
    while not working.done() or engine.sender.in_flight:
        await asyncio.sleep(0)
        await engine.writer.run_once()
    await working


def test_the_tries_of_an_exit_are_bounded_by_less_than_a_column_holds() -> None:
    assert EXIT_ATTEMPTS_MAX < EXIT_TRIES_MAX < 32_767
