"""Reads the fills out of a pending `matchOrders` call of the V2 exchanges, before it is mined. Pure.

Layout: shared/reference/polymarket.md section 1.1. What it assumes about state that calldata does not hold: every
order still has as much left as the operator asks to fill, is not cancelled and is paid for; where that is wrong the
exchange reverts the whole call. Resting orders trade at their own price, rounded down to a micro; what the taker gets
is what the resting orders give: with orders of the same side on the other token (a mint or a merge) one share of each
makes a full set, worth one pUSD.
"""

from dataclasses import dataclass

from execution.abi_words import AbiError, Words
from ledger.units import Side

MATCH_ORDERS = bytes.fromhex("3c2b4399")

CALLDATA_MAX = 1 << 20
"""Bytes of one call: two thousand resting orders need about as much."""

# conditionId, taker, makers, takerFill, makerFills, takerFee, makerFees
_CONDITION, _TAKER, _MAKERS, _TAKER_FILL, _MAKER_FILLS = range(5)
# The order's tuple: salt, maker, signer, tokenId, makerAmount, takerAmount, side, ...
_MAKER, _TOKEN, _MAKER_AMOUNT, _TAKER_AMOUNT, _SIDE = 1, 3, 4, 5, 6


class NotReadable(ValueError):
    """The call is no `matchOrders` that can be trusted; the message says why in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingFill:
    """What one order of the call is about to trade: `shares` for `cash`, in micros, before any fee."""

    wallet: str
    token_id: int
    side: Side
    shares: int
    cash: int
    taker: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMatch:
    """The whole call: the taker's fill first."""

    condition_id: str
    fills: tuple[PendingFill, ...]


def is_match(calldata: bytes) -> bool:
    """Whether a call claims to be `matchOrders`."""
    return calldata[:4] == MATCH_ORDERS


def read_match(calldata: bytes) -> PendingMatch:
    """The fills of a `matchOrders` call. Raises NotReadable."""
    if not is_match(calldata) or len(calldata) > CALLDATA_MAX:
        raise NotReadable("The call is no matchOrders, or too long.")
    try:
        return _read(Words(calldata[4:]))
    except AbiError as error:
        raise NotReadable(f"The call cannot be read. {error}") from None


def _read(words: Words) -> PendingMatch:
    makers, amounts = words.parts(_MAKERS), words.uints(_MAKER_FILLS)
    if not makers or len(makers) != len(amounts):
        raise NotReadable(f"{len(makers)} resting orders have {len(amounts)} amounts.")
    resting = tuple(_resting(order, amount) for order, amount in zip(makers, amounts, strict=True))
    taking = _taking(words.at(_TAKER), resting, bound=words.uint(_TAKER_FILL))
    return PendingMatch(condition_id=words.hash(_CONDITION), fills=(taking, *resting))


def _resting(order: Words, amount: int) -> PendingFill:
    gives, takes = order.uint(_MAKER_AMOUNT), order.uint(_TAKER_AMOUNT)
    if gives == 0:
        raise NotReadable("A resting order gives nothing.")
    side, got = _side(order), amount * takes // gives
    shares, cash = (got, amount) if side is Side.BUY else (amount, got)
    return PendingFill(
        wallet=order.address(_MAKER), token_id=order.uint(_TOKEN), side=side, shares=shares, cash=cash, taker=False
    )


def _taking(order: Words, resting: tuple[PendingFill, ...], *, bound: int) -> PendingFill:
    """`bound` is what the taker gives at most, cash of a buy and shares of a sell; never more is believed."""
    side, token = _side(order), order.uint(_TOKEN)
    shares = sum(each.shares for each in resting)
    cash = sum(_mirrored(each, side=side, token=token) for each in resting)
    if side is Side.SELL:
        shares = min(shares, bound)
    else:
        cash = min(cash, bound)
    return PendingFill(wallet=order.address(_MAKER), token_id=token, side=side, shares=shares, cash=cash, taker=True)


def _mirrored(fill: PendingFill, *, side: Side, token: int) -> int:
    """The cash on the taker's side of a resting fill: the same, or what is missing to a full set."""
    if fill.side is not side and fill.token_id == token:
        return fill.cash
    if fill.side is side and fill.token_id != token:
        return max(0, fill.shares - fill.cash)
    raise NotReadable("A resting order does not match its taker.")


def _side(order: Words) -> Side:
    return (Side.BUY, Side.SELL)[order.small(_SIDE, below=2)]
