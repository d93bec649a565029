"""What leaders hold is read where it can be told, kept by what is heard, and never divided by where it cannot."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from copytrading.leader_positions import LeaderPositions, PositionDoors
from copytrading.models import CopyConfig, LeaderPosition, Signal
from copytrading.operations.people import save_config
from copytrading.sources.leaders import HeardLeaders
from execution.data_api import DataApi
from ledger.units import ONE
from tests.doors import InlineDatabase
from tests.sources.data_api import DataApiDouble, position, refusing, trade
from tests.world import CONDITION, LENA, OTHER_TOKEN, TOKEN, World, notes

pytestmark = pytest.mark.django_db

ELSEWHERE = "0x" + "c1" * 32


class KnownMarkets:
    """Markets that have their rows already."""

    async def load(self, condition_ids: Iterable[str]) -> None: ...

    def prefetch(self, condition_ids: Iterable[str]) -> None: ...


@dataclass(slots=True)
class Reader:
    """Lena's positions as the venue shows them, and a service that reads them in the world's time."""

    world: World
    double: DataApiDouble

    def shows(self, *rows: dict[str, Any]) -> None:
        self.double.positions = list(rows)

    def did(self, seconds_ago: int, **more: Any) -> None:
        self.double.rows.append(trade(LENA, self.now_s() - seconds_ago, condition_id=CONDITION, **more))

    def read(self) -> int:
        return self.world.run(self._read)

    def now_s(self) -> int:
        return int(self.world.clock.now().timestamp())

    async def _read(self) -> int:
        leaders = HeardLeaders()
        leaders.replace({LENA: self.world.clock.now()})
        async with self.double.serving(self.world.clock) as api:
            return await self._service(api, leaders).run_once()

    def _service(self, api: DataApi, leaders: HeardLeaders) -> LeaderPositions:
        doors = PositionDoors(
            api=api, database=InlineDatabase(), clock=self.world.clock, leaders=leaders, markets=KnownMarkets()
        )
        return LeaderPositions(doors)

    def complete(self) -> bool:
        self.world.lena.refresh_from_db()
        return self.world.lena.holdings_complete


@pytest.fixture
def reader(world: World) -> Iterator[Reader]:
    yield Reader(world, DataApiDouble())


def lena_position(token: int, size: str, **more: Any) -> dict[str, Any]:
    return position(LENA, token, size, condition=CONDITION, **more)


def test_a_reading_makes_same_percent_sells_right(reader: Reader, world: World) -> None:
    fay = world.follower()
    world.hold(fay, 200)
    reader.shows(lena_position(TOKEN, "2000"))
    assert reader.read() == 1
    world.clock.advance(60)
    (sold,) = world.copy(world.row("500", side="SELL"))
    assert (sold.size_micros, notes(sold)) == (50 * ONE, [])


def test_without_a_reading_the_sell_is_noted_as_unsure(reader: Reader, world: World) -> None:
    fay = world.follower()
    world.hold(fay, 200)
    reader.double.always = refusing(503)
    assert reader.read() == 0
    (sold,) = world.copy(world.row("500", side="SELL"))
    assert notes(sold) == ["LEADER_POSITION_UNKNOWN"]


def test_dust_and_every_page_are_read_and_a_missing_token_is_nothing(reader: Reader, world: World) -> None:
    world.lena_holds(7, OTHER_TOKEN)
    reader.double.page_max = 2
    reader.shows(*(lena_position(TOKEN + 10 * number, "0.01") for number in range(5)))
    reader.read()
    assert [world.lena_known_holding(TOKEN + 10 * number) for number in range(5)] == [10_000] * 5
    assert world.lena_known_holding(OTHER_TOKEN) == 0
    assert reader.complete()
    assert {query["filter_amount"] for query in reader.double.queries("positions")} == {"0"}


def test_a_token_that_moved_about_the_reading_is_left_alone_and_the_others_are_known(
    reader: Reader, world: World
) -> None:
    reader.did(30)
    reader.shows(lena_position(TOKEN, "2000"), lena_position(OTHER_TOKEN, "10"))
    reader.read()
    assert (world.lena_known_holding(TOKEN), world.lena_known_holding(OTHER_TOKEN)) == (None, 10 * ONE)
    assert reader.complete()
    assert LeaderPosition.objects.filter(token_id=TOKEN, known=False).exists()


def test_what_a_source_has_recorded_about_the_reading_counts_too(reader: Reader, world: World) -> None:
    world.show(world.row("500"))
    reader.shows(lena_position(TOKEN, "2000"))
    reader.read()
    assert world.lena_known_holding() is None


def test_an_action_heard_after_the_reading_moves_what_was_read(reader: Reader, world: World) -> None:
    reader.shows(lena_position(TOKEN, "2000"))
    reader.read()
    world.clock.advance(60)
    world.show(world.row("500"))
    assert world.lena_known_holding() == 2_500 * ONE


def test_an_older_action_heard_late_is_in_the_reading_already(reader: Reader, world: World) -> None:
    reader.shows(lena_position(TOKEN, "2000"))
    reader.read()
    world.show(world.row("500", timestamp=reader.now_s() - 600))
    assert world.lena_known_holding() == 2_000 * ONE


def test_an_action_too_near_to_the_reading_unlearns_the_token(reader: Reader, world: World) -> None:
    reader.shows(lena_position(TOKEN, "2000"))
    reader.read()
    world.show(world.row("500", timestamp=reader.now_s() - 40))
    assert world.lena_known_holding() is None


def test_a_wrong_holding_is_corrected_by_the_next_reading(reader: Reader, world: World) -> None:
    world.lena_holds(1_500)
    reader.shows(lena_position(TOKEN, "2000"))
    reader.read()
    assert world.lena_known_holding() == 2_000 * ONE


def test_a_conversion_unlearns_everything_until_it_is_read_again(reader: Reader, world: World) -> None:
    reader.shows(lena_position(TOKEN, "2000"))
    reader.read()
    world.clock.advance(600)
    world.show(world.row("5", type="CONVERSION", asset="", side="", price=0, conditionId=ELSEWHERE))
    assert (world.lena_known_holding(), reader.complete()) == (None, False)
    assert reader.read() == 1
    assert world.lena_known_holding() is None
    world.clock.advance(600)
    reader.read()
    assert (world.lena_known_holding(), reader.complete()) == (2_000 * ONE, True)


def test_pages_that_repeat_prove_nothing_about_what_they_lack(reader: Reader, world: World) -> None:
    world.lena_holds(7, OTHER_TOKEN)
    reader.double.page_max = 1
    reader.shows(lena_position(TOKEN, "2000"), lena_position(OTHER_TOKEN, "9"))
    first: dict[str, Any] = {}
    reader.double.faults += [lambda _request, page: first.setdefault("page", page)] * 4
    reader.read()
    assert (world.lena_known_holding(), world.lena_known_holding(OTHER_TOKEN)) == (2_000 * ONE, 7 * ONE)
    assert not reader.complete()


def test_two_sizes_of_one_token_are_not_believed(reader: Reader, world: World) -> None:
    reader.shows(lena_position(TOKEN, "2000"), lena_position(TOKEN, "1900", status="MERGEABLE"))
    reader.read()
    assert (world.lena_known_holding(), reader.complete()) == (None, False)


def test_a_row_that_cannot_be_read_makes_nothing_complete(reader: Reader, world: World) -> None:
    reader.shows(lena_position(TOKEN, "2000"), {**lena_position(OTHER_TOKEN, "1"), "token_id": "nonsense"})
    reader.read()
    assert (world.lena_known_holding(), reader.complete()) == (2_000 * ONE, False)


def test_standing_positions_are_bought_once_when_a_follow_begins(reader: Reader, world: World) -> None:
    world.follower(open_standing=True)
    reader.shows(lena_position(TOKEN, "400"))
    reader.read()
    world.clock.advance(1_000)
    reader.read()
    (signal,) = Signal.objects.all()
    assert (signal.side, signal.size_micros, signal.source) == ("BUY", 400 * ONE, "standing")
    world.run(lambda: world.engine.stores.queue.add([str(signal.pk)]))
    world.settle()
    assert [trade.size_micros for trade in world.trades()] == [40 * ONE]


def test_only_the_follower_who_asked_opens_them(reader: Reader, world: World) -> None:
    world.follower(open_standing=True)
    world.follower("Fred")
    reader.shows(lena_position(TOKEN, "400"))
    reader.read()
    (config,) = CopyConfig.objects.filter(open_standing=True)
    assert [signal.only_config_id for signal in Signal.objects.all()] == [config.pk]


def test_a_follow_that_had_begun_opens_nothing_when_the_option_is_turned_on(reader: Reader, world: World) -> None:
    world.follower()
    config = CopyConfig.objects.get()
    config.open_standing = True
    save_config(config, changed_by="olga")
    reader.shows(lena_position(TOKEN, "400"))
    reader.read()
    assert not Signal.objects.exists()


def test_a_follower_against_the_leader_opens_the_other_token(reader: Reader, world: World) -> None:
    world.follower(open_standing=True, direction="COUNTER")
    reader.shows(lena_position(TOKEN, "400", price="0.3"))
    reader.read()
    (signal,) = Signal.objects.all()
    assert (signal.token_id, signal.price_micros) == (OTHER_TOKEN, 700_000)


def test_it_reads_by_itself_and_again_after_a_while(reader: Reader, world: World) -> None:
    reader.shows(lena_position(TOKEN, "2000"))

    async def work() -> None:
        leaders, stop = HeardLeaders(), asyncio.Event()
        leaders.replace({LENA: world.clock.now()})
        async with reader.double.serving(world.clock) as api:
            running = asyncio.create_task(reader._service(api, leaders).run(stop))
            async with asyncio.timeout(20):
                while len(reader.double.queries("positions")) < 4:
                    await asyncio.wait([running], timeout=0.005)
            stop.set()
            await running

    began = world.clock.now()
    world.run(work)
    assert world.lena_known_holding() == 2_000 * ONE
    assert world.clock.now() - began > timedelta(minutes=15)
