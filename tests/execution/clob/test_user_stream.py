"""Frames of the user channel are news of orders and trades, and nothing brings the reader down."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.clob.order_state import OrderShown, OrderStateError, read_order
from execution.clob.trades import read_trades
from execution.clob.user_stream import UserNews, read_frame
from execution.ports import TradeStatus
from ledger.units import ONE
from tests.execution.clob.orders import FEE, trade_row

OURS = "0x" + "11" * 32


def order_event(**changes: Any) -> dict[str, Any]:
    event = {"event_type": "order", "id": OURS, "type": "UPDATE", "size_matched": "4", "status": "LIVE"}
    return {**event, **changes}


def frame(*events: object) -> bytes:
    return json.dumps(events[0] if len(events) == 1 else events).encode()


def test_a_trade_event_is_a_trade_row() -> None:
    news = read_frame(frame({**trade_row(OURS), "event_type": "trade", "status": "MINED"}))
    (trade,) = read_trades(news.trades, {OURS}, fee_of=lambda _token: FEE)
    assert (trade.status, trade.size_micros, news.orders, news.unread) == (TradeStatus.MINED, 10 * ONE, (), 0)


def test_a_list_of_events_is_all_of_them() -> None:
    news = read_frame(frame(order_event(), {**trade_row(OURS), "event_type": "trade"}, {"event_type": "new"}, 5))
    assert (len(news.trades), len(news.orders), news.unread) == (1, 1, 2)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, OrderShown(order_hash=OURS, matched_micros=4_000_000, rests=True)),
        ({"status": "ORDER_STATUS_DELAYED"}, OrderShown(order_hash=OURS, matched_micros=4_000_000, rests=True)),
        ({"status": "MATCHED"}, OrderShown(order_hash=OURS, matched_micros=4_000_000, rests=False)),
        ({"status": "brand new"}, OrderShown(order_hash=OURS, matched_micros=4_000_000, rests=True)),
        (
            {"status": "CANCELED_MARKET_RESOLVED"},
            OrderShown(order_hash=OURS, matched_micros=4_000_000, rests=False, dead=True),
        ),
        (
            {"status": None, "type": "CANCELLATION", "size_matched": None},
            OrderShown(order_hash=OURS, matched_micros=0, rests=False, dead=True),
        ),
        (
            {"status": "INVALID", "size_matched": "0"},
            OrderShown(order_hash=OURS, matched_micros=0, rests=False, dead=True, invalid=True),
        ),
    ],
)
def test_an_order_event_says_how_far_it_got(changes: dict[str, Any], expected: OrderShown) -> None:
    assert read_frame(frame(order_event(**changes))).orders == (expected,)


def test_the_recorded_killed_order_is_dead() -> None:
    sentence = "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."
    (shown,) = read_frame(frame(order_event(status=sentence, size_matched="0"))).orders
    assert (shown.dead, shown.rests, shown.matched_micros) == (True, False, 0)


@pytest.mark.parametrize("wrong", [{"id": "0x1"}, {"id": None}, {"size_matched": "x"}, {"size_matched": "-1"}])
def test_an_order_that_cannot_be_read_is_counted(wrong: dict[str, Any]) -> None:
    assert read_frame(frame(order_event(**wrong))).unread == 1
    with pytest.raises(OrderStateError):
        read_order(order_event(**wrong))


@pytest.mark.parametrize("text", [b"PONG", b"", b" \n", b"PING"])
def test_the_answer_to_a_ping_is_no_news(text: bytes) -> None:
    assert read_frame(text) == UserNews()


@pytest.mark.parametrize(
    "text",
    [
        b'{"error": "Unauthorized/Invalid api key"}',
        b'{"event_type": "error", "message": "unauthorized"}',
        b'[{"errorMsg": "Invalid credentials."}]',
        b'"Invalid api key"',
        b"Unauthorized\n",
    ],
)
def test_a_refused_key_is_a_whole_text_of_a_frame(text: bytes) -> None:
    news = read_frame(text)
    assert (news.refused, news.unread) == (True, 1)


@pytest.mark.parametrize(
    "text",
    [
        b'{"event_type": "balance", "asset_id": "7132104567925221401", "timestamp": "1791220000000"}',
        b'{"event_type": "notice", "message": "unauthorized"}',
        b'{"error": "market 401 is closed", "status": 401}',
        b'{"detail": {"error": "unauthorized"}}',
        b"INVALID OPERATION",
        b"401",
        b"<html>401 Unauthorized</html>",
    ],
)
def test_no_digits_and_no_part_of_a_text_are_a_refused_key(text: bytes) -> None:
    news = read_frame(text)
    assert (news.refused, news.unread) == (False, 1)


def test_a_frame_without_end_is_not_read() -> None:
    assert read_frame(b"[" + b" " * 1_100_000 + b"]") == UserNews(unread=1)


@given(st.binary(max_size=300))
def test_no_bytes_bring_it_down(text: bytes) -> None:
    news = read_frame(text)
    assert news.trades == news.orders == ()
