"""How the sandbox shows a happening in rows: the activity stream's words and the Data API's, from the same facts. Pure.

Numbers are JSON numbers with the noise of recorded ones; rounded to micros they are exact (data-profile.md section 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from execution.sandbox.happenings import Leg, Match, Move, Settled
from execution.sandbox.markets import SandboxMarket

Row = Mapping[str, object]

UNKNOWN_OUTCOME = 999
NOISY_IN = 8
"""One amount in so many carries noise where it has more than two decimals."""

_STREAM_DIGITS = Context(prec=16, rounding=ROUND_HALF_EVEN)
_API_PRICE = Decimal("1E-10")
_MICRO = Decimal("1E-6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A row of the Data API and what it may be filtered by. `trade` is False for what only `/activity` shows."""

    wallet: str
    second: int
    trade: bool
    taker: bool
    kind: str
    side: str
    condition_id: str
    event_slug: str
    token_id: str
    shares_micros: int
    cash_micros: int
    row: Row


def stream_payload(leg: Leg, market: SandboxMarket, settled: Settled) -> Row:
    """The payload of an activity frame (polymarket.md 4.1)."""
    index = market.outcome_index(leg.token_id)
    return {
        "asset": str(leg.token_id),
        "bio": "",
        "conditionId": market.condition_id,
        "eventSlug": market.event_slug,
        "icon": f"https://sandbox.invalid/{market.slug}.png",
        "name": "",
        "outcome": market.outcomes[index],
        "outcomeIndex": index,
        "price": _STREAM_DIGITS.divide(Decimal(leg.cash_micros), Decimal(leg.shares_micros)),
        "profileImage": "",
        "proxyWallet": leg.wallet,
        "pseudonym": "",
        "side": leg.side,
        "size": _noisy(leg.shares_micros, leg.order_hash),
        "slug": market.slug,
        "timestamp": settled.block_time_s,
        "title": market.title,
        "transactionHash": settled.tx_hash,
    }


def match_rows(match: Match, market: SandboxMarket, settled: Settled) -> tuple[Shown, ...]:
    """A row for each leg, the taker's first."""
    return tuple(_trade(leg, market, settled) for leg in match.legs)


def move_rows(move: Move, market: SandboxMarket | None, settled: Settled, *, cash_micros: int) -> tuple[Shown, ...]:
    """What `/activity` shows of a move: nothing of a transfer, which is no trade and no action of the venue."""
    if move.kind == "TRANSFER":
        return ()
    index = UNKNOWN_OUTCOME
    token = ""
    if market is not None and move.token_id is not None and move.kind == "REDEEM":
        index, token = market.outcome_index(move.token_id), str(move.token_id)
    row = {
        "proxy_wallet": move.wallet,
        "timestamp": settled.block_time_s,
        "type": move.kind,
        "size": plain_number(move.shares_micros),
        "usdc_size": plain_number(cash_micros),
        "transaction_hash": settled.tx_hash,
        "price": 0,
        "token_id": token,
        "side": "",
        "is_combo": False,
        **_market_words(market, index),
    }
    shown = Shown(
        wallet=move.wallet,
        second=settled.block_time_s,
        trade=False,
        taker=False,
        kind=move.kind,
        side="",
        condition_id=move.condition_id,
        event_slug="" if market is None else market.event_slug,
        token_id=token,
        shares_micros=move.shares_micros,
        cash_micros=cash_micros,
        row=row,
    )
    return (shown,)


def trade_row(shown: Shown) -> Row:
    """The row as `/v2/trades` shows it: without what only `/v2/activity` tells."""
    return {name: value for name, value in shown.row.items() if name not in ("type", "usdc_size", "is_combo")}


def _trade(leg: Leg, market: SandboxMarket, settled: Settled) -> Shown:
    # All-in cash: what left the buyer's wallet, what came into the seller's.
    cash = leg.cash_micros + leg.fee_micros if leg.side == "BUY" else leg.cash_micros - leg.fee_micros
    price = Decimal(leg.cash_micros) / Decimal(leg.shares_micros)
    row = {
        "proxy_wallet": leg.wallet,
        "timestamp": settled.block_time_s,
        "type": "TRADE",
        "size": _noisy(leg.shares_micros, leg.order_hash),
        "usdc_size": plain_number(cash),
        "transaction_hash": settled.tx_hash,
        "price": _trimmed(price.quantize(_API_PRICE, rounding=ROUND_HALF_EVEN)),
        "token_id": str(leg.token_id),
        "side": leg.side,
        "is_combo": False,
        **_market_words(market, market.outcome_index(leg.token_id)),
    }
    return Shown(
        wallet=leg.wallet,
        second=settled.block_time_s,
        trade=True,
        taker=not leg.maker,
        kind="TRADE",
        side=leg.side,
        condition_id=market.condition_id,
        event_slug=market.event_slug,
        token_id=str(leg.token_id),
        shares_micros=leg.shares_micros,
        cash_micros=cash,
        row=row,
    )


def _market_words(market: SandboxMarket | None, index: int) -> Row:
    known = market is not None and index != UNKNOWN_OUTCOME
    return {
        "condition_id": "" if market is None else market.condition_id,
        "title": "" if market is None else market.title,
        "slug": "" if market is None else market.slug,
        "icon": "" if market is None else f"https://sandbox.invalid/{market.slug}.png",
        "event_slug": "" if market is None else market.event_slug,
        "outcome": market.outcomes[index] if market is not None and known else "",
        "outcome_index": index,
        "name": "",
        "pseudonym": "",
        "bio": "",
        "profile_image": "",
    }


def _noisy(micros: int, order_hash: str) -> Decimal:
    """The amount, sometimes with the last digit of a float's sum: 10.475000000000001. Follows from the order."""
    plain = plain_number(micros)
    seed = int(order_hash[-4:], 16)
    if micros % 10_000 == 0 or seed % NOISY_IN:
        return plain
    noise = Decimal(1 if seed & 0x100 else -1).scaleb(plain.adjusted() - 16)
    return plain + noise


def plain_number(micros: int) -> Decimal:
    """Micros as a decimal number without trailing zeros."""
    return _trimmed(Decimal(micros) * _MICRO)


def _trimmed(value: Decimal) -> Decimal:
    """Without trailing zeros, and never in powers of ten."""
    trimmed = value.normalize()
    exponent = trimmed.as_tuple().exponent
    return trimmed.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else trimmed
