import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

import pytest

from copytrading.signals import (
    ACTIVITY_ORDERS_MATCHED,
    ACTIVITY_TRADES,
    DATA_API,
    ActionKind,
    GroupKey,
    LeaderAction,
    OtherAction,
    Unreadable,
    group_key,
)
from copytrading.sources.base import Reading
from copytrading.sources.files import parse_item
from copytrading.sources.generator import STREAM_WALK, Delivery, GeneratorSource, MarketGenerator
from ledger.system import SeededRandomness
from ledger.units import ONE, Side
from tests.copytrading.test_replay_source import RecordingSink
from tests.doors import BEGINNING, VirtualClock

HOURS = 1


@dataclass
class Hour:
    """What a seed delivered within the virtual time."""

    generator: MarketGenerator
    deliveries: list[Delivery] = field(default_factory=list)
    stream: list[LeaderAction] = field(default_factory=list)
    matched: list[LeaderAction] = field(default_factory=list)
    polls: list[list[Reading]] = field(default_factory=list)

    @property
    def groups(self) -> dict[GroupKey, list[LeaderAction]]:
        groups: dict[GroupKey, list[LeaderAction]] = defaultdict(list)
        for action in self.stream:
            groups[group_key(action)].append(action)
        return groups


@cache
def hour(seed: int) -> Hour:
    result = Hour(MarketGenerator(seed, SeededRandomness(seed)))
    now = BEGINNING
    while now < BEGINNING + timedelta(hours=HOURS):
        delivery = result.generator.next_delivery(now)
        now += timedelta(seconds=delivery.delay_seconds)
        result.deliveries.append(delivery)
        readings = [parse_item(item, place="item") for item in delivery.items]
        assert not any(isinstance(reading, Unreadable) for reading in readings), readings
        if delivery.walk != STREAM_WALK:
            result.polls.append(readings)
            continue
        for action in readings:
            assert isinstance(action, LeaderAction)
            (result.stream if action.source == ACTIVITY_TRADES else result.matched).append(action)
    return result


SEEDS = pytest.mark.parametrize("seed", [1, 2, 3])


def first_deliveries(seed: int, count: int = 300) -> list[Delivery]:
    generator, now, deliveries = MarketGenerator(seed, SeededRandomness(seed)), BEGINNING, []
    for _ in range(count):
        deliveries.append(generator.next_delivery(now))
        now += timedelta(seconds=deliveries[-1].delay_seconds)
    return deliveries


def test_the_same_seed_delivers_the_same_rows() -> None:
    assert first_deliveries(7) == first_deliveries(7)
    assert first_deliveries(7) != first_deliveries(8)


def test_a_second_start_meets_the_same_cast_but_new_transactions() -> None:
    first, second = (MarketGenerator(7, SeededRandomness(7)) for _ in range(2))
    assert (first.leaders(), first.markets()) == (second.leaders(), second.markets())
    began = (BEGINNING, BEGINNING + timedelta(hours=1))
    hashes = [streamed_hashes(generator, now) for generator, now in zip((first, second), began, strict=True)]
    assert hashes[0]
    assert hashes[0].isdisjoint(hashes[1])


def streamed_hashes(generator: MarketGenerator, now: datetime) -> set[str]:
    items = [item for _ in range(50) for item in generator.next_delivery(now).items if "payload" in item]
    actions = [parse_item(item, place="item") for item in items]
    return {action.tx_hash for action in actions if isinstance(action, LeaderAction)}


@SEEDS
def test_rates_and_bursts_are_those_of_the_recordings(seed: int) -> None:
    result = hour(seed)
    assert 2 < len(result.groups) / (3_600 * HOURS) < 5
    for leader in result.generator.leaders():
        mine = [action for action in result.stream if action.wallet == leader.wallet]
        by_second = Counter(action.traded_at for action in mine)
        sharing = sum(count for count in by_second.values() if count > 1) / len(mine)
        assert 0.04 < len(mine) / (3_600 * HOURS) < 1, leader.name
        assert max(by_second.values()) <= 14, leader.name
        assert 0.23 < sharing < 0.92, leader.name


@SEEDS
def test_groups_of_several_rows_and_identical_rows_have_their_shares(seed: int) -> None:
    groups = hour(seed).groups.values()
    several = sum(len(rows) > 1 for rows in groups) / len(groups)
    identical = sum(len(rows) - len({(r.size_micros, r.price_micros) for r in rows}) for rows in groups)
    assert 0.07 < several < 0.14
    assert 0.02 < identical / len(hour(seed).stream) < 0.045


