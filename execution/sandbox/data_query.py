"""Reads the query of the Data API v2: parameters to a filter, and the cursor that is bound to it. Pure."""

import base64
import json
import re
from dataclasses import dataclass
from hashlib import sha256

from execution.sandbox.feed import Filter
from execution.sandbox.serving import Ask

LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
CONDITIONS_MAX = 20
KINDS = frozenset(
    {
        *("TRADE", "SPLIT", "MERGE", "REDEEM", "CONVERSION", "MIGRATION", "REWARD", "YIELD"),
        *("MAKER_REBATE", "TAKER_REBATE", "REFERRAL_REWARD", "DEPOSIT", "WITHDRAWAL", "TIP"),
    }
)
_WALLET = re.compile(r"0x[0-9a-fA-F]{40}")
_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")


class BadQuery(ValueError):
    """Answered with 400 and this sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a page begins: `skip` rows into a second; the page before began at the other pair."""

    second: int | None = None
    skip: int = 0
    before_second: int | None = None
    before_skip: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What was asked for. `name` identifies filters and order, as the cursor must."""

    wanted: Filter
    limit: int
    newest_first: bool
    position: Position
    name: str


def read_query(ask: Ask, *, trades: bool) -> Query:
    """The query of `/v2/trades` or `/v2/activity`. Raises BadQuery."""
    if ask.one("offset") is not None:
        raise BadQuery("offset is not supported; use cursor")
    wanted = _filter(ask, trades=trades)
    newest_first = _one_of(ask, "sort_direction", ("DESC", "ASC"), default="DESC") == "DESC"
    name = sha256(f"{ask.target.partition('?')[0]} {wanted} {newest_first}".encode()).hexdigest()[:16]
    return Query(
        wanted=wanted,
        limit=read_limit(ask),
        newest_first=newest_first,
        position=_position(ask.one("cursor"), name),
        name=name,
    )


def read_limit(ask: Ask) -> int:
    """The page's size. Raises BadQuery."""
    limit = _whole(ask, "limit")
    if limit is None:
        return LIMIT_DEFAULT
    if not 1 <= limit <= LIMIT_MAX:
        raise BadQuery(f"limit must be between 1 and {LIMIT_MAX}")
    return limit


def read_wallet(ask: Ask, *, needed: bool) -> str | None:
    """The one wallet, lower-case. Raises BadQuery."""
    wallets = ask.many("user")
    if not wallets and not needed:
        return None
    if len(wallets) != 1 or not _WALLET.fullmatch(wallets[0]):
        raise BadQuery("user must be one address")
    return wallets[0].lower()


def read_conditions(ask: Ask) -> frozenset[str]:
    """The conditions asked for. Raises BadQuery."""
    conditions = frozenset(each.lower() for name in ("condition", "condition_id") for each in ask.many(name))
    if len(conditions) > CONDITIONS_MAX:
        raise BadQuery(f"at most {CONDITIONS_MAX} conditions")
    return conditions


def read_micros(text: str | None) -> int | None:
    """A decimal as micros. Raises BadQuery."""
    if text is None:
        return None
    if not _DECIMAL.fullmatch(text):
        raise BadQuery(f"{text[:20]} is no amount")
    whole, _, fraction = text.partition(".")
    return int(whole) * 1_000_000 + int((fraction + "000000")[:6])


def read_thresholds(ask: Ask, *, dust_micros: int) -> tuple[int, int]:
    """The least shares and the least value of a position, in micros; dust is left out unless asked. Raises BadQuery."""
    amount = read_micros(ask.one("filter_amount"))
    if amount is not None and _one_of(ask, "filter_type", ("CASH", "TOKENS"), default="CASH") == "CASH":
        return 0, amount
    if amount is None:
        amount = read_micros(ask.one("size_threshold"))
    return dust_micros if amount is None else amount, 0


def cursor(name: str, position: Position) -> str:
    """The opaque word for a position under these filters."""
    parts = [name, position.second, position.skip, position.before_second, position.before_skip]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _position(text: str | None, name: str) -> Position:
    if not text:
        return Position()
    try:
        parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found, second, skip, before_second, before_skip = parts
    except (ValueError, TypeError):
        raise BadQuery("invalid cursor") from None
    if found != name:
        raise BadQuery("cursor does not belong to these filters")
    return Position(second=second, skip=skip, before_second=before_second, before_skip=before_skip)


def _filter(ask: Ask, *, trades: bool) -> Filter:
    kinds = frozenset(each.upper() for each in ask.many("type"))
    if kinds - KINDS:
        raise BadQuery(f"unknown type {', '.join(sorted(kinds - KINDS))[:60]}")
    money = _one_of(ask, "filter_type", ("CASH", "TOKENS"), default="CASH") == "CASH"
    amount = read_micros(ask.one("filter_amount")) or 0
    return Filter(
        wallet=read_wallet(ask, needed=not trades),
        trades_only=trades,
        taker_only=trades and _one_of(ask, "taker_only", ("TRUE", "FALSE"), default="TRUE") == "TRUE",
        kinds=frozenset() if trades else kinds,
        side=_one_of(ask, "side", ("BUY", "SELL"), default=""),
        conditions=read_conditions(ask),
        event=ask.one("event_id") or "",
        first_s=_whole(ask, "start"),
        last_s=_whole(ask, "end"),
        cash_min_micros=amount if money else 0,
        shares_min_micros=0 if money else amount,
    )


def _one_of(ask: Ask, name: str, options: tuple[str, ...], *, default: str) -> str:
    found = ask.one(name)
    if found is None:
        return default
    if found.upper() not in options:
        raise BadQuery(f"{name} must be one of {', '.join(options).lower()}")
    return found.upper()


def _whole(ask: Ask, name: str) -> int | None:
    found = ask.one(name)
    if found is None:
        return None
    if not (found.isascii() and found.isdigit() and len(found) < 14):
        raise BadQuery(f"{name} must be a whole number")
    return int(found)
