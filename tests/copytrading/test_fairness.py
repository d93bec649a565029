"""Leaders share a batch: nobody starves beside a leader with many followers and many signals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.batches import Batch, Waiting, next_batch
from tests.copytrading.test_batches import BUY, LENA, LUCA, SELL, all_batches, config, following, signal

LARS = 9


def pairs_of(batch: Batch, leader: int) -> int:
    return sum(each.leader_id == leader for each, _config in batch.pairs)


def test_leader_behind_a_flood_is_in_the_first_batch() -> None:
    flood = [signal(number, token=number) for number in range(1, 51)]
    batches = all_batches([*flood, signal(99, leader=LUCA, token=99)], following(lena=40, luca=1), copies_max=50)
    assert (pairs_of(batches[0], LENA), pairs_of(batches[0], LUCA)) == (49, 1)


def test_two_floods_and_one_between_them_share_each_batch() -> None:
    subscribers = {
        LENA: tuple(config(number) for number in range(1, 41)),
        LUCA: tuple(config(number, LUCA) for number in range(50, 90)),
        LARS: tuple(config(number, LARS) for number in range(100, 103)),
    }
    signals = [signal(1, token=1), signal(2, leader=LUCA, token=2), signal(3, leader=LARS, token=3)]
    batches = all_batches(signals, subscribers, copies_max=23)
    assert [pairs_of(batches[0], leader) for leader in (LENA, LUCA, LARS)] == [10, 10, 3]


def test_one_leader_alone_fills_its_batches() -> None:
    batches = all_batches([signal(1), signal(2, token=8)], following(lena=30), copies_max=50)
    assert [len(batch.pairs) for batch in batches] == [50, 10]


def test_fan_out_bounds_a_leader_only_while_others_wait() -> None:
    waiting = [Waiting(signal=signal(1)), Waiting(signal=signal(2, leader=LUCA, token=8))]
    subscribers = following(lena=30, luca=3)
    batch, left = next_batch(waiting, subscribers, copies_max=50, fan_out_max=5)
    assert (pairs_of(batch, LENA), pairs_of(batch, LUCA)) == (5, 3)
    batch, left = next_batch(left, subscribers, copies_max=50, fan_out_max=5)
    assert (pairs_of(batch, LENA), left) == (25, [])


def test_later_signal_of_a_market_waits_for_the_rest_of_an_earlier_one() -> None:
    waiting = [Waiting(signal=signal(1)), Waiting(signal=signal(2, SELL, leader=LUCA))]
    batch, left = next_batch(waiting, following(lena=30, luca=30), copies_max=20)
    assert (pairs_of(batch, LENA), pairs_of(batch, LUCA)) == (10, 0)
    assert [(each.signal.signal_id, each.after) for each in left] == [(1, 10), (2, 0)]


@pytest.mark.parametrize("fan_out_max", [None, 1, 7])
@given(
    trades=st.lists(st.tuples(st.sampled_from([LENA, LUCA]), st.sampled_from([BUY, SELL]), st.integers(1, 3))),
    copies_max=st.integers(2, 30),
)
def test_everybody_is_decided_once_and_each_market_in_order(
    trades: list[tuple[int, object, int]], copies_max: int, fan_out_max: int | None
) -> None:
    signals = [
        signal(number, side, leader=leader, token=token)  # type: ignore[arg-type]
        for number, (leader, side, token) in enumerate(trades, start=1)
    ]
    waiting, subscribers = [Waiting(signal=each) for each in signals], following(lena=9, luca=4)
    decided: list[tuple[int, int, int]] = []
    while waiting:
        batch, waiting = next_batch(waiting, subscribers, copies_max=copies_max, fan_out_max=fan_out_max)
        assert 0 < len(batch.pairs) <= copies_max
        decided += [(each.token_id, each.signal_id, config.config_id) for each, config in batch.pairs]
    wanted = [
        (each.token_id, each.signal_id, config.config_id) for each in signals for config in subscribers[each.leader_id]
    ]
    assert sorted(decided) == sorted(wanted)
    for token in (1, 2, 3):
        order = [signal_id for of, signal_id, _config in decided if of == token]
        assert order == sorted(order)
