"""A leader's holding is known exactly or not at all; no action makes an unknown one known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.holdings import UNKNOWN, Holding, after_action
from copytrading.signals import ActionKind
from ledger.units import Micros, Side

BUY, SELL = Side.BUY, Side.SELL
TRADE, REDEEM, MERGE, SPLIT = ActionKind.TRADE, ActionKind.REDEEM, ActionKind.MERGE, ActionKind.SPLIT

actions = st.tuples(st.sampled_from(ActionKind), st.sampled_from([None, *Side]), st.integers(0, 10**18))


def known(size: int) -> Holding:
    return Holding(Micros(size), known=True)


@pytest.mark.parametrize(
    ("before", "kind", "side", "size", "after"),
    [
        (known(2_000), TRADE, BUY, 500, known(2_500)),
        (known(0), TRADE, BUY, 500, known(500)),
        (known(2_000), TRADE, SELL, 500, known(1_500)),
        (known(2_000), TRADE, SELL, 2_000, known(0)),
        (known(2_000), TRADE, SELL, 2_001, UNKNOWN),
        (known(2_000), SPLIT, None, 500, known(2_500)),
        (known(2_000), MERGE, None, 500, known(1_500)),
        (known(2_000), MERGE, None, 2_001, UNKNOWN),
        (known(2_000), REDEEM, None, 2_000, known(0)),
        (known(2_000), REDEEM, None, 500, known(1_500)),
        (UNKNOWN, TRADE, BUY, 500, UNKNOWN),
        (UNKNOWN, TRADE, SELL, 0, UNKNOWN),
        (UNKNOWN, SPLIT, None, 500, UNKNOWN),
        (UNKNOWN, REDEEM, None, 0, UNKNOWN),
    ],
)
def test_an_action_moves_what_is_known(
    before: Holding, kind: ActionKind, side: Side | None, size: int, after: Holding
) -> None:
    assert after_action(before, kind, side=side, size_micros=size) == after


@given(st.lists(actions, max_size=10), st.integers(0, 10**18))
def test_a_known_holding_is_never_negative_and_an_unknown_one_stays_unknown(
    story: list[tuple[ActionKind, Side | None, int]], start: int
) -> None:
    holding = known(start)
    for kind, side, size in story:
        before, holding = holding, after_action(holding, kind, side=side, size_micros=size)
        assert holding.size_micros >= 0
        assert before.known or holding == UNKNOWN


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_what_was_bought_can_be_sold_again(start: int, size: int) -> None:
    bought = after_action(known(start), TRADE, side=BUY, size_micros=size)
    assert after_action(bought, TRADE, side=SELL, size_micros=size) == known(start)
