"""Markets that the venue says are not what is remembered: read again, once however often it was said, and not lost."""

from collections.abc import Collection

import pytest
from django.db import OperationalError

from copytrading.stale_markets import TOKENS_MAX, StaleMarkets
from execution.clob.market_fees import StoredFees
from execution.directory import DirectoryDoors, MarketDirectory
from execution.fees import NO_FEE
from tests.doors import InlineDatabase, VirtualClock
from tests.execution.gamma_server import GammaDouble, gamma_market
from tests.factories import MarketFactory

RAIN, SNOW = "0x" + "c0" * 32, "0x" + "c1" * 32


class Directory:
    """Two markets of two tokens each; remembers which were read again, and may be without its database."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.loaded: list[str] = []
        self.down = False

    async def condition_of(self, token_id: int) -> str | None:
        if self.down:
            raise OperationalError("the connection is closed")
        return {1: RAIN, 2: RAIN, 3: SNOW, 4: SNOW}.get(token_id)

    async def tick_changed(self, condition_id: str) -> None:
        self.read.append(condition_id)

    async def load(self, condition_ids: Collection[str]) -> None:
        self.loaded += condition_ids


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def stale(directory: Directory) -> StaleMarkets:
    return StaleMarkets(directory, VirtualClock())


async def test_a_market_is_read_once_however_many_orders_met_the_refusal(
    stale: StaleMarkets, directory: Directory
) -> None:
    for token in (1, 2, 1, 3):
        stale.note(token)
    assert await stale.run_once() == 2
    assert sorted(directory.read) == [RAIN, SNOW]
    assert (await stale.run_once(), len(directory.read)) == (0, 2)


async def test_a_token_that_nobody_knows_is_let_go(stale: StaleMarkets, directory: Directory) -> None:
    stale.note(99)
    assert (await stale.run_once(), directory.read) == (0, [])


async def test_what_was_noted_waits_for_the_database(stale: StaleMarkets, directory: Directory) -> None:
    stale.note(1)
    directory.down = True
    assert await stale.run_once() == 0
    stale.note(3)
    directory.down = False
    assert await stale.run_once() == 2


async def test_a_market_of_which_something_is_missing_is_loaded_once(stale: StaleMarkets, directory: Directory) -> None:
    for token in (1, 2, 3, 99):
        stale.learn(token)
    stale.note(4)
    assert (await stale.run_once(), directory.read, directory.loaded) == (2, [SNOW], [RAIN])
    assert (await stale.run_once(), directory.loaded) == (0, [RAIN])


async def test_what_is_missing_waits_for_the_database(stale: StaleMarkets, directory: Directory) -> None:
    stale.learn(1)
    directory.down = True
    assert await stale.run_once() == 0
    directory.down = False
    assert (await stale.run_once(), directory.loaded) == (1, [RAIN])


@pytest.mark.django_db
async def test_the_fee_that_a_fill_waits_for_is_asked_of_the_venue() -> None:
    clock, double, database = VirtualClock(), GammaDouble(), InlineDatabase()
    double.markets = [gamma_market(RAIN, 7)]
    await database.run(MarketFactory, condition_id=RAIN, first_token_id=7, second_token_id=8, fee_rate_bps=None)
    async with double.serving(clock) as client:
        markets = MarketDirectory(DirectoryDoors(client=client, database=database, clock=clock))
        stale = StaleMarkets(markets, clock)
        fees = StoredFees(database, clock, learn=stale.learn)
        assert await fees.fee_terms(7) is None
        await stale.run_once()
        assert await fees.fee_terms(7) == NO_FEE
        await markets.close()


async def test_no_more_wait_than_the_bound(stale: StaleMarkets, directory: Directory) -> None:
    for token in range(100, 100 + TOKENS_MAX):
        stale.note(token)
    stale.note(1)
    assert (await stale.run_once(), directory.read) == (0, [])
