from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.fields import ECHO_MAX, printable, shown
from copytrading.signals import (
    TITLE_MAX,
    WALLET_FIELDS,
    ActionKind,
    LeaderAction,
    OtherAction,
    Unreadable,
    group_key,
    parse_row,
)
from ledger.units import Micros, Side

LENA = "0x" + "ab" * 20
TX = "0x" + "c1" * 32
CONDITION = "0x" + "d2" * 32
TOKEN = "39059140761102735867213780342524176318432598655322903326399219585443003760474"
SECOND = 1_771_354_561
TRADED_AT = datetime(2026, 2, 17, 18, 56, 1, tzinfo=UTC)

V1 = {
    "proxyWallet": LENA,
    "timestamp": SECOND,
    "conditionId": CONDITION,
    "type": "TRADE",
    "size": Decimal("11.988287999999999"),
    "usdcSize": Decimal("9.999996"),
    "transactionHash": TX,
    "price": Decimal("0.8299999966799987"),
    "asset": TOKEN,
    "side": "BUY",
    "outcomeIndex": 0,
    "title": "Up or Down",
    "slug": "up-or-down",
    "outcome": "Up",
}
V2_NAMES = {
    "proxyWallet": "proxy_wallet",
    "conditionId": "condition_id",
    "usdcSize": "usdc_size",
    "transactionHash": "transaction_hash",
    "asset": "token_id",
    "outcomeIndex": "outcome_index",
}
FLAT_NAMES = {"proxyWallet": "trader", "conditionId": "market_id", "transactionHash": "tx_hash", "asset": "token_id"}


def row(**changes: object) -> dict[str, object]:
    return {**V1, **changes}


def without(*names: str) -> dict[str, object]:
    return {name: value for name, value in V1.items() if name not in names}


def parsed(value: object) -> LeaderAction:
    reading = parse_row(value, source="data-api", place="file row 1")
    assert isinstance(reading, LeaderAction), reading
    return reading


def refusal(value: object) -> str:
    reading = parse_row(value, source="data-api", place="file row 1")
    assert isinstance(reading, Unreadable), reading
    assert reading.place == "file row 1"
    return reading.sentence


def test_a_trade_is_read_exactly_and_its_noise_rounded_away() -> None:
    assert parsed(V1) == LeaderAction(
        source="data-api",
        kind=ActionKind.TRADE,
        wallet=LENA,
        tx_hash=TX,
        condition_id=CONDITION,
        token_id=int(TOKEN),
        side=Side.BUY,
        size_micros=Micros(11_988_288),
        price_micros=Micros(830_000),
        traded_at=TRADED_AT,
        title="Up or Down",
        slug="up-or-down",
        outcome="Up",
        outcome_index=0,
    )


def test_every_spelling_of_the_venue_reads_the_same() -> None:
    v2 = {V2_NAMES.get(name, name): value for name, value in V1.items()}
    flat = {FLAT_NAMES.get(name, name): value for name, value in without("type", "timestamp", "outcomeIndex").items()}
    flat["source_ts_ms"] = SECOND * 1_000
    assert parsed(v2) == parsed(without("type")) == parsed(V1)
    assert parsed(flat) == replace(parsed(V1), outcome_index=None)


def test_price_is_never_derived_from_the_all_in_cash() -> None:
    assert parsed(row(size=80, price=Decimal("0.72"), usdcSize=Decimal("58.72896"))).price_micros == 720_000


@pytest.mark.parametrize("number", ["10.475000000000001", Decimal("10.475"), "1.0475E+1", "10.4750005"])
def test_size_is_rounded_half_to_even_from_its_text(number: object) -> None:
    assert parsed(row(size=number)).size_micros == 10_475_000


def test_other_casing_of_the_same_trade_has_the_same_key() -> None:
    loud = row(proxyWallet=LENA.replace("ab", "AB"), transactionHash=TX.replace("c", "C"), side="buy")
    assert group_key(parsed(loud)) == group_key(parsed(V1)) == f"{LENA}:{TX}:{CONDITION}:{TOKEN}:BUY:TRADE"


@pytest.mark.parametrize(
    "change",
    [
        {"proxyWallet": "0x" + "ac" * 20},
        {"transactionHash": "0x" + "c2" * 32},
        {"conditionId": "0x" + "d3" * 32},
        {"asset": "1"},
        {"side": "SELL"},
        {"type": "MERGE"},
    ],
)
def test_each_part_of_the_key_tells_groups_apart(change: dict[str, object]) -> None:
    assert group_key(parsed(row(**change))) != group_key(parsed(V1))


