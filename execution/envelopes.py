"""The Data API's pages and its rows about positions, from decoded JSON. Pure.

The envelope is `{"data": [...], "pagination": {"has_more", "next_cursor", ...}}` (polymarket.md 5.1).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ledger.units import ONE, AmountError, Micros, micros_from_decimal, micros_from_text

CURSOR_MAX = 2_000
"""Characters of a cursor that are sent back; a longer one would not fit into an address."""

_WALLET = re.compile(r"0x[0-9a-fA-F]{40}")
_CONDITION = re.compile(r"0x[0-9a-fA-F]{62}(?:[0-9a-fA-F]{2})?")
_TOKEN = re.compile(r"[0-9]{1,78}")
_TOKENS_END = 2**256


class EnvelopeError(ValueError):
    """The answer is no page, or a row no position; the message says why in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The rows of one answer as they came. `more`: the venue says that it has others, and `next_cursor` asks for them.

    A `full` page may have more whatever it says: asking once too often is cheap, and pages have been clamped without a
    word (data-profile.md section 6).
    """

    rows: tuple[object, ...]
    next_cursor: str | None
    more: bool
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingPosition:
    """What a wallet holds of one token now; price in micros of pUSD, None where the venue says none inside (0, 1)."""

    wallet: str
    token_id: int
    condition_id: str
    size_micros: Micros
    price_micros: Micros | None


def read_page(value: object, *, limit: int) -> Page:
    """Read one decoded answer to a question for `limit` rows. Raises EnvelopeError."""
    if not isinstance(value, Mapping) or not isinstance(value.get("data"), list):
        raise EnvelopeError("The answer holds no list of rows.")
    rows, pagination = value["data"], value.get("pagination")
    about: Mapping[object, object] = pagination if isinstance(pagination, Mapping) else {}
    cursor = about.get("next_cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise EnvelopeError("The next cursor is no text.")
    if cursor is not None and len(cursor) > CURSOR_MAX:
        raise EnvelopeError("The next cursor is too long.")
    given = about.get("limit")
    most = min(limit, given) if isinstance(given, int) and given > 0 else limit
    more = about.get("has_more") is True or bool(cursor)
    return Page(rows=tuple(rows), next_cursor=cursor or None, more=more, full=len(rows) >= most)


def read_position(row: object) -> StandingPosition:
    """Read one row of `/v2/positions`; what is held is `current_size`, never `total_size`. Raises EnvelopeError."""
    if not isinstance(row, Mapping):
        raise EnvelopeError("The row is no object.")
    return StandingPosition(
        wallet=_matching(row, "proxy_wallet", _WALLET).lower(),
        token_id=_token(row),
        condition_id=padded_condition(_matching(row, "condition_id", _CONDITION)),
        size_micros=_size(row),
        price_micros=_price(row.get("current_price")),
    )


def padded_condition(condition_id: str) -> str:
    """A condition in lower case and 64 digits: those of combos come as bytes31, which lacks a last zero byte."""
    return f"{condition_id.lower():0<66}"


def _matching(row: Mapping[object, object], name: str, pattern: re.Pattern[str]) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise EnvelopeError(f"The row's {name} is none.")
    return value


def _token(row: Mapping[object, object]) -> int:
    value = row.get("token_id")
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _TOKENS_END:
        raise EnvelopeError("The row's token_id is none.")
    return value


def _size(row: Mapping[object, object]) -> Micros:
    size = _micros(row.get("current_size"))
    if size is None or size < 0:
        raise EnvelopeError("The row's current_size is no amount.")
    return size


def _price(value: object) -> Micros | None:
    price = _micros(value)
    return price if price is not None and 0 < price < ONE else None


def _micros(value: object) -> Micros | None:
    try:
        if isinstance(value, str):
            return micros_from_text(value)
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return micros_from_decimal(Decimal(value))
    except AmountError:
        return None
    return None
