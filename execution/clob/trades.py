"""The venue's trade rows, of `/data/trades` and of the user channel alike, as our orders' parts in them. Pure.

Source: shared/reference/polymarket.md section 3.3. A trade has one taker and some makers; where our order was a maker,
its size and price are those of its own part.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from execution.clob.numbers import NumberError, micros_of, whole_of
from execution.fees import FeeTerms, taker_fee
from execution.ports import TradeStatus, VenueTrade
from ledger.units import ONE, Micros, Side

TRADE_ID_MAX = 80
MAKERS_MAX = 10_000
"""Maker orders of one trade: a transaction has room for some dozens."""

PREFIX = "TRADE_STATUS_"
IN_FLIGHT: Mapping[str, TradeStatus] = {
    "MATCHED_NOT_BROADCASTED": TradeStatus.MATCHED,
    **{status.value: status for status in TradeStatus},
}
"""What is not in here is taken for MATCHED: it may still become anything, and nothing is booked on it."""

_PROGRESS = {
    TradeStatus.MATCHED: 0,
    TradeStatus.RETRYING: 1,
    TradeStatus.MINED: 2,
    TradeStatus.CONFIRMED: 3,
    TradeStatus.FAILED: 3,
}
_HASH = re.compile(r"0x[0-9a-f]{64}")

FeeOf = Callable[[int], FeeTerms]
"""The taker fee of a market by one of its tokens; rows carry only basis points that mean something else."""


class TradeError(ValueError):
    """A trade of ours cannot be read; the message is a sentence."""


def read_trades(rows: Iterable[object], own: Collection[str], *, fee_of: FeeOf) -> tuple[VenueTrade, ...]:
    """The parts that orders with these hashes (lower case) had in these trades, each once, as far as it got.

    Rows of other orders are passed over unread, and so are those that are no rows. Raises TradeError for a row of
    ours that cannot be read.
    """
    found: dict[tuple[str, str], VenueTrade] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            continue
        for trade in _parts(row, own, fee_of):
            key = (trade.venue_trade_id, trade.order_hash)
            before = found.get(key)
            if before is None or _PROGRESS[trade.status] >= _PROGRESS[before.status]:
                found[key] = trade
    return tuple(found.values())


def order_hashes(row: object) -> tuple[str, ...]:
    """The hashes, in lower case, of all orders that a row names: taker first, then makers."""
    if not isinstance(row, Mapping):
        return ()
    named = [row.get("taker_order_id"), *(maker.get("order_id") for maker in _makers(row))]
    return tuple(each.lower() for each in named if isinstance(each, str))


def own_hashes(row: object, *, wallet: str) -> tuple[str, ...]:
    """The hashes, in lower case, of the orders of this wallet that a row of its own account names."""
    if not isinstance(row, Mapping):
        return ()
    named = [maker.get("order_id") for maker in _makers(row) if _is(maker.get("maker_address"), wallet)]
    # Without the word the account took, unless it is among the makers.
    if str(row.get("trader_side") or ("MAKER" if named else "TAKER")).upper() == "TAKER":
        named.append(row.get("taker_order_id"))
    return tuple(each.lower() for each in named if isinstance(each, str))


def token_of(row: Mapping[str, object]) -> int:
    """The token of a row, or of a maker order in it. Raises TradeError."""
    text = str(row.get("asset_id") or "")
    if not re.fullmatch("[0-9]{1,78}", text, re.ASCII):
        raise TradeError("A trade names no token.")
    return int(text)


def status_of(text: object) -> TradeStatus:
    """How far a trade got, in words of either interface; MATCHED when the word is new to us."""
    return IN_FLIGHT.get(str(text).strip().upper().removeprefix(PREFIX), TradeStatus.MATCHED)


def _parts(row: Mapping[str, object], own: Collection[str], fee_of: FeeOf) -> list[VenueTrade]:
    makers = _makers(row)
    found = []
    taker = str(row.get("taker_order_id") or "").lower()
    try:
        if taker in own:
            found.append(_as_taker(row, taker, makers=makers, fee_of=fee_of))
        for maker in makers:
            order_hash = str(maker.get("order_id") or "").lower()
            if order_hash in own and order_hash != taker:
                found.append(_as_maker(row, order_hash, maker=maker))
    except NumberError as error:
        raise TradeError(f"A trade cannot be read: {error}") from None
    return found


def _as_taker(
    row: Mapping[str, object], order_hash: str, *, makers: Sequence[Mapping[str, object]], fee_of: FeeOf
) -> VenueTrade:
    size, price, token = micros_of(row.get("size")), _price(row.get("price")), token_of(row)
    paid = _paid_to_makers(makers, token=token, size=size)
    exact = size * price if paid is None else paid
    return _trade(row, order_hash, size=size, exact=exact, fee=fee_of(token))


def _as_maker(row: Mapping[str, object], order_hash: str, *, maker: Mapping[str, object]) -> VenueTrade:
    size, price = micros_of(maker.get("matched_amount")), _price(maker.get("price"))
    # The side of our part, which older rows leave out; makers pay no fee.
    own = {**row, "side": maker.get("side") or row.get("side")}
    return _trade(own, order_hash, size=size, exact=size * price, fee=None)


def _trade(row: Mapping[str, object], order_hash: str, *, size: Micros, exact: int, fee: FeeTerms | None) -> VenueTrade:
    """`exact` is the money in 10^-12; a micro that does not divide is the buyer's to pay and the seller's to lose."""
    if size <= 0 or not 0 < exact < size * ONE:
        raise TradeError("A trade has no size, or no price between 0 and 1.")
    cost = -(-exact // ONE) if _side(row) is Side.BUY else exact // ONE
    price = min(max((2 * exact + size) // (2 * size), 1), ONE - 1)
    tx_hash = str(row.get("transaction_hash") or "").lower()
    return VenueTrade(
        venue_trade_id=_id(row),
        order_hash=order_hash,
        status=status_of(row.get("status")),
        size_micros=size,
        price_micros=Micros(price),
        cost_micros=Micros(cost),
        fee_micros=Micros(0) if fee is None else taker_fee(size, price, terms=fee),
        matched_at=_moment(row),
        maker=fee is None,
        tx_hash=tx_hash if _HASH.fullmatch(tx_hash) else "",
    )


def _paid_to_makers(makers: Sequence[Mapping[str, object]], *, token: int, size: int) -> int | None:
    """What the taker exchanged with the makers, in 10^-12; None unless their parts add up to the whole trade.

    The row's own price is an average that was rounded. A maker of the other token gives the complement.
    """
    total = matched = 0
    for maker in makers:
        try:
            amount, price = micros_of(maker.get("matched_amount")), _price(maker.get("price"))
            total += amount * (price if token_of(maker) == token else ONE - price)
        except (NumberError, TradeError):
            return None
        matched += amount
    return total if makers and matched == size else None


def _is(address: object, wallet: str) -> bool:
    return isinstance(address, str) and address.lower() == wallet.lower()


def _makers(row: Mapping[str, object]) -> list[Mapping[str, object]]:
    makers = row.get("maker_orders")
    if not isinstance(makers, list) or len(makers) > MAKERS_MAX:
        return []
    return [maker for maker in makers if isinstance(maker, Mapping)]


def _price(value: object) -> int:
    """In 10^-6; a price with more digits is the average of several, and is rounded to the nearest."""
    text = str(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,40})?", text, re.ASCII):
        raise NumberError(f"{str(value)[:40]!r} is no price.")
    whole, _, fraction = text.partition(".")
    seventh = int(fraction[6:7] or 0)
    return int(whole) * ONE + int(fraction[:6].ljust(6, "0")) + (seventh >= 5)


def _side(row: Mapping[str, object]) -> Side:
    try:
        return Side(str(row.get("side") or "").upper())
    except ValueError:
        raise TradeError("A trade names no side.") from None


def _id(row: Mapping[str, object]) -> str:
    text = row.get("id")
    if not isinstance(text, str) or not 0 < len(text) <= TRADE_ID_MAX or not text.isascii() or not text.isprintable():
        raise TradeError("A trade has no usable id.")
    return text


def _moment(row: Mapping[str, object]) -> datetime:
    """The second of the match; milliseconds, as some frames carry, are understood too."""
    seconds = whole_of(row.get("match_time") or row.get("matchtime") or row.get("timestamp"))
    if seconds > 10**11:
        seconds //= 1_000
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        raise TradeError("A trade has no time.") from None
