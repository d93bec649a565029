"""Each answer that the venue was ever seen to give has its meaning, and what was never seen is unknown."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.clob.outcomes import (
    AMBIGUOUS_TEXTS,
    DELAYED,
    NOT_TAKEN_TEXTS,
    TEXTS,
    Killed,
    KnownAlready,
    Reading,
    pause_s,
    read_order_answer,
    shown,
)
from execution.orders import OrderPlan, OrderType
from execution.ports import HoldUp, NotTaken, Rejected, RejectReason, Resting, Unknown
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING
from tests.execution.clob.orders import API_KEY, PASSPHRASE, SECRET, SIGNATURE, plan

NOW_S = BEGINNING.timestamp()
ACCOUNT, BALANCE, CLOSED = (
    RejectReason.ACCOUNT_REFUSED,
    RejectReason.NOT_ENOUGH_BALANCE,
    RejectReason.MARKET_CLOSED,
)


def read(status: int, body: object, *, order: OrderPlan | None = None, **headers: str) -> Reading:
    sent = body if isinstance(body, bytes) else (body.encode() if isinstance(body, str) else json.dumps(body).encode())
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_order_answer(status, sent, headers=named, plan=order or plan(), now_s=NOW_S)


def accepted(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "success": True,
        "errorMsg": "",
        "orderID": plan().order_hash,
        "status": "matched",
        "makingAmount": "5.14",
        "takingAmount": "10",
        "transactionsHashes": [],
        "tradeIDs": ["trade-1"],
    }
    return {**values, **changes}


RECORDED: dict[str, RejectReason | HoldUp | type[Reading]] = {
    "not enough balance / allowance": BALANCE,
    "invalid order version, please use the latest clob-client": RejectReason.WRONG_VERSION,
    "invalid amounts, the market buy orders maker amount supports": RejectReason.REJECTED,
    "order_version_mismatch": RejectReason.WRONG_VERSION,
    "invalid signature": RejectReason.REJECTED,
    "maker address not allowed": ACCOUNT,
    "the order signer address has to be the address of the API KEY": ACCOUNT,
    "order couldn't be fully filled. FOK orders": Killed,
    "no orders found to match with FAK order": RejectReason.NO_FILL,
    "invalid amount for a marketable BUY order": RejectReason.BELOW_MINIMUM,
    "invalid amount for a marketable SELL order": RejectReason.BELOW_MINIMUM,
    "Size (4) lower than the minimum: 5": RejectReason.BELOW_MINIMUM,
    "breaks minimum tick size rule": RejectReason.OFF_TICK,
    "Duplicated": KnownAlready,
    "invalid post-only order": RejectReason.REJECTED,
    "Unauthorized/Invalid api key": ACCOUNT,
    "No orderbook exists": CLOSED,
    "service not ready": HoldUp.UNAVAILABLE,
    "post-only mode": HoldUp.UNAVAILABLE,
    "Trading is currently disabled": HoldUp.UNAVAILABLE,
    "Trading is currently cancel-only": HoldUp.UNAVAILABLE,
    "error code: 1015": HoldUp.RATE_LIMITED,
    "could not run the execution": Unknown,
    "matching engine restarting": HoldUp.UNAVAILABLE,
}
"""By the beginning or a part of the recorded text."""

WITHOUT_TEXT: dict[int, RejectReason] = {401: ACCOUNT, 403: RejectReason.BLOCKED}

RECORDED_ROWS = 28

NO_STATUS_HERE = {"matching engine restarting": 425}
"""Recorded without the status that came with it."""

NO_ANSWER_TO_AN_ORDER = ("Request exception!", "ws user channel")
"""The first is a client's word for a lost answer: test_venue. The second is a frame: test_user_stream."""


def meaning(reading: Reading) -> RejectReason | HoldUp | type[Reading]:
    if isinstance(reading, Rejected):
        return reading.reason
    return reading.why if isinstance(reading, NotTaken) else type(reading)


@pytest.mark.parametrize("number", range(RECORDED_ROWS))
def test_every_recorded_error_has_its_outcome(shared_data: Path, number: int) -> None:
    row = json.loads((shared_data / "errors/clob_errors.json").read_text())[number]
    body = row["body"]
    text = json.dumps(body) if isinstance(body, dict) else body or ""
    if any(text.startswith(known) for known in NO_ANSWER_TO_AN_ORDER):
        return
    known = [text_known for text_known in RECORDED if text_known in text]
    assert len(known) == (1 if body else 0), text
    status = row["http_status"] or NO_STATUS_HERE[known[0]]
    expected = RECORDED[known[0]] if known else WITHOUT_TEXT[status]
    assert meaning(read(status, text)) == expected


