import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.signals import LeaderAction, parse_row
from copytrading.sources.frames import RecentFrames, Screen, Seen, Shown, moment_ms, read_frame
from tests.sources.stream import LENA, NOW_MS, STRANGER, frame

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "rtds" / "captured_120events_20260819.json"

LENAS_SCREEN = Screen([LENA, "0x" + "00" * 20])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """A frame of Lena's with any field for her wallet, in any order, case and formatting JSON allows."""
    more = draw(st.dictionaries(st.text(), JSON, max_size=5))
    row = {**more, draw(st.text() | st.just("proxyWallet")): LENA}
    shuffled = {name: row[name] for name in draw(st.permutations(list(row)))}
    nested = draw(st.sampled_from([lambda x: x, lambda x: {"payload": x}, lambda x: [{"body": [x, 1]}]]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n")]))
    text = json.dumps(nested(shuffled), separators=separators, ensure_ascii=draw(st.booleans()))
    wallet = "".join(
        draw(st.sampled_from([c, c.upper() if c != "x" else c, f"\\u{ord(c):04x}", f"\\u{ord(c):04X}"])) for c in LENA
    )
    return text.replace(LENA, wallet).encode(errors="surrogatepass")


@given(written())
def test_a_frame_with_a_followed_wallet_always_passes_the_screen(raw: bytes) -> None:
    assert LENAS_SCREEN.may_concern(raw)


@pytest.mark.parametrize(
    "raw",
    [
        frame(STRANGER),
        frame(STRANGER, title="caf\u00e9 \U0001f600 <b>&"),
        frame(STRANGER, transactionHash="0x" + LENA[2:-1] + "f" * 25),
        frame(STRANGER, name=LENA[2:]),
        "",
        "PONG",
    ],
)
def test_a_frame_of_a_stranger_does_not(raw: str) -> None:
    assert not LENAS_SCREEN.may_concern(raw.encode())


def test_nobody_is_followed_and_nothing_passes() -> None:
    assert not Screen([]).may_concern(frame(LENA).encode())


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded stream is not beside this checkout")
def test_of_a_recorded_stream_exactly_the_followed_wallets_pass() -> None:
    events = json.loads(RECORDED.read_text())["events"]
    wallets = sorted({event["trader"] for event in events})
    followed = set(wallets[::7])
    screen = Screen(followed)
    for event in events:
        raw = json.dumps({"topic": "activity", "type": "trades", "timestamp": 1, "payload": event}).encode()
        assert screen.may_concern(raw) == (event["trader"] in followed)
        (shown,) = read_frame(raw).rows
        action = parse_row(shown.row, source="activity-trades", place="recorded")
        assert isinstance(action, LeaderAction) and action.wallet == event["trader"]


@pytest.mark.parametrize(
    ("value", "types"),
    [
        (json.loads(frame(LENA)), ["trades"]),
        (json.loads(frame(LENA, kind="orders_matched")), ["orders_matched"]),
        ([json.loads(frame(LENA)), json.loads(frame(STRANGER, kind="orders_matched"))], ["trades", "orders_matched"]),
        ({**json.loads(frame(LENA)), "topic": "something_new"}, ["trades"]),
        ({"topic": "a", "type": "b", "payload": [json.loads(frame(LENA))["payload"]]}, ["b"]),
        ({"type": "trades", "data": {"trade": json.loads(frame(LENA))["payload"]}}, ["trades"]),
        ({**json.loads(frame(LENA))["payload"], "type": "orders_matched"}, ["orders_matched"]),
        ({**json.loads(frame(LENA)), "type": ["trades"]}, [""]),
        ({"topic": "comments", "type": "comment_created", "payload": {"body": "hello", "userAddress": LENA}}, []),
        ({"topic": "activity", "type": "trades", "payload": "none"}, []),
        ([], []),
        (None, []),
        ("PONG", []),
        (5, []),
    ],
)
def test_rows_are_found_by_their_shape(value: Any, types: list[str]) -> None:
    found = read_frame(json.dumps(value).encode())
    assert [shown.type for shown in found.rows] == types
    assert not found.refusal and not found.unreadable
    assert all(isinstance(parse_row(s.row, source="s", place="p"), LeaderAction) for s in found.rows)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"body": {"message": "CLOB messages are not supported anymore"}, "statusCode": 400}, "400 CLOB messages"),
        ({"body": "Unauthorized", "statusCode": 401}, "401 Unauthorized"),
        ({"statusCode": 500}, "500"),
        ({"body": {"message": "fine"}, "statusCode": 200}, ""),
        ({"message": "hello"}, ""),
    ],
)
def test_an_error_body_is_a_refusal(body: Any, sentence: str) -> None:
    refusal = read_frame(json.dumps(body).encode()).refusal
    assert refusal.startswith(sentence) and bool(refusal) == bool(sentence)


@pytest.mark.parametrize("raw", [b"", b" \n", b"\xff\xfe", b"{", b"PONG", b"[" * 500, b"nul"])
def test_what_is_no_json_holds_nothing(raw: bytes) -> None:
    found = read_frame(raw)
    assert found.rows == () and bool(found.unreadable) == bool(raw.strip())


def shown(raw: str) -> Shown:
    (row,) = read_frame(raw.encode()).rows
    return row


def test_the_same_frame_is_a_duplicate_in_its_walk_and_known_in_another() -> None:
    recent = RecentFrames()
    again = frame(LENA).replace("abc=", "other-connection=")
    assert recent.note(shown(frame(LENA)), "1") is Seen.NEW
    assert recent.note(shown(again), "1") is Seen.HERE
    assert recent.note(shown(again), "2") is Seen.ELSEWHERE
    assert recent.note(shown(again), "2") is Seen.HERE
    assert recent.note(shown(again), "1") is Seen.HERE


@pytest.mark.parametrize(
    "other",
    [
        frame(LENA, sent_ms=NOW_MS + 1),
        frame(LENA, kind="orders_matched"),
        frame(LENA, size=10.5),
        frame(LENA, transactionHash="0x" + "78" * 32),
    ],
)
def test_what_differs_in_anything_is_another_frame(other: str) -> None:
    recent = RecentFrames()
    recent.note(shown(frame(LENA)), "1")
    assert recent.note(shown(other), "1") is Seen.NEW


def test_equal_rows_of_one_envelope_are_separate_fills() -> None:
    envelope = json.loads(frame(LENA))
    envelope["payload"] = [envelope["payload"]] * 2
    recent = RecentFrames()
    rows = read_frame(json.dumps(envelope).encode()).rows
    assert [recent.note(row, "1") for row in rows] == [Seen.NEW, Seen.NEW]
    assert [recent.note(row, "1") for row in rows] == [Seen.HERE, Seen.HERE]


def test_a_row_without_the_envelopes_time_is_never_a_duplicate() -> None:
    recent = RecentFrames()
    bare = shown(json.dumps(json.loads(frame(LENA))["payload"]))
    assert [recent.note(bare, "1"), recent.note(bare, "1")] == [Seen.NEW, Seen.NEW]


def test_the_memory_of_frames_is_bounded_and_forgets_the_oldest() -> None:
    recent = RecentFrames(frames_max=2)
    first, *others = [shown(frame(LENA, sent_ms=NOW_MS + number)) for number in range(3)]
    for each in (first, *others):
        recent.note(each, "1")
    assert len(recent) == 2
    assert recent.note(others[-1], "1") is Seen.HERE
    assert recent.note(first, "1") is Seen.NEW


@pytest.mark.parametrize(
    ("row", "moment"),
    [
        ({"timestamp": 1_791_220_000}, 1_791_220_000_000),
        ({"timestamp": "1791220000"}, 1_791_220_000_000),
        ({"source_ts_ms": 1_791_220_000_456}, 1_791_220_000_456),
        ({"timestamp": Decimal("1791220000456")}, 1_791_220_000_456),
        ({"timestamp": "soon"}, None),
        ({"timestamp": Decimal("Infinity")}, None),
        ({"timestamp": -5}, None),
        ({}, None),
    ],
)
def test_a_rows_moment_is_read_in_either_unit(row: Any, moment: int | None) -> None:
    assert moment_ms(row) == moment