@pytest.mark.parametrize("change", [{"size": 5}, {"price": Decimal("0.5")}, {"timestamp": SECOND + 1}, {"title": "x"}])
def test_nothing_else_tells_groups_apart(change: dict[str, object]) -> None:
    assert group_key(parsed(row(**change))) == group_key(parsed(V1))


NOT_NUMBERS: tuple[object, ...] = (
    None,
    True,
    False,
    "",
    " 1",
    "1 ",
    "1_0",
    "+1",
    "0x1",
    "NaN",
    "Infinity",
    "-Infinity",
    "१",
    "1e",
    [],
    {},
    0.5,
)
NOT_FINITE = (Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("1e400"))
TOO_LARGE = (2**256, 10**5000, "1e400", "1e99999999999999999999", Decimal("1e13"), 10**12 + 1, "9" * 90, "9" * 200)


@pytest.mark.parametrize(
    "size", [*NOT_NUMBERS, *NOT_FINITE, *TOO_LARGE, 0, -1, "-1", Decimal("-0.5"), "0.0000004"], ids=shown
)
def test_trade_of_an_impossible_size_is_refused(size: object) -> None:
    assert refusal(row(size=size)).startswith("size ")


@pytest.mark.parametrize(
    "price",
    [*NOT_NUMBERS[:-1], *NOT_FINITE, *TOO_LARGE, 0, 1, -1, "1.0000001", "0.9999996", "0.0000004", 2, "-0.5"],
    ids=shown,
)
def test_price_outside_zero_and_one_is_refused_also_after_rounding(price: object) -> None:
    assert refusal(row(price=price)).startswith("price ")


def test_a_price_just_inside_is_taken() -> None:
    assert parsed(row(price="0.999999")).price_micros == 999_999
    assert parsed(row(price="0.000001")).price_micros == 1


@pytest.mark.parametrize(
    "token",
    [None, True, "", "0", 0, -1, "-1", "1.5", Decimal(7), "0x1f", "1_0", " 1", "٣", 2**256, str(2**256), "9" * 79, [1]],
)
def test_token_that_is_no_uint256_is_refused(token: object) -> None:
    assert refusal(row(asset=token)).startswith("asset ")


@pytest.mark.parametrize("token", [1, "1", "007", 2**256 - 1, str(2**256 - 1)])
def test_every_positive_uint256_is_a_token(token: object) -> None:
    assert parsed(row(asset=token)).token_id == int(str(token))


BAD_HEX: tuple[object, ...] = (
    None,
    5,
    True,
    "",
    "0x",
    "abc",
    "0x" + "ab" * 19,
    "0x" + "g" * 40,
    "0x" + "\u0661" * 40,
    "0x" + "ab" * 33,
    [],
)


@pytest.mark.parametrize("wallet", [*BAD_HEX, TX, LENA[2:], LENA + "\n", " " + LENA, "0X" + "ab" * 20])
def test_wallet_that_is_no_address_is_refused(wallet: object) -> None:
    assert refusal(row(proxyWallet=wallet)).startswith("proxyWallet ")


@pytest.mark.parametrize("tx_hash", [*BAD_HEX, LENA, TX[2:], TX + "00", "0x" + "\u0661" * 64])
def test_transaction_that_is_no_hash_is_refused(tx_hash: object) -> None:
    assert refusal(row(transactionHash=tx_hash)).startswith("transactionHash ")


@pytest.mark.parametrize("condition", [*BAD_HEX, LENA])
def test_trade_without_a_condition_is_refused(condition: object) -> None:
    assert refusal(row(conditionId=condition)).startswith("conditionId ")


@pytest.mark.parametrize("side", [None, "", "HOLD", "BUY ", 0, True, [], "\u017fell", "buy\x00"])
def test_unknown_side_is_refused(side: object) -> None:
    assert refusal(row(side=side)).startswith("side ")


@pytest.mark.parametrize(
    "seconds", [*NOT_NUMBERS, *NOT_FINITE, 0, -1, SECOND * 1_000, 2**63, "soon", 1_500_000_000], ids=shown
)
def test_time_that_is_missing_or_absurd_is_refused(seconds: object) -> None:
    assert refusal(row(timestamp=seconds)).startswith("timestamp ")


def test_milliseconds_are_read_only_where_the_field_says_so() -> None:
    flat = without("timestamp") | {"source_ts_ms": SECOND * 1_000 + 250}
    assert parsed(flat).traded_at == TRADED_AT.replace(microsecond=250_000)
    assert refusal(without("timestamp") | {"source_ts_ms": SECOND}).startswith("source_ts_ms ")