def test_the_table_of_recorded_errors_is_whole(shared_data: Path) -> None:
    text = (shared_data / "errors/clob_errors.json").read_text()
    assert len(json.loads(text)) == RECORDED_ROWS
    assert [known for known in RECORDED if known not in text] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invalid order payload", RejectReason.REJECTED),
        ("invalid expiration", RejectReason.REJECTED),
        ("invalid nonce", RejectReason.REJECTED),
        ("order 0xab is invalid. Something new", RejectReason.REJECTED),
        ("Too many orders in payload: 16, max allowed: 15", RejectReason.REJECTED),
        ("the market is not yet ready to process new orders", CLOSED),
        ("the order owner has to be the owner of the API KEY", ACCOUNT),
        ("'0xabc' address banned", ACCOUNT),
        ("'0xabc' address in closed only mode", ACCOUNT),
        (DELAYED, Resting),
        ("a sentence that nobody has seen", Unknown),
        ("", Unknown),
    ],
)
@pytest.mark.parametrize("shape", [lambda text: {"error": text}, lambda text: text, json.dumps])
def test_a_refusal_is_known_by_its_text_in_any_shape(text: str, expected: Any, shape: Any) -> None:
    assert meaning(read(400, shape(text))) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Resting(matched=True, matched_micros=10 * ONE, final=True)),
        ({"takingAmount": ""}, Resting(matched=True, final=True)),
        ({"takingAmount": "6.5"}, Resting(matched=True, matched_micros=6_500_000, final=True)),
        ({"status": "live"}, Resting(matched=False)),
        ({"status": "delayed", "takingAmount": "", "makingAmount": ""}, Resting(matched=False)),
        ({"status": "unmatched"}, Killed(detail="unmatched")),
        ({"errorMsg": DELAYED}, Resting(matched=False)),
    ],
)
def test_an_accepted_order_says_how_far_it_got(changes: dict[str, Any], expected: Reading) -> None:
    assert read(200, accepted(**changes)) == expected


def test_what_was_matched_of_a_sale_is_what_it_gave() -> None:
    order = plan(side=Side.SELL)
    answer = accepted(orderID=order.order_hash.upper().replace("0X", "0x"), makingAmount="10", takingAmount="5.3")
    assert read(200, answer, order=order) == Resting(matched=True, matched_micros=10 * ONE, final=True)


def test_a_resting_order_that_matched_may_rest_on() -> None:
    order = plan(order_type=OrderType.GTC)
    found = read(200, accepted(orderID=order.order_hash), order=order)
    assert found == Resting(matched=True, matched_micros=10 * ONE, final=False)
    assert read(200, accepted(orderID=order.order_hash, status="unmatched"), order=order) == Resting(matched=False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"orderID": ""}, RejectReason.REJECTED),
        ({"orderID": None, "status": ""}, RejectReason.REJECTED),
        ({"orderID": "", "errorMsg": "not enough balance / allowance: 5"}, BALANCE),
        ({"orderID": "", "errorMsg": "a sentence that nobody has seen"}, RejectReason.REJECTED),
        ({"orderID": "", "success": False, "errorMsg": "order_version_mismatch"}, RejectReason.WRONG_VERSION),
        ({"orderID": "", "errorMsg": DELAYED}, RejectReason.REJECTED),
        ({"orderID": None, "errorMsg": f"{DELAYED}.", "status": "delayed"}, RejectReason.REJECTED),
    ],
)
def test_success_without_an_order_is_a_rejection(changes: dict[str, Any], reason: RejectReason) -> None:
    assert meaning(read(200, accepted(**changes))) == reason


@pytest.mark.parametrize("changes", [{"orderID": ""}, {"orderID": "", "status": "delayed"}, {}])
def test_a_delay_without_success_is_asked_about(changes: dict[str, Any]) -> None:
    assert isinstance(read(200, accepted(success=False, errorMsg=DELAYED, **changes)), Unknown)


@pytest.mark.parametrize("answer", [{"success": True}, {"success": True, "orderId": "0x1", "status": "matched"}])
def test_an_answer_of_another_form_is_no_rejection(answer: dict[str, Any]) -> None:
    assert isinstance(read(200, answer), Unknown)
    assert meaning(read(200, {**answer, "errorMsg": "not enough balance / allowance"})) == BALANCE


@pytest.mark.parametrize("text", ["order timed out", "could not run the execution", "upstream request timeout"])
@pytest.mark.parametrize("answer", [(200, {"success": False, "orderID": ""}), (400, {}), (403, {}), (404, {})])
def test_what_the_venue_itself_lost_track_of_is_unknown(answer: tuple[int, dict[str, Any]], text: str) -> None:
    status, body = answer
    assert isinstance(read(status, {**body, "errorMsg": f"order 0x12 is invalid? {text}"}), Unknown)


