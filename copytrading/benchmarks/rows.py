"""Rows of made-up leaders, so that a benchmark needs no recording: mostly buys, over many markets, as recorded."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from copytrading.operations.cast import wallet_named
from copytrading.signals import LeaderAction, parse_row
from ledger.clock import Randomness

MARKETS = 200
"""Enough that a sell seldom meets an earlier trade of its token in the same batch."""

SELL_PERCENT = 10
SIZE_MIN, SIZE_SPAN = 20, 400
TOKEN_BASE = 10**76
"""Tokens as long as real ones, far above every native integer."""


def made_up_rows(label: str, rows: int, *, randomness: Randomness, began_at: datetime) -> tuple[LeaderAction, ...]:
    """One leader's trades, a second apart, each a transaction of its own; a sell sells what was bought before."""
    held: dict[int, int] = {}
    actions = [_action(label, number, began_at, trade=_trade(held, randomness)) for number in range(rows)]
    return tuple(action for action in actions if isinstance(action, LeaderAction))


def _trade(held: dict[int, int], randomness: Randomness) -> Mapping[str, Any]:
    sells = bool(held) and randomness.below(100) < SELL_PERCENT
    token = randomness.choice(sorted(held)) if sells else randomness.below(2 * MARKETS)
    size = held.pop(token) // 2 if sells else SIZE_MIN + randomness.below(SIZE_SPAN)
    if not sells:
        held[token] = held.get(token, 0) + size
    price = 20 + randomness.below(61)
    return {"side": "SELL" if sells else "BUY", "token": token, "size": str(size), "price": f"0.{price}"}


def _action(label: str, number: int, began_at: datetime, *, trade: Mapping[str, Any]) -> object:
    market, outcome = divmod(trade["token"], 2)
    row = {
        "proxyWallet": wallet_named(f"benchmark leader:{label}"),
        "type": "TRADE",
        "side": trade["side"],
        "asset": str(TOKEN_BASE + trade["token"]),
        "conditionId": f"0x{market + 1:064x}",
        "size": trade["size"],
        "price": trade["price"],
        "timestamp": int((began_at + timedelta(seconds=number)).timestamp()),
        "transactionHash": wallet_named(f"{label}:{number}") + "0" * 24,
        "title": f"Will benchmark {market + 1} end well?",
        "slug": f"benchmark-{market + 1}",
        "outcome": ("Yes", "No")[outcome],
        "outcomeIndex": outcome,
    }
    return parse_row(row, source="data-api", place=f"made-up row {number}")


def wallets_of(actions: Sequence[LeaderAction]) -> tuple[str, ...]:
    """The wallets that trade, each once."""
    return tuple(dict.fromkeys(action.wallet for action in actions))
