"""How the CLOB writes a book; shared by its REST and its market socket. Best level LAST on both sides. Pure."""

from collections.abc import Sequence
from hashlib import sha1

from execution.sandbox.board import BookView, Level
from execution.sandbox.markets import MIN_SHARES_MICROS, SandboxMarket
from execution.sandbox.rows import plain_number


def number(micros: int) -> str:
    """Micros as the CLOB's texts: no trailing zeros."""
    return str(plain_number(micros))


def book_words(view: BookView, market: SandboxMarket, at_ms: int) -> dict[str, object]:
    """The book as `/book` answers it; bids ascend and asks descend (polymarket.md 3.3)."""
    return {
        "market": market.condition_id,
        "asset_id": str(view.token_id),
        "timestamp": str(at_ms),
        "hash": book_hash(view),
        "bids": _levels(view.bids),
        "asks": _levels(view.asks),
        "min_order_size": number(MIN_SHARES_MICROS),
        "tick_size": number(view.tick_micros),
        "neg_risk": market.neg_risk,
        "last_trade_price": number(view.last_micros),
    }


def book_hash(view: BookView) -> str:
    """Changes with the book; 40 digits."""
    return sha1(f"{view.token_id} {view.version}".encode(), usedforsecurity=False).hexdigest()


def _levels(best_first: Sequence[Level]) -> list[dict[str, str]]:
    return [{"price": number(each.price_micros), "size": number(each.shares_micros)} for each in reversed(best_first)]
