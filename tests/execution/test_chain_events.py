import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.chain_events import (
    ORDER_FILLED,
    OrderFilled,
    PayoutRedemption,
    PositionsConverted,
    PositionsMerge,
    PositionSplit,
    Transfer,
    Undecodable,
    decode_event,
    read_log,
)
from execution.orders import keccak256
from ledger.units import ONE, Side
from tests.chain_bytes import (
    CONDITION,
    LENA,
    NO,
    POLYGON_CONTRACTS,
    STRANGER,
    YES,
    ZERO,
    converted,
    filled,
    hash_of,
    moved,
    placed,
    redeemed,
    split,
)

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "chain"
needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded chain data is not on this machine")


def recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text(), parse_float=Decimal)


def event_of(raw: dict[str, Any]) -> Any:
    return decode_event(read_log(placed([raw])[0]))


@needs_recordings
@pytest.mark.parametrize(
    ("logs", "rows"),
    [
        ("orderfilled_log.json", "activity_for_orderfilled.json"),
        ("orderfilled_sell_log.json", "activity_for_orderfilled_sell.json"),
    ],
)
def test_a_recorded_fill_says_what_the_data_api_says(logs: str, rows: str) -> None:
    [row] = recorded(rows)
    place = {"blockHash": hash_of(1)}
    events = [decode_event(read_log({**each, **place})) for each in recorded(logs)["logs"]]
    [event] = [each for each in events if isinstance(each, OrderFilled) and each.maker == row["proxyWallet"]]
    assert (event.side, event.token_id) == (row["side"], int(row["asset"]))
    assert event.shares == row["size"] * ONE
    assert event.cash == Decimal(row["usdcSize"]) * ONE


@needs_recordings
def test_a_recorded_trade_is_told_once_for_each_side_and_orders_matched_is_no_fill() -> None:
    logs = [read_log({**each, "blockHash": hash_of(1)}) for each in recorded("chain_order_filled.json")["logs"]]
    maker, taker, matched = (decode_event(each) for each in logs)
    assert matched is None
    assert isinstance(maker, OrderFilled) and isinstance(taker, OrderFilled)
    assert (maker.side, taker.side) == (Side.BUY, Side.SELL)
    assert (maker.shares, maker.cash) == (taker.shares, taker.cash)
    assert taker.taker == logs[1].address, "the aggressor's counterparty is the exchange"
    assert (maker.fee, taker.fee > 0) == (0, True)


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_shares_and_cash_of_a_fill_follow_its_side(side: str) -> None:
    event = event_of(filled(side=side, shares=30 * ONE, cash=12 * ONE))
    assert (event.side, event.shares, event.cash) == (side, 30 * ONE, 12 * ONE)
    assert (event.maker, event.taker) == (LENA, STRANGER)


TOKENS = POLYGON_CONTRACTS.collateral


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (
            moved(LENA, STRANGER, amounts={YES: 5}),
            Transfer(operator=LENA, source=LENA, target=STRANGER, moves=((YES, 5),)),
        ),
        (
            moved(ZERO, LENA, operator=STRANGER, amounts={YES: 5, NO: 6}, batch=True),
            Transfer(operator=STRANGER, source=ZERO, target=LENA, moves=((YES, 5), (NO, 6))),
        ),
        (
            split(LENA, 9),
            PositionSplit(stakeholder=LENA, collateral=TOKENS, parent=hash_of(0), condition_id=CONDITION, amount=9),
        ),
        (
            split(LENA, 9, merge=True),
            PositionsMerge(stakeholder=LENA, collateral=TOKENS, parent=hash_of(0), condition_id=CONDITION, amount=9),
        ),
        (
            redeemed(LENA, 9),
            PayoutRedemption(stakeholder=LENA, collateral=TOKENS, parent=hash_of(0), condition_id=CONDITION, payout=9),
        ),
        (converted(LENA, 9), PositionsConverted(stakeholder=LENA, market_id=hash_of(0xBB), amount=9)),
    ],
)
def test_each_event_is_read_as_it_was_encoded(raw: dict[str, Any], event: object) -> None:
    assert event_of(raw) == event


def test_the_topics_are_the_hashes_of_the_signatures() -> None:
    types = "bytes32,address,address,uint8,uint256,uint256,uint256,uint256,bytes32,bytes32"
    assert "0x" + keccak256(f"OrderFilled({types})".encode()).hex() == ORDER_FILLED


def test_a_topic_of_nobody_is_no_event() -> None:
    assert event_of({**filled(), "topics": [hash_of(9)]}) is None
    assert event_of({**filled(), "topics": []}) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"topics": filled()["topics"][:3]}, "3 topics"),
        ({"data": filled()["data"][:-200]}, "no word"),
        ({"data": "0x" + "ff" * 32 * 7}, "not below 2"),
        ({"topics": [*filled()["topics"][:3], "0x" + "ff" * 32]}, "no address"),
    ],
)
def test_a_log_that_does_not_hold_what_it_promises_is_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        event_of({**filled(), **changed})


@pytest.mark.parametrize("field", ["address", "topics", "data", "blockNumber", "blockHash", "transactionHash"])
def test_a_log_without_one_of_its_fields_is_refused(field: str) -> None:
    raw = placed([filled()])[0]
    with pytest.raises(Undecodable):
        read_log({**raw, field: None})


@given(data=st.binary(max_size=400), which=st.sampled_from([filled(), moved(LENA, ZERO, amounts={1: 1}, batch=True)]))
def test_no_bytes_make_the_decoder_fail_otherwise(data: bytes, which: dict[str, Any]) -> None:
    try:
        event_of({**which, "data": "0x" + data.hex()})
    except Undecodable:
        return


@given(amounts=st.dictionaries(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1), min_size=2, max_size=30))
def test_every_batch_is_read_back_whole(amounts: dict[int, int]) -> None:
    assert event_of(moved(LENA, STRANGER, amounts=amounts, batch=True)).moves == tuple(amounts.items())
