"""Batches: a market keeps its order, bounds hold, what depends on another waits for it, nobody is left out."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.batches import Batch, Subscribers, Waiting, next_batch
from copytrading.decide import Config, Sides, SignalFacts
from copytrading.sizing import BelowMinimum, Sizing, SizingTerms
from guardrails.budgets import PeriodBounds
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING

BUY, SELL = Side.BUY, Side.SELL
LENA, LUCA, LOST = 1, 2, 3

TERMS = SizingTerms(
    sizing=Sizing.PERCENTAGE,
    percentage_bps=1_000,
    amount_micros=0,
    floor_micros=0,
    cap_micros=0,
    max_trade_micros=None,
    below_minimum=BelowMinimum.SKIP,
)


def config(config_id: int, leader_id: int = LENA) -> Config:
    """A follower of its own for each config."""
    return Config(
        config_id=config_id,
        version=1,
        follower_id=100 + config_id,
        follower_wallet=f"0x{config_id:040x}",
        mode="PAPER",
        leader_id=leader_id,
        terms=TERMS,
        slippage_bps_max=200,
        sides=Sides.BOTH,
        min_trigger_micros=0,
        max_odds_micros=None,
        follower_bounds=PeriodBounds(),
        leader_bounds=PeriodBounds(),
    )


def signal(
    number: int, side: Side = BUY, *, leader: int = LENA, token: int = 7, group: str = "", part: int = 1
) -> SignalFacts:
    """A leader's trade of 100 shares, a group of its own unless said."""
    return SignalFacts(
        signal_id=number,
        group_key=group or f"group {number}",
        part=part,
        leader_id=leader,
        side=side,
        token_id=token,
        condition_id=f"0xc{token}",
        size_micros=Micros(100 * ONE),
        total_size_micros=Micros(100 * ONE),
        price_micros=Micros(500_000),
        leader_held_micros=None,
        traded_at=BEGINNING,
        detected_at=BEGINNING,
    )


def following(*, lena: int = 0, luca: int = 0) -> Subscribers:
    """So many followers of each; nobody follows the lost one."""
    return {
        LENA: tuple(config(number) for number in range(1, lena + 1)),
        LUCA: tuple(config(number, LUCA) for number in range(50, 50 + luca)),
    }


def all_batches(signals: Sequence[SignalFacts], subscribers: Subscribers, *, copies_max: int = 500) -> list[Batch]:
    """Every batch until nothing waits; at most as many as there is work."""
    waiting, found = [Waiting(signal=each) for each in signals], []
    for _try in range(len(signals) * (1 + sum(map(len, subscribers.values()))) + 1):
        if not waiting:
            return found
        batch, waiting = next_batch(waiting, subscribers, copies_max=copies_max)
        found.append(batch)
    raise AssertionError("the batches never end")


def ids(batches: Sequence[Batch]) -> list[list[tuple[int, int]]]:
    return [[(each.signal_id, owner.config_id) for each, owner in batch.pairs] for batch in batches]


def test_small_signals_share_a_batch_in_order() -> None:
    (batch,) = all_batches([signal(1), signal(2, token=8)], following(lena=2))
    assert ids([batch]) == [[(1, 1), (1, 2), (2, 1), (2, 2)]]
    assert batch.finished == (1, 2)


def test_a_large_signal_is_cut_and_finished_by_its_last_piece() -> None:
    batches = all_batches([signal(1), signal(2)], following(lena=3), copies_max=2)
    assert ids(batches) == [[(1, 1), (1, 2)], [(1, 3), (2, 1)], [(2, 2), (2, 3)]]
    assert [batch.finished for batch in batches] == [(), (1,), (2,)]


def test_a_signal_that_fills_a_batch_is_finished_with_it() -> None:
    batches = all_batches([signal(1), signal(2)], following(lena=2), copies_max=2)
    assert [(batch.finished, len(batch.pairs)) for batch in batches] == [((1,), 2), ((2,), 2)]


def test_a_signal_nobody_follows_is_named_and_holds_nobody_up() -> None:
    (batch,) = all_batches([signal(1, leader=LOST), signal(2)], following(lena=1))
    assert (batch.without_followers, batch.finished) == ((1,), (2,))
    assert all_batches([signal(1, leader=LUCA)], following()) == [
        Batch(pairs=(), finished=(), without_followers=(1,), signals=())
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_signal_that_was_begun_before_is_decided_alone(place: int) -> None:
    waiting = [Waiting(signal=signal(number), alone=number == place + 1) for number in (1, 2, 3)]
    batches = []
    while waiting:
        batch, waiting = next_batch(waiting, following(lena=1), copies_max=10)
        batches.append([each.signal_id for each in batch.signals])
    assert [place + 1] in batches
    assert sorted(each for batch in batches for each in batch) == [1, 2, 3]


def test_nothing_waiting_is_an_empty_batch() -> None:
    batch, rest = next_batch([], following(lena=1), copies_max=5)
    assert (batch.pairs, batch.finished, rest) == ((), (), [])


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (signal(1), signal(2), True),
        (signal(1, group="g"), signal(2, group="g", part=2), False),
        (signal(1, BUY), signal(2, SELL), False),
        (signal(1, SELL), signal(2, BUY), False),
        (signal(1, SELL), signal(2, SELL), False),
        (signal(1, SELL), signal(2, SELL, token=8), True),
        (signal(1, BUY), signal(2, BUY, leader=LUCA), True),
        (signal(1, BUY), signal(2, SELL, leader=LUCA), False),
        (signal(1, SELL), signal(2, SELL, leader=LUCA), False),
    ],
)
def test_a_signal_waits_for_what_it_depends_on(first: SignalFacts, second: SignalFacts, together: bool) -> None:
    batches = all_batches([first, second], following(lena=1, luca=1))
    assert len(batches) == (1 if together else 2)


