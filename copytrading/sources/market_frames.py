"""Frames of the CLOB's market channel as the few events that matter here; books and prices are left alone. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from copytrading.fields import decimal, int_of_digits, printable, shown
from execution.orders import PRICE_DECIMALS
from execution.wire import WireError, decode
from ledger.units import AmountError, Micros, decimal_from_micros, micros_from_decimal

TICK, RESOLVED, NEW = "tick_size_change", "market_resolved", "new_market"

TITLE_MAX, SLUG_MAX = 200, 200

_TOLD = re.compile(rb"tick_size_change|market_resolved|new_market|\\u00").search
"""Books and prices are thousands of frames a second; an escaped letter has to be decoded to know what it is."""

_CONDITION = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TickChanged:
    """From now on prices of this token's market lie on another tick."""

    condition_id: str
    token_id: int
    tick_micros: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The market is decided. `winning_token` None: the frame named none."""

    condition_id: str
    winning_token: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMarket:
    """A market has opened."""

    condition_id: str
    token_ids: tuple[int, ...]
    title: str
    slug: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """An event that cannot be trusted, and why in one sentence."""

    sentence: str


MarketEvent = TickChanged | Resolved | NewMarket | Unclear


def read_events(frame: bytes) -> tuple[MarketEvent, ...]:
    """The events of a frame, an object or a list of them; usually none. Never raises."""
    if _TOLD(frame) is None:
        return ()
    try:
        value = decode(frame)
    except WireError as error:
        return (Unclear(str(error)),)
    rows = value if isinstance(value, list) else [value]
    events = (_event(row) for row in rows if isinstance(row, Mapping))
    return tuple(event for event in events if event is not None)


def _event(row: Mapping[object, object]) -> MarketEvent | None:
    read = {TICK: _tick, RESOLVED: _resolved, NEW: _new}.get(str(row.get("event_type")))
    if read is None:
        return None
    condition = row.get("market")
    condition = condition.lower() if isinstance(condition, str) else ""
    if not _CONDITION.fullmatch(condition):
        return Unclear(f"market {shown(row.get('market'))} is no condition of 0x and 64 hex digits")
    return read(row, condition)


def _tick(row: Mapping[object, object], condition_id: str) -> TickChanged | Unclear:
    token, size = _token(row.get("asset_id")), decimal(row.get("new_tick_size"))
    if token is None:
        return Unclear(f"asset_id {shown(row.get('asset_id'))} is no token id")
    try:
        tick = Micros(0) if size is None else micros_from_decimal(size)
    except AmountError:
        tick = Micros(0)
    if tick not in PRICE_DECIMALS or size != decimal_from_micros(tick):
        return Unclear(f"new_tick_size {shown(row.get('new_tick_size'))} is no tick that the venue uses")
    return TickChanged(condition_id=condition_id, token_id=token, tick_micros=tick)


def _resolved(row: Mapping[object, object], condition_id: str) -> Resolved:
    return Resolved(condition_id=condition_id, winning_token=_token(row.get("winning_asset_id")))


def _new(row: Mapping[object, object], condition_id: str) -> NewMarket:
    listed = row.get("assets_ids")
    tokens = [_token(each) for each in listed] if isinstance(listed, list) else []
    return NewMarket(
        condition_id=condition_id,
        token_ids=tuple(each for each in tokens if each is not None),
        title=printable(row.get("question"), TITLE_MAX),
        slug=printable(row.get("slug"), SLUG_MAX),
    )


def _token(value: object) -> int | None:
    token = int_of_digits(value)
    return token if token is not None and 0 < token < 2**256 else None
