"""One account's order that the venue does not take yet: what is behind it, and what everybody else does meanwhile."""

import asyncio
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

import tests.world
from copytrading.models import CopyConfig
from copytrading.operations.cast import seed_leaders
from copytrading.outgoing import Outgoing
from copytrading.signals import parse_row
from execution.books import Book, Level
from execution.clob.rates import OrderRates, RateSettings
from execution.models import Market, Position
from execution.orders import OrderPlan
from execution.ports import HoldUp, NotTaken, Resting
from ledger.system import SeededRandomness
from ledger.units import ONE, Micros
from tests.doors import BEGINNING
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.world import SAID, notes, reasons

pytestmark = pytest.mark.django_db

OTTO = "0x" + "2f" * 20
ELSEWHERE, ITS_TOKEN = "0x" + "d1" * 32, 9001


class RealClock:
    """The machine's own, from the usual beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=time.monotonic() - self._began)

    def monotonic_ms(self) -> float:
        return (time.monotonic() - self._began) * 1_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LimitedWorld(ExchangeWorld):
    """The limits are counted as in a real engine: four orders at once for everybody, then 3.6 a second."""

    def start(self) -> None:
        self.rates = OrderRates(self.clock, SeededRandomness(1), settings=RateSettings(short=50))  # type: ignore[assignment]
        super().start()


def other_market(world: ExchangeWorld) -> dict[str, str]:
    """A second market, as rows of actions name it."""
    Market.objects.create(condition_id=ELSEWHERE, first_token_id=ITS_TOKEN, second_token_id=ITS_TOKEN + 1, **SAID)
    level = (Level(Micros(500_000), Micros(10**6 * ONE)),)
    world.books.put(Book(token_id=ITS_TOKEN, bids=level, asks=level, version="b"))
    return {"asset": str(ITS_TOKEN), "conditionId": ELSEWHERE}


def hold_up_first(world: ExchangeWorld, seconds: float) -> list[tuple[int, str]]:
    """The venue does not take the first order for so long, and takes all others; who asked it, in order."""
    asked: list[tuple[int, str]] = []

    async def submit(plan: OrderPlan, signature: bytes, *, follower_id: int) -> Any:
        asked.append((follower_id, plan.side.value))
        if len(asked) == 1:
            return NotTaken(why=HoldUp.RATE_LIMITED, wait_s=seconds, detail="429: this signer's orders are used up")
        return Resting(matched=True, matched_micros=plan.size_micros, final=True)

    world.exchange.submit = submit  # type: ignore[method-assign]
    return asked


def test_an_order_behind_one_that_waits_in_its_lane_is_sent_after_it(exchange: ExchangeWorld) -> None:
    fay = exchange.follower()
    elsewhere = other_market(exchange)
    held = {"size_micros": 200 * ONE, "cost_micros": 100 * ONE}
    Position.objects.create(follower=fay, token_id=ITS_TOKEN, condition_id=ELSEWHERE, **held)
    asked = hold_up_first(exchange, 3.0)
    exchange.show(exchange.row(tx=1), {**exchange.row(tx=3, side="SELL"), **elsewhere})
    exchange.settle()
    assert [side for _who, side in asked] == ["BUY", "BUY", "SELL"]
    assert statuses(exchange) == ["MATCHED", "MATCHED"]


def test_an_order_that_grew_old_behind_another_fails_for_what_held_it_up(exchange: ExchangeWorld) -> None:
    exchange.follower()
    elsewhere = other_market(exchange)
    asked = hold_up_first(exchange, 4.0)
    first_row = exchange.row(tx=1)
    older = first_row["timestamp"] - settings.COPY_TRADING_STALE_AFTER_S + 3
    exchange.show(first_row, {**exchange.row(tx=3), **elsewhere, "timestamp": older})
    exchange.settle()
    assert len(asked) == 2
    first, second = exchange.trades()
    assert (first.status, second.status, reasons(second)[0][0]) == ("MATCHED", "FAILED", "RATE_LIMITED")


def test_one_accounts_pause_holds_up_no_other_leaders_followers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.world, "VirtualClock", RealClock)
    world = ExchangeWorld()
    fay, bob = world.follower("Fay"), world.follower("Bob")
    (otto,) = seed_leaders({OTTO: "Otto"}, holdings_complete=False)
    CopyConfig.objects.filter(follower=bob).update(leader=otto)
    elsewhere = other_market(world)
    asked = hold_up_first(world, 2.0)

    async def offer(walk: str, row: dict[str, Any]) -> None:
        await world.engine.intake.offer(walk, [parse_row(row, source="data-api", place="row 1")], complete=True)

    async def scene() -> None:
        stop = asyncio.Event()
        working = [asyncio.create_task(each.run(stop)) for each in (world.engine.pipeline, world.engine.writer)]
        await offer("a", world.row(tx=1))
        await _until(lambda: bool(asked))
        # A sale in the market of the order that is held up, and somebody else's trade in another.
        await offer("b", world.row(tx=2, side="SELL", size="500"))
        await offer("c", {**world.row(tx=3), "proxyWallet": OTTO, **elsewhere})
        await _until(lambda: len(asked) == 3)
        stop.set()
        await asyncio.gather(*working)

    try:
        world.run(scene)
    finally:
        world.close()
    assert [who for who, _side in asked] == [fay.pk, bob.pk, fay.pk]


def test_a_batch_beyond_the_limit_waits_as_ready_and_is_sent_later() -> None:
    world = LimitedWorld()
    try:
        for name in ("Ann", "Bea", "Cat", "Dee", "Eve", "Fay"):
            world.follower(name)
        world.copy(world.row())
        assert Counter(statuses(world)) == {"MATCHED": 4, "READY": 2}
        waiting = [each for each in world.trades() if each.status == "READY"]
        assert [(notes(each), each.order_hash, each.reserved_micros) for each in waiting] == [
            (["RATE_LIMITED"], None, 0)
        ] * 2
        world.look(after=1)
        assert Counter(statuses(world)) == {"MATCHED": 6}
    finally:
        world.close()


def test_outgoing_orders_are_counted_once_by_follower() -> None:
    outgoing = Outgoing()
    outgoing.add(1, 7)
    outgoing.add(1, 7)
    outgoing.add(2, 7)
    outgoing.remove(3)
    assert (len(outgoing), outgoing.of(7), outgoing.of(8)) == (2, 2, 0)
    outgoing.remove(1)
    outgoing.remove(1)
    assert (len(outgoing), outgoing.of(7)) == (1, 1)


async def _until(condition: Any) -> None:
    for _look in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError
