import gzip
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.groups import Tally
from copytrading.signals import (
    ACTIVITY_ORDERS_MATCHED,
    ACTIVITY_TRADES,
    DATA_API,
    ActionKind,
    LeaderAction,
    OtherAction,
    RepeatedRow,
    Unreadable,
)
from copytrading.sources import files
from copytrading.sources.base import Reading
from copytrading.sources.files import UnreadableFile, chronological, read_file

SECOND = 1_795_262_400


def trade(number: int = 1, **changes: object) -> dict[str, object]:
    return {
        "proxyWallet": "0x" + "1e" * 20,
        "timestamp": SECOND + number,
        "conditionId": "0x" + "c0" * 32,
        "size": 1_000,
        "transactionHash": f"0x{number:064x}",
        "price": 0.5,
        "asset": "7",
        "side": "BUY",
        "title": "a title",
        **changes,
    }


def frame(kind: str, number: int = 1, topic: str = "activity") -> dict[str, object]:
    return {"topic": topic, "type": kind, "timestamp": SECOND * 1_000, "payload": trade(number)}


FLAT_NAMES = {"proxyWallet": "trader", "conditionId": "market_id", "asset": "token_id", "transactionHash": "tx_hash"}
FLAT = {FLAT_NAMES.get(name, name): value for name, value in trade().items() if name != "timestamp"} | {
    "source_ts_ms": SECOND * 1_000
}


def written(folder: Path, text: str | bytes, name: str = "rows.json") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, document: object, name: str = "rows.json") -> tuple[Reading, ...]:
    return read_file(written(folder, document if isinstance(document, str | bytes) else json.dumps(document), name))


def sources(readings: tuple[Reading, ...]) -> list[str]:
    return [reading.source if isinstance(reading, LeaderAction) else repr(reading) for reading in readings]


@dataclass
class Counts:
    """What the replay command will print of a file."""

    rows: int = 0
    trade_rows: int = 0
    repeated_rows: int = 0
    other_rows: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0
    groups: int = 0
    leader_size_micros: int = 0
    notional_micros: int = 0
    wallets: int = 0


def counted(readings: tuple[Reading, ...]) -> Counts:
    actions = [reading for reading in readings if isinstance(reading, LeaderAction)]
    trades = [action for action in actions if action.kind is ActionKind.TRADE]
    tally = Tally()
    totals = {}
    for action in chronological(trades):
        assert isinstance(action, LeaderAction)
        total = tally.add(action)
        totals[total.key] = total
    others = [action.kind.value for action in actions if action.kind is not ActionKind.TRADE]
    return Counts(
        rows=len(readings),
        trade_rows=len(trades),
        repeated_rows=sum(isinstance(reading, RepeatedRow) for reading in readings),
        other_rows=Counter([*others, *(reading.type for reading in readings if isinstance(reading, OtherAction))]),
        unreadable=sum(isinstance(reading, Unreadable) for reading in readings),
        groups=len(totals),
        leader_size_micros=sum(total.size_micros for total in totals.values()),
        notional_micros=sum(total.notional_micros for total in totals.values()),
        wallets=len({trade.wallet for trade in trades}),
    )


# Computed from the files by a script of its own: quadratic search for repeated blocks, rounding by Decimal.quantize.
EXACT = {
    "activity/v1_activity_24h_500rows_20260216.json": Counts(
        rows=500,
        trade_rows=298,
        other_rows={"REDEEM": 201, "MAKER_REBATE": 1},
        groups=298,
        leader_size_micros=1_832_878_679,
        notional_micros=780_225_224,
        wallets=1,
    ),
    "activity/v1_activity_all_types_50rows_20260714.json": Counts(
        rows=50,
        trade_rows=42,
        other_rows={"REWARD": 4, "REDEEM": 2, "MAKER_REBATE": 1, "TAKER_REBATE": 1},
        groups=42,
        leader_size_micros=2_614_906_896_243,
        notional_micros=1_307_151_738_116,
        wallets=1,
    ),
    "activity/v1_activity_redeem_merge_21rows_202609.json": Counts(
        rows=21,
        trade_rows=14,
        other_rows={"REDEEM": 5, "MERGE": 2},
        groups=14,
        leader_size_micros=1_100_597_408,
        notional_micros=640_256_108,
        wallets=1,
    ),
    "activity/v1_trades_event_665_wallets_paged_2500rows_20251010.json": Counts(
        rows=2_500,
        trade_rows=1_500,
        repeated_rows=1_000,
        groups=1_500,
        leader_size_micros=1_952_084_580_986,
        notional_micros=689_729_610_111,
        wallets=665,
    ),
    "activity/v1_trades_maker_1000rows_20260220.json": Counts(
        rows=1_000,
        trade_rows=1_000,
        groups=931,
        leader_size_micros=7_024_343_408,
        notional_micros=3_515_782_459,
        wallets=1,
    ),
    "activity/v2_activity_official_fixture.json": Counts(
        rows=2, trade_rows=2, groups=2, leader_size_micros=169_315_715, notional_micros=26_688_059, wallets=1
    ),
    "activity/v2_trades_envelope.json": Counts(
        rows=3, trade_rows=3, groups=3, leader_size_micros=338_054_786, notional_micros=138_383_950, wallets=1
    ),
    "rtds/captured_120events_20260819.json": Counts(
        rows=120,
        trade_rows=120,
        groups=117,
        leader_size_micros=6_213_966_118,
        notional_micros=3_077_938_823,
        wallets=84,
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_recorded_files_have_their_exact_totals(name: str, shared_data: Path) -> None:
    assert counted(read_file(shared_data / name)) == EXACT[name]


def test_every_recorded_file_has_exact_totals_here(shared_data: Path) -> None:
    recorded = {f"{folder}/{path.name}" for folder in ("activity", "rtds") for path in (shared_data / folder).iterdir()}
    assert recorded == set(EXACT)


def test_the_clamped_pages_of_the_event_are_its_last_thousand_rows(shared_data: Path) -> None:
    readings = read_file(shared_data / "activity/v1_trades_event_665_wallets_paged_2500rows_20251010.json")
    assert [isinstance(reading, RepeatedRow) for reading in readings] == [False] * 1_500 + [True] * 1_000


ONE_TRADE = [
    ("an array of rows", [trade()], DATA_API),
    ("one row", trade(), DATA_API),
    ("an envelope", {"data": [trade()], "pagination": {"has_more": False}}, DATA_API),
    ("a frame", frame("trades"), ACTIVITY_TRADES),
    ("an array of frames", [frame("orders_matched")], ACTIVITY_ORDERS_MATCHED),
    ("the flat recorder shape", {"events": [FLAT]}, ACTIVITY_TRADES),
    ("an array of flat rows", [FLAT], ACTIVITY_TRADES),
]


@pytest.mark.parametrize(("shape", "document", "source"), ONE_TRADE)
def test_each_known_shape_is_read(shape: str, document: object, source: str, tmp_path: Path) -> None:
    assert sources(read(tmp_path, document)) == [source]


@pytest.mark.parametrize(("shape", "document", "source"), ONE_TRADE)
def test_each_known_shape_may_be_a_line_and_packed(shape: str, document: object, source: str, tmp_path: Path) -> None:
    lines = f"{json.dumps(document)}\n\n{json.dumps(trade(2))}\n"
    expected = [source, DATA_API]
    assert sources(read(tmp_path, lines, "rows.jsonl")) == expected
    assert sources(read(tmp_path, lines, "rows.json")) == expected
    assert sources(read(tmp_path, gzip.compress(lines.encode()), "rows.jsonl.gz")) == expected
    assert sources(read(tmp_path, gzip.compress(lines.encode()), "packed-without-the-name")) == expected


def test_an_empty_page_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path, []) == read(tmp_path, {"data": []}) == ()


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    text = "\ufeff" + f"{json.dumps(trade())}\r\n{json.dumps(trade(2))}\r\n"
    assert len(read(tmp_path, text, "rows.jsonl")) == 2


def test_frames_of_other_topics_are_counted_by_their_type(tmp_path: Path) -> None:
    assert read(tmp_path, [frame("trades", topic="comments")]) == (OtherAction("comments/trades"),)
    assert read(tmp_path, [frame("quoted")]) == (OtherAction("activity/quoted"),)


def test_example_10_both_frames_of_a_fill_stay_two_sources(tmp_path: Path) -> None:
    readings = read(tmp_path, [frame("trades"), frame("orders_matched")])
    assert sources(readings) == [ACTIVITY_TRADES, ACTIVITY_ORDERS_MATCHED]
    assert counted(readings).leader_size_micros == 1_000_000_000


def test_numbers_never_pass_through_binary_floats(tmp_path: Path) -> None:
    text = json.dumps([trade(size="@", price="#")]).replace('"@"', "123456789012.123457").replace('"#"', "0.1234565000")
    (reading,) = read(tmp_path, text)
    assert isinstance(reading, LeaderAction)
    assert (reading.size_micros, reading.price_micros) == (123_456_789_012_123_457, 123_456)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1e9999999999999999999", "9" * 5_000])
def test_an_impossible_number_spoils_its_row_only(number: str, tmp_path: Path) -> None:
    text = json.dumps([trade(size="@"), trade(2)]).replace('"@"', number)
    bad, good = read(tmp_path, text)
    assert isinstance(bad, Unreadable)
    assert bad.place == "rows.json row 1"
    assert isinstance(good, LeaderAction)


def test_a_row_that_is_no_object_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    assert read(tmp_path, [trade(), "row"])[1] == Unreadable("rows.json row 2", "the row is no object but 'row'")
    line = json.dumps({"data": [trade(), None]})
    assert read(tmp_path, line, "r.jsonl")[1] == Unreadable(
        "r.jsonl line 1 row 2", "the row is no object but (missing)"
    )


@pytest.mark.parametrize("bad", ['{"proxyWallet": "0x', "PONG", "7", "[1]", '{"error": "no"}', "[" * 100_000, "\x00"])
def test_a_bad_line_is_unreadable_and_the_rest_goes_on(bad: str, tmp_path: Path) -> None:
    first, second = json.dumps(trade(1)), json.dumps(trade(2))
    inner = read(tmp_path, f"{first}\n{bad}\n{second}", "rows.jsonl")
    last = read(tmp_path, f"{first}\n{second}\n{bad}", "rows.jsonl")
    assert [type(reading) for reading in inner] == [LeaderAction, Unreadable, LeaderAction]
    assert [type(reading) for reading in last] == [LeaderAction, LeaderAction, Unreadable]
    assert isinstance(last[2], Unreadable)
    assert last[2].place == "rows.jsonl line 3"
    assert len(last[2].sentence) < 160


def test_line_separators_inside_a_text_end_no_line(tmp_path: Path) -> None:
    line = json.dumps(trade(title="a\u2028b\x0bc\x85d"), ensure_ascii=False)
    assert len(read(tmp_path, line, "rows.jsonl")) == 1


UNREADABLE = [
    ("empty", b"", "the file is empty"),
    ("blank", b" \n\n", "the file is empty"),
    ("truncated", json.dumps([trade(), trade(2)])[:-30].encode(), "not JSON at line 1, column "),
    ("truncated over lines", json.dumps([trade()], indent=1)[:-30].encode(), "not JSON at line "),
    ("no JSON", b"<html>502 Bad Gateway</html>", "not JSON at line 1, column 1"),
    ("a number", b"7", "unknown shape"),
    ("an error body", b'{"error": "max historical activity offset of 3000 exceeded"}', "unknown shape"),
    ("another array", b'[{"bids": [], "asks": []}]', "unknown shape"),
    ("an envelope of nothing", b'{"data": null}', "unknown shape"),
    ("an array of numbers", b"[1, 2]", "unknown shape"),
    ("too deep", b"[" * 100_000, "nested too deeply"),
    ("no UTF-8", json.dumps([trade(title="@")]).encode().replace(b"@", b"\xff"), "not UTF-8 at byte "),
    ("UTF-16", json.dumps([trade()]).encode("utf-16"), "not UTF-8 at byte 0"),
    ("broken gzip", gzip.compress(b"[]")[:-4], "broken or truncated gzip"),
    ("no gzip behind its magic", b"\x1f\x8bxxxx", "broken or truncated gzip"),
]


@pytest.mark.parametrize(("what", "content", "sentence"), UNREADABLE, ids=[what for what, _, _ in UNREADABLE])
def test_a_file_that_cannot_be_read_says_so_by_name(what: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile) as refused:
        read(tmp_path, content)
    assert str(refused.value).startswith("rows.json: ")
    assert sentence in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_a_file_of_bad_lines_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"rows.jsonl line 1: not JSON .* no other line can be read"):
        read(tmp_path, "no\nrows\n", "rows.jsonl")


def test_a_missing_file_a_directory_and_a_device_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableFile, match=r"^missing.json: no such file$"):
        read_file(tmp_path / "missing.json")
    for name in (".", "pipe"):
        with pytest.raises(UnreadableFile, match="a directory or device, no file"):
            read_file(tmp_path / name)
    with pytest.raises(UnreadableFile, match="File name too long"):
        read_file(tmp_path / ("x" * 300))


def test_a_file_or_a_bomb_beyond_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_BYTES_MAX", 2**20)
    for content in (b" " * (2**20 + 1), gzip.compress(b" " * 2**24)):
        with pytest.raises(UnreadableFile, match="larger than 1 MiB"):
            read(tmp_path, content)


def test_example_9_repeated_pages_are_marked_in_lines_too_also_around_a_bad_one(tmp_path: Path) -> None:
    page = [json.dumps(trade(number)) for number in range(1, 130)]
    page[64] = '{"cut'
    readings = read(tmp_path, "\n".join([*page, *page]), "rows.jsonl")
    assert [type(reading) for reading in readings[129:]] == [RepeatedRow] * 129
    assert counted(readings).trade_rows == 128


def test_example_9_equal_rows_of_two_frame_types_are_no_repeated_block(tmp_path: Path) -> None:
    numbers = range(1, 121)
    readings = read(tmp_path, [*(frame("trades", n) for n in numbers), *(frame("orders_matched", n) for n in numbers)])
    assert not any(isinstance(reading, RepeatedRow) for reading in readings)


def seconds(readings: list[Reading]) -> list[int]:
    return [int(r.traded_at.timestamp()) - SECOND for r in readings if isinstance(r, LeaderAction)]


def test_newest_first_is_turned_round_so_that_one_second_is_oldest_first_too(tmp_path: Path) -> None:
    rows = [trade(3, size=4), trade(2, size=3), trade(2, size=2), trade(1, size=1)]
    ordered = chronological(read(tmp_path, rows))
    assert seconds(ordered) == [1, 2, 2, 3]
    assert [r.size_micros // 10**6 for r in ordered if isinstance(r, LeaderAction)] == [1, 2, 3, 4]


def test_oldest_first_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [trade(1, size=1), trade(2, size=2), trade(2, size=3), trade(1, size=4), trade(3, size=5)]
    ordered = chronological(read(tmp_path, rows))
    assert [r.size_micros // 10**6 for r in ordered if isinstance(r, LeaderAction)] == [1, 4, 2, 3, 5]


def test_a_row_without_a_time_stays_with_the_row_before_it(tmp_path: Path) -> None:
    rows = [trade(3), {"proxyWallet": "", "type": "REWARD"}, trade(2), trade(1), {"proxyWallet": "", "type": "YIELD"}]
    kinds = [r.type if isinstance(r, OtherAction) else seconds([r])[0] for r in chronological(read(tmp_path, rows))]
    assert kinds == ["YIELD", 1, 2, "REWARD", 3]
    assert chronological([OtherAction("A"), OtherAction("B")]) == [OtherAction("A"), OtherAction("B")]


def test_recorded_pages_come_out_oldest_first(shared_data: Path) -> None:
    readings = read_file(shared_data / "activity/v1_trades_maker_1000rows_20260220.json")
    times = [r.traded_at for r in chronological(readings) if isinstance(r, LeaderAction)]
    assert times == sorted(times)
    assert times[0] == datetime(2026, 2, 20, 8, 48, 32, tzinfo=UTC)


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(trade()) | st.just(frame("trades")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "events", "payload", "topic", "type", "proxyWallet"]), inner, max_size=4
        )
    ),
)


@given(content=st.binary(max_size=200) | DOCUMENTS.map(lambda it: json.dumps(it).encode()), packed=st.booleans())
def test_any_file_is_read_or_refused_by_name(
    content: bytes, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.getbasetemp(), gzip.compress(content) if packed else content)
    try:
        for reading in read_file(path):
            assert isinstance(reading, LeaderAction | OtherAction | RepeatedRow | Unreadable)
    except UnreadableFile as refused:
        assert path.name in str(refused)
