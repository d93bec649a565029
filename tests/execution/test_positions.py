"""Average cost: nothing is lost and nothing invented between buying and selling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.ports import Fill
from execution.positions import Holding, Oversold, after_fill
from ledger.units import ONE, Micros, Side


def fill(size: int, cost: int) -> Fill:
    return Fill(
        size_micros=Micros(size),
        price_micros=Micros(cost * ONE // size if size else 0),
        cost_micros=Micros(cost),
        fee_micros=Micros(0),
    )


def holding(size: int, cost: int) -> Holding:
    return Holding(size_micros=Micros(size), cost_micros=Micros(cost))


def test_buys_add_shares_and_cost() -> None:
    first = after_fill(Holding(), Side.BUY, fill=fill(100 * ONE, 50 * ONE))
    second = after_fill(first.holding, Side.BUY, fill=fill(50 * ONE, 30 * ONE))

    assert second.holding == holding(150 * ONE, 80 * ONE)
    assert (second.released_cost_micros, second.realised_profit_micros) == (0, 0)


def test_a_sale_releases_its_part_of_the_cost_and_realises_the_rest() -> None:
    change = after_fill(holding(200 * ONE, 100 * ONE), Side.SELL, fill=fill(50 * ONE, 30 * ONE))

    assert change.holding == holding(150 * ONE, 75 * ONE)
    assert (change.released_cost_micros, change.realised_profit_micros) == (25 * ONE, 5 * ONE)


def test_a_sale_below_cost_realises_a_loss() -> None:
    change = after_fill(holding(10 * ONE, 9 * ONE), Side.SELL, fill=fill(10 * ONE, 2 * ONE))

    assert change.holding == Holding()
    assert change.realised_profit_micros == -7 * ONE


def test_the_released_cost_is_rounded_down_and_the_rest_leaves_with_the_last_share() -> None:
    first = after_fill(holding(3, 10), Side.SELL, fill=fill(1, 0))
    second = after_fill(first.holding, Side.SELL, fill=fill(2, 0))

    assert (first.released_cost_micros, second.released_cost_micros) == (3, 7)
    assert second.holding == Holding()


def test_an_empty_fill_of_nothing_changes_nothing() -> None:
    assert after_fill(Holding(), Side.SELL, fill=fill(0, 0)).holding == Holding()


def test_selling_more_than_is_held_is_refused_with_a_sentence() -> None:
    with pytest.raises(Oversold, match="A fill sold 11 micros of shares where 10 were held"):
        after_fill(holding(10, 5), Side.SELL, fill=fill(11, 6))


@given(
    buys=st.lists(st.tuples(st.integers(1, 10**10), st.integers(0, 10**10)), min_size=1, max_size=8),
    parts=st.lists(st.integers(0, 100), max_size=8),
    proceeds=st.integers(0, 10**10),
)
def test_whatever_is_sold_in_parts_releases_exactly_what_was_paid(
    buys: list[tuple[int, int]], parts: list[int], proceeds: int
) -> None:
    held = Holding()
    for size, cost in buys:
        held = after_fill(held, Side.BUY, fill=fill(size, cost)).holding
    released = profit = received = 0
    for part in [*parts, 100]:
        sold = held.size_micros * part // 100
        change = after_fill(held, Side.SELL, fill=fill(sold, proceeds))
        held = change.holding
        assert held.cost_micros >= 0
        released += change.released_cost_micros
        profit += change.realised_profit_micros
        received += proceeds

    paid = sum(cost for _size, cost in buys)
    assert held == Holding()
    assert released == paid
    assert profit == received - paid
