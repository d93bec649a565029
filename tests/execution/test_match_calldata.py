from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.match_calldata import NotReadable, PendingFill, is_match, read_match
from execution.orders import keccak256
from ledger.units import ONE, Side
from tests.chain_bytes import CONDITION, LENA, NO, ORDER, OTTO, STRANGER, YES, match_calldata, order


def fills_of(*arguments: Any) -> list[tuple[str, Side, int, int, int, bool]]:
    match = read_match(match_calldata(*arguments))
    return [(f.wallet, f.side, f.token_id, f.shares, f.cash, f.taker) for f in match.fills]


def test_the_selector_is_the_hash_of_the_signature() -> None:
    signature = f"matchOrders(bytes32,{ORDER},{ORDER}[],uint256,uint256[],uint256,uint256[])"
    assert is_match(keccak256(signature.encode())[:4])


def test_a_taker_who_buys_gets_what_the_resting_sells_give() -> None:
    taker = order(LENA, "BUY", YES, gives=60 * ONE, takes=100 * ONE)
    makers = [
        order(OTTO, "SELL", YES, gives=40 * ONE, takes=20 * ONE),
        order(STRANGER, "SELL", YES, gives=500 * ONE, takes=300 * ONE),
    ]
    assert fills_of(taker, makers, 56 * ONE, [40 * ONE, 60 * ONE]) == [
        (LENA, Side.BUY, YES, 100 * ONE, 56 * ONE, True),
        (OTTO, Side.SELL, YES, 40 * ONE, 20 * ONE, False),
        (STRANGER, Side.SELL, YES, 60 * ONE, 36 * ONE, False),
    ]


def test_a_taker_who_sells_gets_what_the_resting_buys_pay() -> None:
    taker = order(LENA, "SELL", YES, gives=100 * ONE, takes=40 * ONE)
    makers = [order(OTTO, "BUY", YES, gives=50 * ONE, takes=100 * ONE)]
    assert fills_of(taker, makers, 100 * ONE, [50 * ONE])[0] == (LENA, Side.SELL, YES, 100 * ONE, 50 * ONE, True)


@pytest.mark.parametrize(
    ("side", "gives", "fill", "cash"),
    # Of 46 cents for a NO, 54 are left for the YES, whether both are made or both given back.
    [("BUY", (60 * ONE, 46 * ONE), (54 * ONE, 46 * ONE), 54), ("SELL", (100 * ONE, 100 * ONE), (100 * ONE,) * 2, 54)],
)
def test_orders_of_one_side_on_both_tokens_make_or_give_back_full_sets(
    side: str, gives: tuple[int, int], fill: tuple[int, int], cash: int
) -> None:
    takes = (100 * ONE, 100 * ONE) if side == "BUY" else (50 * ONE, 46 * ONE)
    taker = order(LENA, side, YES, gives=gives[0], takes=takes[0])
    maker = order(OTTO, side, NO, gives=gives[1], takes=takes[1])
    taking, resting = fills_of(taker, [maker], fill[0], [fill[1]])
    assert taking == (LENA, side, YES, 100 * ONE, cash * ONE, True)
    assert resting == (OTTO, side, NO, 100 * ONE, 46 * ONE, False)


def test_the_condition_is_in_the_call() -> None:
    taker, maker = order(LENA, "BUY", YES, gives=5, takes=10), order(OTTO, "SELL", YES, gives=10, takes=5)
    match = read_match(match_calldata(taker, [maker], 5, [10]))
    assert match.condition_id == CONDITION
    assert match.fills[1] == PendingFill(wallet=OTTO, token_id=YES, side=Side.SELL, shares=10, cash=5, taker=False)


@given(shares=st.lists(st.integers(1, 10**15), min_size=1, max_size=8), price=st.integers(1, 999))
def test_never_more_is_believed_of_a_taker_than_it_gives(shares: list[int], price: int) -> None:
    bound = sum(shares) // 2 + 1
    taker = order(LENA, "SELL", YES, gives=bound, takes=1)
    cash = [max(1, size * price // 1_000) for size in shares]
    makers = [order(OTTO, "BUY", YES, gives=c, takes=s) for c, s in zip(cash, shares, strict=True)]
    assert fills_of(taker, makers, bound, cash)[0][3] <= bound


GOOD = match_calldata(
    order(LENA, "BUY", YES, gives=5, takes=10), [order(OTTO, "SELL", YES, gives=10, takes=5)], 5, [10]
)


@pytest.mark.parametrize(
    "call",
    [
        b"",
        b"\x00" * 300,
        GOOD[:200],
        match_calldata(order(LENA, "BUY", YES, gives=5, takes=10), [], 5, []),
        match_calldata(order(LENA, "BUY", YES, gives=5, takes=9), [order(OTTO, "SELL", YES, gives=0, takes=5)], 5, [1]),
        match_calldata(order(LENA, "BUY", YES, gives=5, takes=9), [order(OTTO, "BUY", YES, gives=9, takes=5)], 5, [1]),
        match_calldata(order(LENA, "BUY", YES, gives=5, takes=9), [order(OTTO, "SELL", NO, gives=9, takes=5)], 5, [1]),
    ],
)
def test_a_call_that_cannot_be_a_match_is_refused(call: bytes) -> None:
    with pytest.raises(NotReadable):
        read_match(call)


@given(at=st.integers(4, len(GOOD) - 1), value=st.integers(0, 255), cut=st.integers(0, len(GOOD)))
def test_no_bytes_make_the_reader_fail_otherwise(at: int, value: int, cut: int) -> None:
    broken = bytearray(GOOD)
    broken[at] = value
    try:
        read_match(bytes(broken[: max(cut, 4)]))
    except NotReadable:
        return
