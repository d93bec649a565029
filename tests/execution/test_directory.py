"""Markets are asked for once, however many wait, and every kind of market is found."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from execution.directory import DirectoryDoors, DirectorySettings, MarketDirectory
from execution.gamma_client import GammaClient
from execution.models import Market
from execution.position_ids import condition_of_position, is_position_id
from ledger.clock import Clock
from ledger.system import SystemClock
from tests.doors import InlineDatabase, VirtualClock, outside_loop
from tests.execution.gamma_server import GammaDouble, gamma_market

pytestmark = pytest.mark.django_db

RAIN, SNOW = "0x" + "c1" * 32, "0x" + "c3" * 32
RAIN_YES, SNOW_YES = 2**200 + 1, 2**201 + 1
POSITION = (1 << 248) | (0xABCDEF << 120) | (2 << 104) | (1 << 8)
POSITION_CONDITION = condition_of_position(POSITION)


@dataclass(slots=True)
class Bench:
    double: GammaDouble
    client: GammaClient
    clock: VirtualClock
    directory: MarketDirectory

    def another(self, *, clock: Clock | None = None, **settings: float) -> MarketDirectory:
        """A directory of a process that was started later."""
        doors = DirectoryDoors(client=self.client, database=InlineDatabase(), clock=clock or self.clock)
        return MarketDirectory(doors, DirectorySettings(**settings))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock, double = VirtualClock(), GammaDouble()
    double.markets = [gamma_market(RAIN, RAIN_YES), gamma_market(SNOW, SNOW_YES)]
    async with double.serving(clock) as client:
        doors = DirectoryDoors(client=client, database=InlineDatabase(), clock=clock)
        found = Bench(double, client, clock, MarketDirectory(doors))
        yield found
        await found.directory.close()


def row(condition: str) -> Market:
    return outside_loop(Market.objects.get, condition_id=condition)


async def test_an_unknown_market_is_fetched_once_however_many_wait(bench: Bench) -> None:
    found = await asyncio.gather(*(bench.directory.market(RAIN) for _ in range(50)))
    assert {each.first_token_id for each in found if each is not None} == {RAIN_YES}
    assert None not in found
    assert bench.double.questions("condition_ids") == [[RAIN]]
    assert row(RAIN).loaded_at is not None


async def test_those_who_wait_together_share_one_question(bench: Bench) -> None:
    await asyncio.gather(bench.directory.market(RAIN), bench.directory.market(SNOW))
    assert bench.double.questions("condition_ids") == [[RAIN, SNOW]]


async def test_a_token_leads_to_its_condition(bench: Bench) -> None:
    assert await bench.directory.condition_of(RAIN_YES + 1) == RAIN
    assert await bench.directory.condition_of(RAIN_YES) == RAIN
    assert len(bench.double.asked) == 1


async def test_a_token_met_in_a_trade_needs_no_question(bench: Bench) -> None:
    outside_loop(Market.objects.create, condition_id=RAIN, first_token_id=RAIN_YES)
    assert await bench.directory.condition_of(RAIN_YES) == RAIN
    assert bench.double.asked == []


async def test_a_position_of_protocol_v2_names_its_condition_itself(bench: Bench) -> None:
    assert await bench.directory.condition_of(POSITION) == POSITION_CONDITION
    assert f"0x{POSITION >> 8:062x}00" == POSITION_CONDITION
    assert bench.double.asked == []


@pytest.mark.parametrize("token", [0, RAIN_YES, POSITION | 1 << 50, (4 << 248) | 1, POSITION | 1 << 256])
def test_other_tokens_are_no_positions(token: int) -> None:
    assert not is_position_id(token)
    with pytest.raises(ValueError, match="no position id"):
        condition_of_position(token)


async def test_a_market_of_protocol_v2_is_found_with_its_positions(bench: Bench) -> None:
    bench.double.markets.append(gamma_market(POSITION_CONDITION, POSITION, version="v2"))
    found = await bench.directory.market(POSITION_CONDITION)
    assert found is not None
    assert (found.terms.version, found.first_token_id) == ("v2", POSITION)


async def test_a_closed_market_is_found(bench: Bench) -> None:
    bench.double.markets = [gamma_market(RAIN, RAIN_YES, closed=True)]
    found = await bench.directory.market(RAIN)
    assert found is not None
    assert found.terms.closed


async def test_what_gamma_does_not_know_the_clob_may(bench: Bench) -> None:
    condition = "0x" + "c5" * 32
    tokens = [{"t": "71", "o": "Yes"}, {"t": "72", "o": "No"}]
    fee = {"r": 0.05, "e": 1, "to": True}
    bench.double.terms[condition] = {"t": tokens, "mts": 0.001, "mos": 5, "nr": True, "fd": fee, "v": "v1"}
    found = await bench.directory.market(condition)
    assert found is not None
    assert (found.terms.tick_micros, found.terms.neg_risk, found.terms.fee.rate_bps) == (1_000, True, 500)
    assert (found.first_token_id, found.second_token_id) == (71, 72)


CLOB_TERMS = {"mts": 0.001, "mos": 5, "nr": True, "fd": {"r": 0.05, "e": 1, "to": True}, "v": "v1"}


def gamma_with(**fields: Any) -> dict[str, Any]:
    """The market of rain, as Gamma answers with it to a question for version 1."""
    return {**gamma_market(RAIN, RAIN_YES), **fields}


async def test_what_gamma_leaves_out_the_clob_may_say(bench: Bench) -> None:
    bench.double.markets = [gamma_with(negRisk=None, orderPriceMinTickSize=None, feesEnabled=True)]
    bench.double.terms[RAIN] = CLOB_TERMS
    found = await bench.directory.market(RAIN)
    assert found is not None
    assert (found.terms.neg_risk, found.terms.tick_micros, found.terms.fee.rate_bps) == (True, 1_000, 500)
    assert (found.terms.unsaid, found.about.title) == ((), f"Question {RAIN_YES}?")


async def test_a_fee_that_gamma_withholds_of_a_market_that_ended_the_clob_may_say(bench: Bench) -> None:
    """What was filled before the end is booked with it."""
    bench.double.markets = [gamma_with(closed=True, feesEnabled=True)]
    bench.double.terms[RAIN] = CLOB_TERMS
    await bench.directory.market(RAIN)
    assert (row(RAIN).closed, row(RAIN).fee_rate_bps) == (True, 500)


async def test_while_gamma_is_down_the_clob_says_what_an_order_needs(bench: Bench) -> None:
    bench.double.faults += [503] * 3
    bench.double.terms[RAIN] = CLOB_TERMS
    found = await bench.directory.market(RAIN)
    assert found is not None
    assert (found.terms.unsaid, found.terms.tick_micros, found.about.title) == ((), 1_000, "")


async def test_what_nobody_says_is_unsaid_and_asked_for_again_before_it_is_old(bench: Bench) -> None:
    bench.double.markets = [gamma_with(feesEnabled=None)]
    found = await bench.directory.market(RAIN)
    assert found is not None
    assert found.terms.unsaid == ("fee",)
    another = await bench.another().market(RAIN)
    assert another is not None
    bench.double.terms[RAIN] = CLOB_TERMS
    bench.clock.advance(31)
    await bench.directory.market(RAIN)
    await bench.directory.settled()
    assert (row(RAIN).fee_rate_bps, row(RAIN).tick_micros) == (500, 10_000)


async def test_a_version_that_the_clob_names_and_nobody_knows_is_no_version_1(bench: Bench) -> None:
    condition = "0x" + "c5" * 32
    outside_loop(Market.objects.create, condition_id=condition, version="v1")
    bench.double.terms[condition] = {**CLOB_TERMS, "v": "v3"}
    found = await bench.directory.market(condition)
    assert found is not None
    assert found.terms.version == row(condition).version == "v3"


async def test_a_version_that_the_clob_does_not_name_is_unsaid(bench: Bench) -> None:
    condition = "0x" + "c5" * 32
    bench.double.terms[condition] = {**CLOB_TERMS, "v": None}
    found = await bench.directory.market(condition)
    assert found is not None
    assert (found.terms.unsaid, row(condition).version) == (("version",), "")


async def test_what_nobody_knows_is_remembered_for_a_while_only(bench: Bench) -> None:
    condition = "0x" + "c7" * 32
    assert await bench.directory.market(condition) is None
    questions = len(bench.double.asked)
    assert await bench.directory.market(condition) is None
    assert len(bench.double.asked) == questions
    bench.double.markets.append(gamma_market(condition, 81))
    bench.clock.advance(31)
    assert await bench.directory.market(condition) is not None


async def test_an_error_is_no_answer_and_is_asked_again(bench: Bench) -> None:
    bench.double.faults += [503] * 3
    assert await bench.directory.market(RAIN) is None
    assert await bench.directory.market(RAIN) is not None


async def test_one_id_that_is_refused_does_not_hide_the_others(bench: Bench) -> None:
    bench.double.refused = {SNOW}
    rain, snow = await asyncio.gather(bench.directory.market(RAIN), bench.directory.market(SNOW))
    assert rain is not None
    assert snow is None


async def test_another_process_reads_the_row_and_asks_nobody(bench: Bench) -> None:
    await bench.directory.market(RAIN)
    assert await bench.another().market(RAIN) is not None
    assert len(bench.double.asked) == 1


async def test_a_row_met_in_a_trade_is_loaded_before_it_is_ready(bench: Bench) -> None:
    outside_loop(Market.objects.create, condition_id=RAIN)
    directory = bench.another(clock=SystemClock(), patience_s=10)
    await directory.ready([RAIN])
    assert row(RAIN).loaded_at is not None
    await directory.ready([RAIN])
    assert len(bench.double.asked) == 1


async def test_nobody_waits_long_for_a_venue_that_is_silent(bench: Bench) -> None:
    silence = bench.double.silence = asyncio.Event()
    directory = bench.another(clock=SystemClock(), patience_s=0.05)
    await directory.ready([RAIN])
    assert directory.remembered == ()
    silence.set()
    await directory.settled()
    assert directory.remembered == (RAIN,)


async def test_an_old_description_is_served_and_renewed_behind_it(bench: Bench) -> None:
    await bench.directory.market(RAIN)
    bench.double.markets[0]["orderPriceMinTickSize"] = "0.001"
    bench.clock.advance(301)
    served = await bench.directory.market(RAIN)
    await bench.directory.settled()
    renewed = await bench.directory.market(RAIN)
    assert served is not None
    assert renewed is not None
    assert (served.terms.tick_micros, renewed.terms.tick_micros) == (10_000, 1_000)


async def test_a_tick_that_changed_is_read_again_from_the_clob(bench: Bench) -> None:
    await bench.directory.market(RAIN)
    bench.double.terms[RAIN] = {"mts": 0.001, "mos": 5}
    await bench.directory.tick_changed(RAIN)
    found = await bench.directory.market(RAIN)
    assert found is not None
    assert found.terms.tick_micros == row(RAIN).tick_micros == 1_000
    assert row(RAIN).first_token_id == RAIN_YES


async def test_a_change_that_cannot_be_read_makes_the_market_unread(bench: Bench) -> None:
    await bench.directory.market(RAIN)
    await bench.directory.tick_changed(RAIN)
    assert row(RAIN).loaded_at is None
    assert len(bench.double.questions("condition_ids")) == 1
    await bench.directory.market(RAIN)
    assert len(bench.double.questions("condition_ids")) == 2


async def test_the_memory_is_bounded_by_number_and_by_age(bench: Bench) -> None:
    small = bench.another(markets_max=1)
    await small.market(RAIN)
    await small.market(SNOW)
    assert small.remembered == (SNOW,)
    bench.clock.advance(4_000)
    await bench.directory.market(RAIN)
    bench.clock.advance(4_000)
    await bench.directory.market(SNOW)
    assert bench.directory.remembered == (SNOW,)


async def test_what_is_prefetched_is_there_when_it_is_needed(bench: Bench) -> None:
    bench.directory.prefetch([RAIN, SNOW])
    await bench.directory.settled()
    assert bench.directory.remembered == (RAIN, SNOW)


async def test_who_stops_waiting_takes_nobody_along(bench: Bench) -> None:
    impatient = asyncio.create_task(bench.directory.market(RAIN))
    patient = asyncio.create_task(bench.directory.market(RAIN))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient is not None
