"""Frames of the activity stream: which may concern a followed wallet, what they show, which came before. Pure.

Routed by shape and never by what a frame says it is: topics come and go, bodies of errors arrive in between.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from hashlib import blake2b
from itertools import islice

from copytrading.fields import decimal, first, printable
from copytrading.signals import ACTIVITY_ORDERS_MATCHED, ACTIVITY_TRADES, WALLET_FIELDS
from execution.wire import WireError, decode

TRADES, ORDERS_MATCHED = "trades", "orders_matched"

SOURCES: Mapping[str, str] = {TRADES: ACTIVITY_TRADES, ORDERS_MATCHED: ACTIVITY_ORDERS_MATCHED}
"""The label of rows by the type that the stream declares. Both types show a taker's fill (example 10)."""

FRAMES_MAX = 20_000
"""Digests remembered: minutes of the unfiltered stream, hours of the followed wallets."""

DEPTH_MAX = 4
"""A row is at most so many objects and lists deep: frame, payload, and two that nobody has seen yet."""

ROWS_MAX = 1_000
"""Of one frame; the recorded ones hold one."""

SENTENCE_MAX, TYPE_MAX = 200, 40
ERROR_STATUS = 400

_TX_FIELDS = ("transactionHash", "transaction_hash", "tx_hash")
_TOKEN_FIELDS = ("asset", "token_id")
_CONDITION_FIELDS = ("conditionId", "condition_id", "market_id")
_SHAPE = (WALLET_FIELDS, _TX_FIELDS, _TOKEN_FIELDS, _CONDITION_FIELDS)
_SHAPE_LEAST = 2

_TIME_FIELDS = ("timestamp", "source_ts_ms")
_MILLISECONDS_FROM = 10**11
"""A time above this is in milliseconds: as seconds it would lie in the year 5138."""

_Object = Mapping[object, object]

_WALLETS = re.compile(rb"0x[0-9a-f]{40}").findall
_HIDDEN = re.compile(rb"\\u00(?:3[0-9]|[46][1-6]|[57]8)").search
"""A hexadecimal digit or an x written as a JSON escape: only a decoder can tell what stands there."""


class Screen:
    """Finds followed wallets in raw frames without decoding them: for the thousands a second that concern nobody.

    It may be wrong only in one direction: a frame whose decoded text holds a followed wallet, in whatever field, case
    and formatting, always passes. UTF-8 is taken for granted, as the decoder does.
    """

    def __init__(self, wallets: Iterable[str]) -> None:
        self._wallets = frozenset(wallet.lower().encode() for wallet in wallets)

    def may_concern(self, frame: bytes) -> bool:
        """Whether the frame must be decoded to know."""
        lowered = frame.lower()
        if not self._wallets.isdisjoint(_WALLETS(lowered)):
            return True
        return b"\\u00" in lowered and _HIDDEN(lowered) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One row of a frame, the type under which it was declared, and the envelope's time in its own unit.

    `place` is its number among the rows of its envelope: equal rows of one envelope are separate fills.
    """

    type: str
    sent: Decimal | None
    row: _Object
    place: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a frame holds. `refusal` is the sentence of an error body, `unreadable` says why it is no JSON."""

    rows: tuple[Shown, ...] = ()
    refusal: str = ""
    unreadable: str = ""


NOTHING = Frame()


def read_frame(frame: bytes) -> Frame:
    """The rows of a frame wherever they stand in it; an answer to a ping, or what is nobody's trade, holds nothing.

    Never raises.
    """
    if not frame.strip():
        return NOTHING
    try:
        value = decode(frame)
    except WireError as error:
        return Frame(unreadable=str(error))
    rows = tuple(islice(_rows(value, _Envelope(), depth=0), ROWS_MAX))
    return Frame(rows=rows, refusal="" if rows else _refusal(value))


def moment_ms(row: _Object) -> int | None:
    """When the row says it happened, in Unix milliseconds; None where it does not say."""
    number = decimal(first(row, _TIME_FIELDS)[1])
    if number is None or not number.is_finite() or not 0 < number < _MILLISECONDS_FROM * 100:
        return None
    return int(number if number >= _MILLISECONDS_FROM else number * 1_000)


class Seen(Enum):
    """What is known of a row's frame: new, shown in another walk before, or in this one."""

    NEW = auto()
    ELSEWHERE = auto()
    HERE = auto()


class RecentFrames:
    """Remembers which frames were shown in which walk, the newest `frames_max` of them.

    A frame is told from another by everything it shows and by its envelope's time. Two rows that are equal but for
    that time are two fills; a row without such a time cannot be told from a second fill, and is always new.
    """

    def __init__(self, frames_max: int = FRAMES_MAX) -> None:
        self._frames_max = frames_max
        self._walks: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._walks)

    def note(self, shown: Shown, walk: str) -> Seen:
        """Remember this one, and say whether it was known."""
        if shown.sent is None:
            return Seen.NEW
        name = _digest(shown)
        walks = self._walks.pop(name, ())
        self._walks[name] = walks if walk in walks else (*walks[-1:], walk)
        if len(self._walks) > self._frames_max:
            self._walks.popitem(last=False)
        if walk in walks:
            return Seen.HERE
        return Seen.ELSEWHERE if walks else Seen.NEW


def _digest(shown: Shown) -> bytes:
    # The connection's id is left out on purpose: it differs when the same frame is sent again after a reconnect.
    fields = sorted((str(name), repr(value)) for name, value in shown.row.items())
    return blake2b(
        repr((shown.type, shown.sent, shown.place, fields)).encode(errors="replace"), digest_size=16
    ).digest()


@dataclass(slots=True)
class _Envelope:
    """What the objects around a row say of it, the innermost first, and how many rows it has held so far."""

    type: object = None
    sent: object = None
    rows: int = 0

    def inside(self, value: _Object) -> "_Envelope":
        """The envelope that this object is for what stands in it."""
        if "type" not in value and "timestamp" not in value:
            return self
        return _Envelope(value.get("type", self.type), value.get("timestamp", self.sent))


def _rows(value: object, envelope: _Envelope, *, depth: int) -> Iterator[Shown]:
    if isinstance(value, Mapping):
        if _is_row(value):
            yield _shown(value, envelope)
            envelope.rows += 1
            return
        envelope = envelope.inside(value)
    if depth < DEPTH_MAX and isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            if isinstance(inner, Mapping | list):
                yield from _rows(inner, envelope, depth=depth + 1)


def _is_row(value: _Object) -> bool:
    return sum(any(name in value for name in names) for names in _SHAPE) >= _SHAPE_LEAST


def _shown(row: _Object, envelope: _Envelope) -> Shown:
    declared, own = envelope.type, row.get("type")
    if isinstance(own, str) and own in SOURCES:
        # A row without an envelope says its type where others say TRADE; its time is that of the trade, not its own.
        declared, row = own, {name: value for name, value in row.items() if name != "type"}
    return Shown(type=printable(declared, TYPE_MAX), sent=decimal(envelope.sent), row=row, place=envelope.rows)


def _refusal(value: object) -> str:
    """The sentence of a body such as {"body": {"message": ...}, "statusCode": 400}; "" for anything else."""
    if not isinstance(value, Mapping):
        return ""
    status = value.get("statusCode")
    if not isinstance(status, int) or status < ERROR_STATUS:
        return ""
    body = value.get("body")
    said = body.get("message") if isinstance(body, Mapping) else body
    return f"{status} {printable(said, SENTENCE_MAX)}".strip()