@SEEDS
def test_prices_are_inside_and_mostly_on_cents_and_sizes_have_two_decimals(seed: int) -> None:
    stream = hour(seed).stream
    assert all(0 < action.price_micros < ONE for action in stream)
    assert 0.12 < sum(action.price_micros % 10_000 != 0 for action in stream) / len(stream) < 0.5
    assert 0.2 < sum(action.size_micros % 10_000 != 0 for action in stream) / len(stream) < 0.5


@SEEDS
def test_money_of_buys_follows_the_recorded_quantiles(seed: int) -> None:
    result = hour(seed)
    for leader in result.generator.leaders()[:6]:
        _, p25, p50, p75, p99, _ = leader.habits.dollars
        buys: dict[GroupKey, int] = defaultdict(int)
        for action in result.stream:
            if action.wallet == leader.wallet and action.side is Side.BUY:
                buys[group_key(action)] += action.size_micros * action.price_micros // 10**10
        cents = sorted(buys.values())
        assert p25 * 0.6 < cents[len(cents) // 4] < p50, leader.name
        assert p25 < cents[len(cents) // 2] < p75, leader.name
        assert p50 < cents[len(cents) * 3 // 4] < p99, leader.name


@SEEDS
def test_positions_turn_over(seed: int) -> None:
    result = hour(seed)
    sells = [action for action in result.stream if action.side is Side.SELL]
    assert 0.3 < len(sells) / len(result.stream) < 0.55
    held: Counter[tuple[str, int | None]] = Counter()
    oversold = 0
    for action in result.stream:
        place = (action.wallet, action.token_id)
        held[place] += action.size_micros if action.side is Side.BUY else -action.size_micros
        if held[place] < -ONE // 10:
            oversold += 1
            held[place] = 0
    assert 0 < oversold / len(sells) < 0.25  # also where the stream never showed the buy


@SEEDS
def test_taker_fills_come_in_both_frames(seed: int) -> None:
    result = hour(seed)
    assert 0.2 < len(result.matched) / len(result.stream) < 0.5
    assert {action.source for action in result.matched} == {ACTIVITY_ORDERS_MATCHED}
    assert {group_key(action) for action in result.matched} <= set(result.groups)


@SEEDS
def test_mint_matches_show_two_buyers_of_opposite_outcomes(seed: int) -> None:
    by_tx: dict[str, dict[str, LeaderAction]] = defaultdict(dict)
    for action in hour(seed).stream:
        by_tx[action.tx_hash][action.wallet] = action
    mints = [tuple(legs.values()) for legs in by_tx.values() if len(legs) > 1]
    assert len(mints) > 20
    for taker, maker in mints:
        assert (taker.side, maker.side) == (Side.BUY, Side.BUY)
        assert taker.condition_id == maker.condition_id
        assert taker.token_id != maker.token_id
        assert abs(taker.price_micros + maker.price_micros - ONE) < 10_000


@SEEDS
def test_a_few_percent_of_what_is_new_is_no_trade(seed: int) -> None:
    result = hour(seed)
    polled = [item for delivery in result.deliveries for item in delivery.items if "payload" not in item]
    news = {item["transactionHash"]: item["type"] for item in polled}
    others = [kind for kind in news.values() if kind != "TRADE"]
    assert 0.015 < len(others) / len(result.stream) < 0.06
    assert {"REDEEM", "MERGE", "REWARD", "MAKER_REBATE", "TAKER_REBATE", "STREAK_BONUS"} <= set(others)
    parsed = [reading for poll in result.polls for reading in poll]
    assert any(isinstance(reading, OtherAction) for reading in parsed)
    redeemed = [r.size_micros for r in parsed if isinstance(r, LeaderAction) and r.kind is ActionKind.REDEEM]
    assert 0 in redeemed


@SEEDS
def test_polls_repeat_the_stream_and_complete_it(seed: int) -> None:
    result = hour(seed)
    streamed = {key: sum(row.size_micros for row in rows) for key, rows in result.groups.items()}
    largest: Counter[GroupKey] = Counter()
    for poll in result.polls:
        totals: Counter[GroupKey] = Counter()
        for reading in poll:
            if isinstance(reading, LeaderAction) and reading.kind is ActionKind.TRADE:
                assert reading.source == DATA_API
                totals[group_key(reading)] += reading.size_micros
        largest |= totals
    repeated = sum(streamed.get(key) == size for key, size in largest.items())
    completed = sum(streamed.get(key, size) < size for key, size in largest.items())
    assert repeated / len(largest) > 0.9
    assert 0.003 < completed / len(largest) < 0.03


@SEEDS
def test_a_late_second_row_comes_after_any_window(seed: int) -> None:
    arrived = BEGINNING
    late = 0
    for delivery in hour(seed).deliveries:
        arrived += timedelta(seconds=delivery.delay_seconds)
        for item in delivery.items if delivery.walk == STREAM_WALK else ():
            action = parse_item(item, place="item")
            assert isinstance(action, LeaderAction)
            late += arrived - action.traded_at > timedelta(seconds=2)
    assert 0.005 < late / len(hour(seed).groups) < 0.03


@SEEDS
def test_books_are_tradable_and_outcomes_mirror_each_other(seed: int) -> None:
    generator = hour(seed).generator
    books = generator.books()
    assert set(books) == {token for market in generator.markets() for token in market.token_ids}
    for market in generator.markets():
        first, second = (books[token] for token in market.token_ids)
        assert 30_000 < first.bids[0].price_micros < first.asks[0].price_micros < 970_000
        assert [lv.price_micros for lv in second.asks] == [ONE - lv.price_micros for lv in first.bids]
        assert [lv.price_micros for lv in first.bids] == sorted((lv.price_micros for lv in first.bids), reverse=True)
        assert [lv.price_micros for lv in first.asks] == sorted(lv.price_micros for lv in first.asks)
        assert all(lv.price_micros % market.tick_micros == 0 for lv in (*first.bids, *first.asks))
        assert all(0 < token < 2**256 for token in market.token_ids)
    assert {market.tick_micros for market in generator.markets()} == {10_000, 1_000}
    assert generator.book(1) is None


def test_each_move_of_a_book_has_a_version_of_its_own() -> None:
    generator, now = MarketGenerator(1, SeededRandomness(1)), BEGINNING
    seen: dict[tuple[int, str], object] = {}
    for _ in range(300):
        now += timedelta(seconds=generator.next_delivery(now).delay_seconds)
        for token, book in generator.books().items():
            assert seen.setdefault((token, book.version), book) == book
    assert len({version for _, version in seen}) > 200


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_an_absurd_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="is not a number above zero"):
        MarketGenerator(1, SeededRandomness(1), rate=rate)


def test_the_rate_multiplies_the_signals() -> None:
    ends = []
    for rate in (1.0, 5.0):
        generator, now = MarketGenerator(1, SeededRandomness(1), rate=rate), BEGINNING
        for _ in range(3_000):
            now += timedelta(seconds=generator.next_delivery(now).delay_seconds)
        ends.append((now - BEGINNING).total_seconds())
    assert 3 < ends[0] / ends[1] < 6


def test_what_is_overdue_arrives_at_once_and_only_once() -> None:
    generator = MarketGenerator(1, SeededRandomness(1))
    generator.next_delivery(BEGINNING)
    later = BEGINNING + timedelta(hours=1)
    overdue = 0
    while generator.next_delivery(later).delay_seconds == 0:
        overdue += 1
    assert 0 < overdue <= 20


async def test_the_source_delivers_in_time_and_ends_each_poll() -> None:
    clock = VirtualClock()
    sink = RecordingSink(clock, stop_after=200)
    source = GeneratorSource(MarketGenerator(1, SeededRandomness(1)), sink, clock=clock)
    await source.run(sink.stop)
    polls = [walk for walk, _ in sink.offers if walk != STREAM_WALK]
    assert sink.ended == [*polls, STREAM_WALK]
    assert len(polls) == int(clock.monotonic_ms() // 4_000)
    newest = max(r.traded_at for r in sink.readings if isinstance(r, LeaderAction))
    assert timedelta(0) <= clock.now() - newest < timedelta(seconds=5)


async def test_the_stream_waits_for_its_window_and_a_poll_does_not() -> None:
    sink = RecordingSink(stop_after=1)
    source = GeneratorSource(MarketGenerator(1, SeededRandomness(1)), sink, clock=sink.clock)
    await source.run_once()
    assert (sink.offers[0][0], sink.complete) == (STREAM_WALK, {False})
    while sink.offers[-1][0] == STREAM_WALK:
        await source.run_once()
    assert sink.complete == {True, False}


async def test_a_stopped_source_offers_nothing_more() -> None:
    sink = RecordingSink()
    stop = asyncio.Event()
    stop.set()
    await GeneratorSource(MarketGenerator(1, SeededRandomness(1)), sink, clock=sink.clock).run(stop)
    assert (sink.offers, sink.ended) == ([], [STREAM_WALK])