def test_a_batch_passes_over_what_depends_and_takes_later_signals_of_other_markets() -> None:
    batches = all_batches([signal(1), signal(2, SELL), signal(3, token=8), signal(4, token=9)], following(lena=1))
    assert [[each.signal_id for each in batch.signals] for batch in batches] == [[1, 3, 4], [2]]


def test_nothing_overtakes_a_signal_that_was_passed_over_in_its_market() -> None:
    luca_buys = signal(3, leader=LUCA)
    batches = all_batches([signal(1), signal(2, SELL), luca_buys, signal(4)], following(lena=1, luca=1))
    assert [[each.signal_id for each in batch.signals] for batch in batches] == [[1], [2], [3, 4]]


def test_what_was_passed_over_stands_before_the_rest_of_a_cut_signal() -> None:
    _batch, left = next_batch(
        [Waiting(signal=signal(1)), Waiting(signal=signal(2, SELL)), Waiting(signal=signal(3, token=8))],
        following(lena=3),
        copies_max=4,
    )
    assert [(item.signal.signal_id, item.after) for item in left] == [(2, 0), (3, 1)]


def test_a_batch_names_the_markets_that_its_sells_leave() -> None:
    (batch,) = all_batches([signal(1, SELL, token=7), signal(2, BUY, token=8)], following(lena=1))
    assert batch.exits() == {"0xc7"}


streams = st.lists(
    st.tuples(st.sampled_from(Side), st.sampled_from([LENA, LUCA, LOST]), st.integers(1, 3), st.integers(1, 6)),
    max_size=12,
).map(
    lambda told: [
        signal(number, side, leader=leader, token=token, group=f"{leader}:{token}:{side}:{group}")
        for number, (side, leader, token, group) in enumerate(told, start=1)
    ]
)
crowds = st.builds(lambda lena, luca: following(lena=lena, luca=luca), lena=st.integers(0, 6), luca=st.integers(0, 6))
bounds = st.integers(1, 8)


@given(streams, crowds, bounds)
def test_every_pair_comes_exactly_once_and_in_the_order_of_its_market(
    signals: list[SignalFacts], subscribers: Subscribers, copies_max: int
) -> None:
    batches = all_batches(signals, subscribers, copies_max=copies_max)
    found = [(s.condition_id, s.signal_id, each.config_id) for batch in batches for s, each in batch.pairs]
    wanted = [(s.condition_id, s.signal_id, c.config_id) for s in signals for c in subscribers.get(s.leader_id, ())]
    assert len(found) == len(wanted)
    for market in {each[0] for each in wanted}:
        assert [pair for pair in found if pair[0] == market] == [pair for pair in wanted if pair[0] == market]


@given(streams, crowds, bounds)
def test_the_signal_that_waits_longest_is_always_in_the_next_batch(
    signals: list[SignalFacts], subscribers: Subscribers, copies_max: int
) -> None:
    waiting = [Waiting(signal=each) for each in signals if subscribers.get(each.leader_id)]
    while waiting:
        first = waiting[0].signal
        batch, waiting = next_batch(waiting, subscribers, copies_max=copies_max)
        assert first in batch.signals


@given(streams, crowds, bounds)
def test_a_batch_never_holds_more_than_its_bound(
    signals: list[SignalFacts], subscribers: Subscribers, copies_max: int
) -> None:
    assert all(len(b.pairs) <= copies_max for b in all_batches(signals, subscribers, copies_max=copies_max))


@given(streams, crowds, bounds)
def test_every_signal_ends_once_and_not_before_its_last_pair(
    signals: list[SignalFacts], subscribers: Subscribers, copies_max: int
) -> None:
    batches = all_batches(signals, subscribers, copies_max=copies_max)
    ended = [each for batch in batches for each in (*batch.finished, *batch.without_followers)]
    assert sorted(ended) == [each.signal_id for each in signals]
    for index, batch in enumerate(batches):
        later = {each for after in ids(batches[index + 1 :]) for each, _config in after}
        assert not later & set(batch.finished)


@given(streams, crowds, bounds)
def test_signals_of_one_batch_never_depend_on_each_other(
    signals: list[SignalFacts], subscribers: Subscribers, copies_max: int
) -> None:
    for batch in all_batches(signals, subscribers, copies_max=copies_max):
        groups = [each.group_key for each in batch.signals]
        assert len(groups) == len(set(groups))
        for place in batch.exits():
            assert [s.condition_id for s in batch.signals].count(place) == 1


@given(streams, crowds)
def test_a_dry_spell_of_room_never_reorders_parts_of_a_group(
    signals: list[SignalFacts], subscribers: Subscribers
) -> None:
    parts = [replace(each, group_key="one", leader_id=LENA, part=n) for n, each in enumerate(signals, start=1)]
    order = [s.part for batch in all_batches(parts, subscribers, copies_max=2) for s in batch.signals]
    assert order == sorted(order)
