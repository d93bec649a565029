"""No signer, no address and no moment of trouble ever sees more orders than it may."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from execution.clob.buckets import Bucket
from execution.clob.rates import GRANT_MAX, TIERS, OrderRates, RateSettings
from execution.ports import HoldUp
from guardrails.stores.base import CounterStore, StoreDown
from guardrails.stores.memory import memory_stores
from ledger.system import SeededRandomness
from tests.doors import VirtualClock

FAY, FRED = "0x" + "0f" * 20, "0x" + "0e" * 20


class CountedCounters:
    """`CounterStore` that counts the questions, and is down when told."""

    def __init__(self, clock: VirtualClock) -> None:
        self._real = memory_stores(clock, queue_max=1, reclaim_ms=1).counters
        self.questions, self.down = 0, False

    async def add(self, name: str, amount: int, window_ms: int) -> int:
        # Those about a signer are one for each order.
        self.questions += FAY not in name
        if self.down:
            raise StoreDown
        return await self._real.add(name, amount, window_ms)

    async def read(self, name: str) -> int:
        return await self._real.read(name)


class CacheThatMayBeDown:
    """`CacheStore` that is down when told."""

    def __init__(self, clock: VirtualClock) -> None:
        self._real, self.down = memory_stores(clock, queue_max=1, reclaim_ms=1).cache, False

    async def get(self, key: str) -> bytes | None:
        if self.down:
            raise StoreDown
        return await self._real.get(key)

    async def set(self, key: str, value: bytes, ttl_ms: int) -> None:
        await self._real.set(key, value, ttl_ms)


def sharing(clock: VirtualClock, counters: CountedCounters, cache: CacheThatMayBeDown) -> OrderRates:
    """One of three shards that share their limits and pauses."""
    return OrderRates(clock, SeededRandomness(1), settings=RateSettings(shards=3), counters=counters, cache=cache)


def rates(clock: VirtualClock, *, counters: CounterStore | None = None, **settings: int) -> OrderRates:
    return OrderRates(clock, SeededRandomness(1), settings=RateSettings(**settings), counters=counters)


async def posted(clock: VirtualClock, own: OrderRates, *, seconds: float, signers: int = 1) -> list[float]:
    """The moments at which orders went, everybody sending as fast as may be."""
    found = []
    number = 0
    while clock.monotonic_ms() < seconds * 1_000:
        wait_ms = await own.wait_ms(f"{FAY}{number % signers}")
        number += 1
        if wait_ms > 0:
            await clock.sleep(wait_ms / 1_000)
        else:
            found.append(clock.monotonic_ms() / 1_000)
    return found


def most_in(moments: list[float], window_s: float) -> int:
    return max(sum(begin <= each < begin + window_s for each in moments) for begin in sorted(set(moments)))


@pytest.mark.parametrize(("tier", "limits"), TIERS.items())
async def test_a_signer_has_the_burst_and_the_rate_of_its_tier(tier: str, limits: tuple[int, int]) -> None:
    clock = VirtualClock()
    own = rates(clock, short=1_000_000, long=100_000_000, share_percent=100)
    burst = 0
    while await own.wait_ms(FAY, tier) == 0:
        burst += 1
    assert burst == limits[1]
    assert own.peek_ms(FAY, tier) == pytest.approx(1_000 / limits[0])
    clock.advance(1)
    again = 0
    while await own.wait_ms(FAY, tier) == 0:
        again += 1
    assert limits[0] - 1 <= again <= limits[0]


async def test_a_look_counts_what_is_to_be_posted_before() -> None:
    clock = VirtualClock()
    own = rates(clock, short=1_000, long=100_000, share_percent=100)
    burst, rate = TIERS["STANDARD"][1], TIERS["STANDARD"][0]
    assert own.peek_ms(FAY, ahead=burst - 1, ahead_of_all=burst - 1) == 0
    assert own.peek_ms(FAY, ahead=burst + 1) == pytest.approx(2_000 / rate)
    assert own.peek_ms(FRED, ahead_of_all=99) == 0  # a tenth of what an address may post in ten seconds
    assert own.peek_ms(FRED, ahead_of_all=100) == pytest.approx(1_000 / 90)
    for _ in range(burst):
        assert await own.wait_ms(FAY) == 0
    assert own.peek_ms(FAY, ahead=1) == pytest.approx(2_000 / rate)


async def test_one_signer_that_waits_keeps_nobody_else() -> None:
    own = rates(VirtualClock())
    while await own.wait_ms(FAY) == 0:
        pass
    assert await own.wait_ms(FRED) == 0


async def test_an_address_keeps_to_its_share_in_ten_seconds_and_in_ten_minutes() -> None:
    clock = VirtualClock()
    moments = await posted(clock, rates(clock, short=500, long=3_000), seconds=700, signers=100)
    assert most_in(moments, 10) <= 400
    assert most_in(moments, 600) <= 2_400
    assert len(moments) > 2_400 * 0.95


async def test_without_a_store_shards_divide_the_limit() -> None:
    clock = VirtualClock()
    moments = await posted(clock, rates(clock, short=500, long=50_000, shards=4), seconds=25, signers=100)
    assert most_in(moments, 10) <= 100


async def test_shards_that_share_a_store_use_the_whole_limit_together() -> None:
    clock = VirtualClock()
    counters = CountedCounters(clock)
    shards = [rates(clock, counters=counters, short=2_000, long=60_000, shards=4) for _ in range(4)]
    found = await asyncio.gather(*(posted(clock, shard, seconds=25, signers=100) for shard in shards))
    together = sorted(each for own in found for each in own)
    assert most_in(together, 10) <= 2_000
    assert len(together) > 2_000
    assert counters.questions < len(together) / GRANT_MAX * 5


async def test_a_quiet_shard_takes_from_the_others_hardly_more_than_it_uses() -> None:
    clock = VirtualClock()
    counters = CountedCounters(clock)
    own = rates(clock, counters=counters)
    for _ in range(50):
        assert await own.wait_ms(FAY) == 0
        await clock.sleep(1.1)
    assert await counters.read("orders:long") <= 2 * 50


async def test_with_the_store_down_each_shard_keeps_to_its_part() -> None:
    clock = VirtualClock()
    counters = CountedCounters(clock)
    counters.down = True
    moments = await posted(
        clock, rates(clock, counters=counters, short=500, long=50_000, shards=4), seconds=25, signers=100
    )
    assert most_in(moments, 10) <= 100 + 40  # the first burst was taken of the whole, before the store was known down
    assert counters.questions <= 10


async def test_a_held_venue_takes_nothing_of_anybody_until_the_time_is_over() -> None:
    clock = VirtualClock()
    own = rates(clock)
    own.hold(7)
    own.hold(2)
    assert (own.held, await own.wait_ms(FAY), own.peek_ms(FRED)) == (True, 7_000, 7_000)
    clock.advance(7)
    assert (own.held, await own.wait_ms(FAY)) == (False, 0)


async def test_shards_that_share_a_store_share_a_pause_of_the_venue() -> None:
    clock = VirtualClock()
    counters, cache = CountedCounters(clock), CacheThatMayBeDown(clock)
    told, other, third = (sharing(clock, counters, cache) for _ in range(3))
    assert await other.wait_ms(FRED) == 0
    told.hold(3)
    await asyncio.sleep(0)
    third.hold(7)
    await asyncio.sleep(0)
    told.hold(4)  # a shorter one in the place of a longer one
    await asyncio.sleep(0)
    clock.advance(6)  # what was granted before is used up or over
    assert await other.wait_ms(FRED) > 0
    assert (told.held, other.held, other.why) == (False, True, HoldUp.UNAVAILABLE)
    await clock.sleep(2)
    assert (third.held, other.held) == (False, False)
    assert await other.wait_ms(FRED) == 0
    assert await other.wait_ms(FAY) > 0  # one tries first here too


async def test_a_pause_that_cannot_be_told_holds_here() -> None:
    clock = VirtualClock()
    counters, cache = CountedCounters(clock), CacheThatMayBeDown(clock)
    cache.down = True
    own = sharing(clock, counters, cache)
    own.hold(7)
    await asyncio.sleep(0)
    assert await own.wait_ms(FAY) == 7_000


async def test_a_held_signer_waits_alone() -> None:
    clock = VirtualClock()
    own = rates(clock)
    await own.wait_ms(FAY)
    own.hold_signer(FAY, 3)
    own.hold_signer("nobody", 3)
    assert (await own.wait_ms(FAY), await own.wait_ms(FRED)) == (3_000, 0)
    clock.advance(3)
    assert await own.wait_ms(FAY) == 0


async def test_the_venue_knows_better_what_remains() -> None:
    clock = VirtualClock()
    own = rates(clock)
    await own.wait_ms(FAY)
    assert not own.noted(FAY, {"poly-ratelimit-remaining": "1"})
    assert await own.wait_ms(FAY) == 0
    assert await own.wait_ms(FAY) > 0
    assert own.noted(FAY, {"poly-ratelimit-remaining": "0", "poly-ratelimit-reset": "2"})
    assert own.peek_ms(FAY) == pytest.approx(2_000)


async def test_the_venue_knows_better_which_tier_it_is() -> None:
    own = rates(VirtualClock(), share_percent=100)
    await own.wait_ms(FAY, "STANDARD")
    own.noted(FAY, {"poly-ratelimit-tier": "Gold"})
    taken = 0
    while await own.wait_ms(FAY, "STANDARD") == 0:
        taken += 1
    assert taken == 499  # the rest of what the address may post at once; the tier would take 600


async def test_a_warning_of_the_venue_is_counted() -> None:
    before = REGISTRY.get_sample_value("slipstream_clob_limit_warnings_total")
    rates(VirtualClock()).noted(FAY, {"poly-ratelimit-warning": "near"})
    assert REGISTRY.get_sample_value("slipstream_clob_limit_warnings_total") == before + 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"poly-ratelimit-remaining": "many"},
        {"poly-ratelimit-remaining": "-1"},
        {"poly-ratelimit-tier": "mythic"},
        {"poly-ratelimit-remaining": "9" * 40},
    ],
)
async def test_headers_that_cannot_be_read_change_nothing(headers: dict[str, str]) -> None:
    own = rates(VirtualClock())
    assert not own.noted(FAY, headers)
    assert await own.wait_ms(FAY) == 0


async def test_what_was_refused_by_the_store_is_given_back() -> None:
    clock = VirtualClock()
    counters = CountedCounters(clock)
    await counters.add("orders:short", 1_000_000, 1_000)
    own = rates(clock, counters=counters)
    for _ in range(100):
        assert await own.wait_ms(FAY) > 0
    clock.advance(1)
    assert [await own.wait_ms(FAY) for _ in range(48)] == [0] * 48


async def test_what_the_store_refuses_is_asked_for_once_and_uses_up_nothing_longer() -> None:
    clock = VirtualClock()
    counters = CountedCounters(clock)
    await counters.add("orders:short", 1_000_000, 1_000)
    own = rates(clock, counters=counters)
    before = counters.questions
    waits = [await own.wait_ms(f"{FAY}{number}") for number in range(100)]
    assert min(waits) > 0
    assert (counters.questions - before, await counters.read("orders:long")) == (1, 0)
    assert own.peek_ms(FRED) > 0  # whoever decides knows it before anything is written


async def test_orders_that_are_expected_find_their_grants_there() -> None:
    clock = VirtualClock()
    counters = CountedCounters(clock)
    own = rates(clock, counters=counters)
    own.expect()
    await asyncio.sleep(0)
    asked = counters.questions
    assert asked > 0
    own.expect()
    assert (await own.wait_ms(FAY), counters.questions) == (0, asked)


async def test_shards_that_share_a_store_share_a_signer() -> None:
    clock = VirtualClock()
    counters = CountedCounters(clock)
    shards = [rates(clock, counters=counters, shards=4) for _ in range(4)]
    found = await asyncio.gather(*(posted(clock, shard, seconds=20) for shard in shards))
    together = sorted(each for own in found for each in own)
    assert most_in(together, 10) <= 40 * 10 + 60
    assert len(together) > 20 * 32 * 0.6


async def test_after_a_pause_one_order_tries_first() -> None:
    clock = VirtualClock()
    own = rates(clock)
    own.hold(2)
    clock.advance(2)
    assert await own.wait_ms(FAY) == 0
    waits = [await own.wait_ms(f"{FRED}{number}") for number in range(50)]
    assert all(200 <= each <= 300 for each in waits) and len(set(waits)) > 1
    own.answered()
    assert await own.wait_ms(FRED) == 0


@pytest.mark.parametrize("ends", ["lost", "silent"])
async def test_an_order_that_tried_in_vain_leaves_it_to_the_next(ends: str) -> None:
    clock = VirtualClock()
    own = rates(clock)
    own.hold(2)
    clock.advance(2)
    assert await own.wait_ms(FAY) == 0
    if ends == "lost":
        own.answered(heard=False)
    else:
        clock.advance(5)
    assert await own.wait_ms(FAY) == 0
    assert await own.wait_ms(FRED) > 0


async def test_each_refusal_in_a_row_makes_the_pause_longer() -> None:
    clock = VirtualClock()
    own = rates(clock)
    pauses = []
    for _ in range(6):
        own.hold(1.5)
        own.hold(1.5)  # of an order that was under way with it
        pauses.append(own.peek_ms(FAY))
        clock.advance(pauses[-1] / 1_000)
    assert pauses == [1_500, 2_000, 4_000, 8_000, 8_000, 8_000]
    own.answered()
    own.hold(1.5)
    assert own.peek_ms(FAY) == 1_500


async def test_who_has_to_wait_is_told_why() -> None:
    clock = VirtualClock()
    own = rates(clock)
    assert own.why is HoldUp.RATE_LIMITED
    own.hold(2, HoldUp.UNAVAILABLE)
    assert own.why is HoldUp.UNAVAILABLE
    own.hold(3, HoldUp.RATE_LIMITED)
    assert own.why is HoldUp.RATE_LIMITED


def test_a_bucket_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Bucket(per_second=5, burst=0.5)
