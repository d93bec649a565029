"""One raw row of a leader's activity as a value with a natural key, or why it cannot be read. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType

from copytrading.fields import decimal, first, int_of_digits, printable, shown
from ledger.units import ONE, AmountError, Micros, Side, micros_from_decimal

GroupKey = NewType("GroupKey", str)
"""The natural key wallet:tx:condition:token:side:kind; rows that share it are fills of one action."""

# The feeds, as signal rows name them. The stream shows a taker's fill under both of its types (example 10).
DATA_API = "data-api"
ACTIVITY_TRADES = "activity-trades"
ACTIVITY_ORDERS_MATCHED = "activity-orders-matched"
CHAIN_LOGS = "chain-logs"
MEMPOOL = "mempool"

TITLE_MAX = 200
SLUG_MAX = 200
OUTCOME_MAX = 100
TYPE_MAX = 40
OUTCOME_INDEX_UNKNOWN = 999
"""What the Data API writes where it knows no outcome (data-profile.md section 5)."""

# 2020-01-01, before the venue's first market, and 2100-01-01: outside, the unit of the field is wrong.
_EARLIEST_S, _LATEST_S = 1_577_836_800, 4_102_444_800
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UINT256_END = 2**256

# Explicit classes: `\d` also takes Unicode digits.
_WALLET = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")

# Data API v1 and the activity stream, Data API v2, the flat recorder of shared/data/rtds.
WALLET_FIELDS = ("proxyWallet", "proxy_wallet", "trader")
_TX_FIELDS = ("transactionHash", "transaction_hash", "tx_hash")
_CONDITION_FIELDS = ("conditionId", "condition_id", "market_id")
_TOKEN_FIELDS = ("asset", "token_id")
_SECONDS_FIELDS = ("timestamp",)
_MILLISECONDS_FIELDS = ("source_ts_ms",)
_OUTCOME_INDEX_FIELDS = ("outcomeIndex", "outcome_index")


class ActionKind(StrEnum):
    """What a leader did; only a TRADE becomes a signal, the others change the known holding.

    TRANSFER is a gift or a move between wallets, as the chain shows it: side BUY came in, SELL went out. A CONVERSION
    swaps tokens of several conditions for others, so that it only says that what was known is known no more.
    """

    TRADE = "TRADE"
    REDEEM = "REDEEM"
    MERGE = "MERGE"
    SPLIT = "SPLIT"
    TRANSFER = "TRANSFER"
    CONVERSION = "CONVERT"  # as stored; the venue's type is the name


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderAction:
    """One row. A TRADE has token, side, condition, size > 0 and a price inside (0, 1); the other kinds price 0.

    `size_micros` is shares, `price_micros` pUSD a share from the row's `price` (never usdcSize / size, which holds
    the fee), both rounded half to even. Another kind may have size 0, no token, no side and an empty condition.
    """

    source: str
    kind: ActionKind
    wallet: str
    tx_hash: str
    condition_id: str
    token_id: int | None
    side: Side | None
    size_micros: Micros
    price_micros: Micros
    traded_at: datetime
    title: str = ""
    slug: str = ""
    outcome: str = ""
    outcome_index: int | None = None


@dataclass(frozen=True, slots=True)
class OtherAction:
    """A row of a type that is nobody's trade (REWARD, a rebate, an unknown one): counted, never an obstacle."""

    type: str