@pytest.mark.parametrize(
    "changes",
    [
        {"orderID": "0x" + "00" * 32},
        {"errorMsg": "could not run the execution"},
        {"success": False},
        {"success": "true"},
        {"status": ""},
        {"status": "brand new"},
        {"takingAmount": "10.01"},
        {"makingAmount": "5.21"},
        {"takingAmount": "-1"},
        {"takingAmount": "NaN"},
        {"takingAmount": [1]},
        {"errorMsg": {"a": 1}},
        {"orderID": 5},
    ],
)
def test_an_answer_that_contradicts_itself_is_unknown(changes: dict[str, Any]) -> None:
    assert isinstance(read(200, accepted(**changes)), Unknown)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>welcome</html>"),
        (200, b'{"success":true,"orderID":"0x'),
        (200, b"[]"),
        (200, b"null"),
        (200, b""),
        (200, b'{"error":"not enough balance / allowance"}'),
        (500, b'{"error":"order timed out"}'),
        (500, b'{"error":"not enough balance / allowance"}'),
        (502, b"<html>bad gateway</html>"),
        (503, b"<html>nobody there</html>"),
        (503, b""),
        (504, b""),
        (520, b""),
        (400, b"<html>not enough balance / allowance</html>"),
        (400, b'{"error":'),
        (404, b""),
        (302, b""),
        (400, b"\xff\xfe"),
    ],
)
def test_what_proves_nothing_is_unknown(status: int, body: bytes) -> None:
    assert isinstance(read(status, body), Unknown)


@pytest.mark.parametrize(
    ("reading", "why", "wait_s"),
    [
        (read(425, ""), HoldUp.UNAVAILABLE, 1.5),
        (read(425, "<html>", retry_after="2"), HoldUp.UNAVAILABLE, 2.0),
        (read(429, ""), HoldUp.RATE_LIMITED, 1.0),
        (read(429, "error code: 1015", retry_after="7"), HoldUp.RATE_LIMITED, 7.0),
        (read(429, "", retry_after="0"), HoldUp.RATE_LIMITED, 0.1),
        (read(429, "", retry_after="999999"), HoldUp.RATE_LIMITED, 300.0),
        (read(429, "", retry_after="Sat, 21 Nov 2026 12:00:09 GMT"), HoldUp.RATE_LIMITED, 9.0),
        (read(429, "", retry_after="Sat, 21 Nov 2026 12:00:09 -0000"), HoldUp.RATE_LIMITED, 9.0),
        (read(429, "", retry_after="soon"), HoldUp.RATE_LIMITED, 1.0),
        (read(429, "", retry_after="-5"), HoldUp.RATE_LIMITED, 1.0),
        (read(503, {"code": "post_only_mode", "retry_after_seconds": "41"}), HoldUp.UNAVAILABLE, 41.0),
        (read(503, {"error": "post-only mode: only", "retry_after_seconds": 12.5}), HoldUp.UNAVAILABLE, 12.5),
        (read(503, {"error": "Trading is currently disabled."}), HoldUp.UNAVAILABLE, 5.0),
        (read(400, {"error": "matching engine restarting"}), HoldUp.UNAVAILABLE, 5.0),
    ],
)
def test_what_was_not_looked_at_says_when_to_come_back(reading: Reading, why: HoldUp, wait_s: float) -> None:
    assert isinstance(reading, NotTaken)
    assert (reading.why, reading.wait_s) == (why, wait_s)


@given(st.integers(min_value=100, max_value=599), st.binary(max_size=200))
def test_no_bytes_bring_it_down_or_are_accepted(status: int, body: bytes) -> None:
    assert not isinstance(read(status, body), Resting | KnownAlready)


KNOWN_TEXTS = (*(text for text, _meaning in TEXTS), *AMBIGUOUS_TEXTS, *NOT_TAKEN_TEXTS)
ANYTHING = st.none() | st.booleans() | st.integers() | st.text()


@given(
    st.dictionaries(st.sampled_from(sorted(accepted())), ANYTHING),
    st.fixed_dictionaries({}, optional={"orderID": st.sampled_from(("", None)), "success": st.booleans()}),
)
def test_only_the_order_itself_is_ever_accepted(changes: dict[str, Any], named: dict[str, Any]) -> None:
    answer = accepted(**{**changes, **named})
    # Each known text beside it too: a text found by chance among all would be one in a thousand.
    for each in (answer, *({**answer, "errorMsg": text} for text in KNOWN_TEXTS)):
        if isinstance(read(200, each), Resting):
            assert str(each["orderID"]).lower() == plan().order_hash
            assert each["success"] is True


def test_nothing_long_enough_to_be_a_secret_is_kept_of_a_foreign_sentence() -> None:
    secrets = (API_KEY, SECRET, PASSPHRASE, SIGNATURE.hex(), "0x" + "ab" * 32)
    kept = shown("\x1b[31m" + " ".join(secrets) + "\nbad" + " word" * 100)
    assert [secret for secret in secrets if secret in kept] == []
    assert len(kept) <= 200
    assert kept.isprintable()
    unknown = read(400, {"error": f"what is {SECRET}?"})
    assert isinstance(unknown, Unknown)
    assert SECRET not in unknown.detail


def test_a_pause_is_never_guessed() -> None:
    assert pause_s({}, {"retry_after_seconds": "<n>"}, now_s=NOW_S) is None


def test_money_above_the_order_is_not_believed() -> None:
    order = plan(size_micros=Micros(20 * ONE), limit_micros=Micros(500_000))
    answer = accepted(orderID=order.order_hash, takingAmount="20", makingAmount="10.000001")
    assert isinstance(read(200, answer, order=order), Unknown)