@pytest.mark.parametrize("value", [None, 1, "row", [], [V1], True, Decimal(1)])
def test_what_is_no_object_is_refused(value: object) -> None:
    assert refusal(value).startswith("the row is no object")


@pytest.mark.parametrize("name", ["proxyWallet", "transactionHash", "conditionId", "asset", "side", "size", "price"])
def test_a_missing_field_is_named(name: str) -> None:
    assert refusal(without(name)).startswith(f"{name} (missing)")


REDEEM = row(type="REDEEM", asset="", side="", outcomeIndex=999, price=0, size=0)


def test_redeem_of_size_zero_is_legal() -> None:
    action = parsed(REDEEM)
    assert (action.kind, action.size_micros, action.price_micros) == (ActionKind.REDEEM, 0, 0)
    assert (action.token_id, action.side, action.outcome_index) == (None, None, None)


def test_redeem_by_leg_keeps_its_token() -> None:
    assert parsed(REDEEM | {"asset": TOKEN, "outcomeIndex": 1}).token_id == int(TOKEN)


@pytest.mark.parametrize("kind", ["REDEEM", "MERGE", "SPLIT"])
def test_other_kinds_change_holdings_and_may_lack_a_condition(kind: str) -> None:
    assert parsed(REDEEM | {"type": kind, "conditionId": ""}).condition_id == ""
    assert refusal(REDEEM | {"type": kind, "conditionId": "0x12"}).startswith("conditionId ")
    assert refusal(REDEEM | {"type": kind, "size": -1}).startswith("size ")


@pytest.mark.parametrize("kind", ["REWARD", "MAKER_REBATE", "TAKER_REBATE", "MIGRATION", "TIP", "trade", ""])
def test_an_unknown_type_is_counted_and_stops_nothing(kind: str) -> None:
    assert parse_row({"type": kind}, source="data-api", place="p") == OtherAction(kind)


def test_a_hostile_type_is_cut_and_cleaned() -> None:
    assert parse_row({"type": "X\n\x1b[31m" + "Y" * 10**6}, source="s", place="p") == OtherAction("X [31m" + "Y" * 34)
    assert refusal({"type": 7}) == "type 7 is no text"


def test_text_for_people_loses_control_bidi_and_surrogate_characters() -> None:
    action = parsed(row(title="a\nb\x00\x1b[31m\u202ec\ud800" + "z" * 500, slug=None, outcome=5, outcomeIndex=True))
    assert action.title == ("a b[31mc" + "z" * 500)[:TITLE_MAX]
    assert (action.slug, action.outcome, action.outcome_index) == ("", "", None)


def test_text_of_other_scripts_is_kept() -> None:
    assert printable("Chow Hang\u2011tung, António, 東京", 100) == "Chow Hang\u2011tung, António, 東京"


@pytest.mark.parametrize(
    "name", [name for name in V1 if name not in ("usdcSize", "outcomeIndex", "title", "slug", "outcome")]
)
@pytest.mark.parametrize(
    "value", ["9" * 5_000, "x" * 5_000, "\n" * 5_000, 10**6_000, ["x" * 5_000], {"a": "b" * 99}], ids=shown
)
def test_a_sentence_echoes_little_of_the_input(name: str, value: object) -> None:
    reading = parse_row(row(**{name: value}), source="data-api", place="p")
    if isinstance(reading, Unreadable):
        assert len(reading.sentence) < ECHO_MAX + 80
        assert reading.sentence.isprintable()
    else:
        assert reading == OtherAction(printable(value, 40))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(max_size=70)
    | st.sampled_from([LENA, TX, TOKEN, "BUY", "TRADE", SECOND, SECOND * 1_000, Decimal("0.5")])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
NAMES = st.sampled_from([*V1, *V2_NAMES.values(), *FLAT_NAMES.values(), "source_ts_ms", *WALLET_FIELDS])


@given(JSON | st.dictionaries(NAMES, JSON) | st.dictionaries(NAMES, JSON).map(lambda changes: row(**changes)))
def test_no_input_makes_the_parser_raise(value: object) -> None:
    reading = parse_row(value, source="data-api", place="p")
    if isinstance(reading, LeaderAction) and reading.kind is ActionKind.TRADE:
        assert 0 < reading.price_micros < 10**6
        assert 0 < reading.size_micros <= 10**18
        assert reading.token_id is not None
        assert reading.side is not None
    elif isinstance(reading, Unreadable):
        assert len(reading.sentence) < ECHO_MAX + 80