@dataclass(frozen=True, slots=True)
class RepeatedRow:
    """A row inside a block that the same walk had shown before: a page read twice, not a fill."""

    place: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be trusted: where it was, and why in one sentence."""

    place: str
    sentence: str


def group_key(action: LeaderAction) -> GroupKey:
    """The key under which every source shows the same fills (data-profile.md section 2)."""
    token = "" if action.token_id is None else str(action.token_id)
    parts = (action.wallet, action.tx_hash, action.condition_id, token, action.side or "", action.kind)
    return GroupKey(":".join(parts))


def parse_row(row: object, *, source: str, place: str) -> LeaderAction | OtherAction | Unreadable:
    """Read one decoded JSON object whose numbers are `int`, `Decimal` or text. Never raises.

    `source` labels the feed, `place` names file and row or frame for the sentence of an unreadable one.
    """
    if not isinstance(row, Mapping):
        return Unreadable(place, f"the row is no object but {shown(row)}")
    try:
        kind = _kind(row)
        return kind if isinstance(kind, OtherAction) else _action(row, kind, source=source)
    except _Refused as refused:
        return Unreadable(place, str(refused))


class _Refused(ValueError):
    """Why the row is unreadable, in a sentence; never leaves this module."""


def _kind(row: Mapping[object, object]) -> ActionKind | OtherAction:
    value = row.get("type", ActionKind.TRADE)  # `/trades` and the stream send trades only, without a type
    if not isinstance(value, str):
        raise _Refused(f"type {shown(value)} is no text")
    return ActionKind[value] if value in ActionKind.__members__ else OtherAction(printable(value, TYPE_MAX))


def _action(row: Mapping[object, object], kind: ActionKind, *, source: str) -> LeaderAction:
    trade = kind is ActionKind.TRADE
    return LeaderAction(
        source=source,
        kind=kind,
        wallet=_matching(row, WALLET_FIELDS, pattern=_WALLET, meaning="an address of 0x and 40 hex digits"),
        tx_hash=_matching(row, _TX_FIELDS, pattern=_HASH, meaning="a hash of 0x and 64 hex digits"),
        condition_id=_condition_id(row, required=trade),
        token_id=_token_id(row, required=trade),
        side=_side(row, required=trade),
        size_micros=_size(row, positive=trade),
        price_micros=_price(row) if trade else Micros(0),
        traded_at=_traded_at(row),
        title=printable(row.get("title"), TITLE_MAX),
        slug=printable(row.get("slug"), SLUG_MAX),
        outcome=printable(row.get("outcome"), OUTCOME_MAX),
        outcome_index=_outcome_index(row),
    )


def _condition_id(row: Mapping[object, object], *, required: bool) -> str:
    if not required and first(row, _CONDITION_FIELDS)[1] in (None, ""):
        return ""
    return _matching(row, _CONDITION_FIELDS, pattern=_HASH, meaning="a condition of 0x and 64 hex digits")


def _token_id(row: Mapping[object, object], *, required: bool) -> int | None:
    name, value = first(row, _TOKEN_FIELDS)
    if not required and value in (None, ""):
        return None
    token = value if isinstance(value, int) and not isinstance(value, bool) else int_of_digits(value)
    # Zero is a uint256, but on chain it means collateral, never an outcome token.
    if token is None or not 0 < token < _UINT256_END:
        raise _Refused(f"{name} {shown(value)} is no token id (a positive uint256)")
    return token


def _side(row: Mapping[object, object], *, required: bool) -> Side | None:
    value = row.get("side")
    if not required and value in (None, ""):
        return None
    if isinstance(value, str) and value.isascii() and value.upper() in Side.__members__:
        return Side(value.upper())
    raise _Refused(f"side {shown(value)} is neither BUY nor SELL")


def _size(row: Mapping[object, object], *, positive: bool) -> Micros:
    size = _micros(row, "size")
    if size < 0 or (positive and size == 0):
        raise _Refused(f"size {shown(row.get('size'))} is not {'above' if positive else 'at least'} zero")
    return size


def _price(row: Mapping[object, object]) -> Micros:
    price = _micros(row, "price")
    if not 0 < price < ONE:
        raise _Refused(f"price {shown(row.get('price'))} is not inside (0, 1)")
    return price


def _micros(row: Mapping[object, object], name: str) -> Micros:
    value = row.get(name)
    number = decimal(value)
    if number is None:
        raise _Refused(f"{name} {shown(value)} is no exact number")
    try:
        return micros_from_decimal(number)
    except AmountError:
        raise _Refused(f"{name} {shown(value)} is not finite or above 10^12") from None


def _traded_at(row: Mapping[object, object]) -> datetime:
    name, value = first(row, _SECONDS_FIELDS + _MILLISECONDS_FIELDS)
    per_second = 1_000 if name in _MILLISECONDS_FIELDS else 1
    number = decimal(value)
    if number is None or not number.is_finite() or not _EARLIEST_S * per_second <= number < _LATEST_S * per_second:
        raise _Refused(f"{name} {shown(value)} is no time between 2020 and 2100")
    return _EPOCH + timedelta(milliseconds=int(number * (1_000 // per_second)))


def _outcome_index(row: Mapping[object, object]) -> int | None:
    """For showing only: whatever is no plain index is unknown, and no reason to refuse a trade."""
    value = first(row, _OUTCOME_INDEX_FIELDS)[1]
    plain = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < OUTCOME_INDEX_UNKNOWN
    return value if plain and isinstance(value, int) else None


def _matching(row: Mapping[object, object], names: tuple[str, ...], *, pattern: re.Pattern[str], meaning: str) -> str:
    name, value = first(row, names)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _Refused(f"{name} {shown(value)} is not {meaning}")
    return value.lower()
