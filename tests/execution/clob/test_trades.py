"""A trade row says what happened to our own order, whichever side of the trade it was on."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.clob.trades import TradeError, order_hashes, own_hashes, read_trades, status_of
from execution.fees import NO_FEE, FeeTerms, taker_fee
from execution.ports import TradeStatus, VenueTrade
from ledger.units import ONE, micros_from_text
from tests.doors import BEGINNING
from tests.execution.clob.orders import FEE, SIGNER, TOKEN, WALLET, maker_order, trade_row

OURS, OTHER = "0x" + "11" * 32, "0x" + "22" * 32


def read(*rows: Any, own: tuple[str, ...] = (OURS,), fee: FeeTerms = FEE) -> tuple[VenueTrade, ...]:
    return read_trades(rows, own, fee_of=lambda _token: fee)


def test_a_taker_pays_what_its_makers_asked_and_the_fee_of_the_market() -> None:
    (trade,) = read(trade_row(OURS))
    assert trade == VenueTrade(
        venue_trade_id="trade-1",
        order_hash=OURS,
        status=TradeStatus.MATCHED,
        size_micros=micros_from_text("10"),
        price_micros=micros_from_text("0.514"),
        cost_micros=micros_from_text("5.14"),
        fee_micros=taker_fee(10 * ONE, 514_000, terms=FEE),
        matched_at=BEGINNING + timedelta(seconds=1),
        maker=False,
        tx_hash="0x" + "cd" * 32,
    )


def test_makers_of_the_other_token_give_the_complement() -> None:
    makers = [maker_order(OTHER, "10", "0.49", asset_id="5", side="BUY")]
    (trade,) = read(trade_row(OURS, price="0.5", maker_orders=makers))
    assert (trade.price_micros, trade.cost_micros) == (510_000, 5_100_000)


@pytest.mark.parametrize("makers", [[], None, "x", [maker_order(OTHER, "4", "0.5")], [{"matched_amount": "10"}]])
def test_makers_that_do_not_add_up_leave_the_price_of_the_row(makers: Any) -> None:
    (trade,) = read(trade_row(OURS, price="0.53", maker_orders=makers))
    assert (trade.price_micros, trade.cost_micros) == (530_000, 5_300_000)


def test_a_maker_has_its_own_part_and_pays_no_fee() -> None:
    row = trade_row(OTHER, trader_side="MAKER", maker_orders=[maker_order(OURS, "4", "0.52")], side="BUY")
    (trade,) = read(row)
    assert (trade.maker, trade.size_micros, trade.price_micros) == (True, 4 * ONE, 520_000)
    assert (trade.cost_micros, trade.fee_micros) == (2_080_000, 0)


def test_two_of_our_orders_in_one_trade_are_two_parts() -> None:
    row = trade_row(OURS, maker_orders=[maker_order(OTHER, "10", "0.51")])
    found = read(row, own=(OURS, OTHER))
    assert {(trade.order_hash, trade.maker) for trade in found} == {(OURS, False), (OTHER, True)}


@pytest.mark.parametrize(("side", "cost"), [("BUY", 1_000_001), ("SELL", 1_000_000)])
def test_a_micro_that_does_not_divide_is_paid_by_the_buyer_and_lost_by_the_seller(side: str, cost: int) -> None:
    (trade,) = read(trade_row(OURS, side=side, size="3.000001", price="0.333333", maker_orders=[]))
    assert 3_000_001 * 333_333 == 999_999_333_333
    assert trade.cost_micros == (1_000_000 if side == "BUY" else 999_999)
    (even,) = read(trade_row(OURS, side=side, size="3", price="0.333333", maker_orders=[]))
    assert even.cost_micros == 999_999
    assert cost > even.cost_micros


@given(
    size=st.integers(min_value=1, max_value=10**12),
    parts=st.lists(st.integers(min_value=100, max_value=999_900), min_size=1, max_size=5),
    buys=st.booleans(),
)
def test_cost_is_within_a_micro_of_what_was_exchanged(size: int, parts: list[int], buys: bool) -> None:
    amounts = [size // len(parts)] * (len(parts) - 1)
    amounts.append(size - sum(amounts))
    makers = [maker_order(OTHER, text(each), text(price)) for each, price in zip(amounts, parts, strict=True)]
    exact = sum(each * price for each, price in zip(amounts, parts, strict=True))
    (trade,) = read(trade_row(OURS, side="BUY" if buys else "SELL", size=text(size), maker_orders=makers))
    over = trade.cost_micros * ONE - exact
    assert 0 <= over < ONE if buys else -ONE < over <= 0
    assert 0 < trade.price_micros < ONE


def text(micros: int) -> str:
    return f"{micros // ONE}.{micros % ONE:06d}"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("MATCHED", TradeStatus.MATCHED),
        ("TRADE_STATUS_MATCHED", TradeStatus.MATCHED),
        ("MATCHED_NOT_BROADCASTED", TradeStatus.MATCHED),
        ("TRADE_STATUS_MINED", TradeStatus.MINED),
        ("retrying", TradeStatus.RETRYING),
        ("TRADE_STATUS_CONFIRMED", TradeStatus.CONFIRMED),
        ("FAILED", TradeStatus.FAILED),
        ("TRADE_STATUS_BRAND_NEW", TradeStatus.MATCHED),
        (None, TradeStatus.MATCHED),
    ],
)
def test_only_known_words_are_final(word: object, status: TradeStatus) -> None:
    assert status_of(word) is status


def test_a_trade_shown_twice_is_one_as_far_as_it_got() -> None:
    confirmed, matched = trade_row(OURS, status="CONFIRMED"), trade_row(OURS, status="MATCHED")
    assert [trade.status for trade in read(confirmed, matched)] == [TradeStatus.CONFIRMED]
    assert len(read(matched, trade_row(OURS, id="trade-2"), matched)) == 2


def test_other_orders_are_passed_over_unread() -> None:
    assert read(trade_row(OTHER, size="nonsense", price=None), "no row", None, own=(OURS,)) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "0"},
        {"size": "-1"},
        {"size": "NaN"},
        {"size": "1e400"},
        {"size": "0.1234567"},
        {"size": None},
        {"size": True},
        {"price": "0", "maker_orders": []},
        {"price": "1", "maker_orders": []},
        {"price": "1.0000001", "maker_orders": []},
        {"price": "-0.5", "maker_orders": []},
        {"id": ""},
        {"id": None},
        {"id": "x" * 81},
        {"id": "a\nb"},
        {"side": "HOLD"},
        {"asset_id": "0x5"},
        {"asset_id": None},
        {"match_time": None},
        {"match_time": "soon"},
        {"match_time": "999999999999999999"},
    ],
)
def test_a_row_of_ours_that_cannot_be_read_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TradeError):
        read(trade_row(OURS, **wrong))


def test_a_market_without_fee_costs_none() -> None:
    assert read(trade_row(OURS), fee=NO_FEE)[0].fee_micros == 0


def test_hashes_are_read_in_any_letters() -> None:
    row = trade_row("0x" + "AB" * 32, maker_orders=[maker_order("0x" + "CD" * 32, "10", "0.51")])
    assert order_hashes(row) == ("0x" + "ab" * 32, "0x" + "cd" * 32)
    assert len(read(row, own=("0x" + "ab" * 32, "0x" + "cd" * 32))) == 2
    assert (order_hashes(None), order_hashes({})) == ((), ())


def test_an_account_owns_what_it_took_and_what_its_wallet_made() -> None:
    makers = [maker_order(OURS, "6", "0.51", maker_address=SIGNER.upper().replace("0X", "0x"))]
    assert own_hashes(trade_row(OTHER, trader_side="MAKER", maker_orders=makers), wallet=SIGNER) == (OURS,)
    assert own_hashes(trade_row(OTHER, maker_orders=makers), wallet=WALLET) == (OTHER,)
    assert own_hashes(5, wallet=WALLET) == ()


def test_a_row_that_does_not_say_who_took_is_a_makers_where_its_wallet_made() -> None:
    makers = [maker_order(OURS, "6", "0.51", maker_address=SIGNER)]
    assert own_hashes(trade_row(OTHER, trader_side=None, maker_orders=makers), wallet=SIGNER) == (OURS,)
    assert own_hashes(trade_row(OTHER, trader_side="", maker_orders=makers), wallet="0x" + "77" * 20) == (OTHER,)


def test_the_fee_is_that_of_the_token_of_the_row() -> None:
    asked: list[int] = []

    def fee_of(token: int) -> FeeTerms:
        asked.append(token)
        return FEE

    read_trades([trade_row(OURS), trade_row(OTHER, asset_id="5")], {OURS}, fee_of=fee_of)
    assert asked == [TOKEN]


def test_milliseconds_are_understood() -> None:
    moment = int(BEGINNING.timestamp() * 1_000)
    assert read(trade_row(OURS, match_time=str(moment)))[0].matched_at == BEGINNING
