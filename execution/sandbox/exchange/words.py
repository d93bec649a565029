"""How the CLOB writes orders and trades: rows of /data, events of the user socket, answers to a post. Pure."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence

from execution.sandbox.clob_books import number
from execution.sandbox.exchange.records import OrderRecord, Part, TradeRecord
from execution.sandbox.exchange.refusals import Refused

FIRST, LAST = "MA==", "LTE="
"""Cursors: the base64 of 0 and of -1."""

PAGE_ROWS = 100


def posted(record: OrderRecord) -> dict[str, object]:
    """The answer to an order that was taken; amounts of nothing are empty texts. Hashes of transactions come later."""
    status = {"DELAYED": "delayed", "LIVE": "live"}.get(record.status, "matched")
    return {
        "success": True,
        "errorMsg": "",
        "orderID": record.order_hash,
        "status": "matched" if record.trade_ids else status,
        "makingAmount": number(record.spent_micros) if record.spent_micros else "",
        "takingAmount": number(record.got_micros) if record.got_micros else "",
        "transactionsHashes": [],
        "tradeIDs": list(record.trade_ids),
    }


def not_posted(text: str) -> dict[str, object]:
    """A rejection that looks like a success: the hash is empty (polymarket.md 3.3)."""
    return {
        "success": True,
        "errorMsg": text,
        "orderID": "",
        "status": "",
        "makingAmount": "",
        "takingAmount": "",
        "transactionsHashes": [],
        "tradeIDs": [],
    }


def order_row(record: OrderRecord) -> dict[str, object]:
    """A row of /data/orders."""
    sent, market = record.sent, record.market
    return {
        "id": record.order_hash,
        "status": record.status,
        "owner": sent.owner,
        "maker_address": record.wallet,
        "market": market.condition_id,
        "asset_id": str(sent.token_id),
        "side": sent.side,
        "original_size": number(sent.shares_micros),
        "size_matched": number(record.filled_micros),
        "price": number(record.price_micros),
        "outcome": market.outcomes[market.outcome_index(sent.token_id)],
        "expiration": str(sent.expiration_s),
        "order_type": sent.kind,
        "created_at": record.placed_ms // 1_000,
        "associate_trades": list(record.trade_ids),
    }


def order_event(record: OrderRecord, change: str, now_ms: int) -> dict[str, object]:
    """An event of the user socket."""
    row = {**order_row(record), "created_at": str(record.placed_ms // 1_000)}
    return {"event_type": "order", "type": change, "timestamp": str(now_ms), "order_owner": record.sent.owner, **row}


def trade_row(trade: TradeRecord, key: str) -> dict[str, object]:
    """A row of /data/trades, as the address sees it: its own size and price as a maker stand with the maker orders."""
    taker = trade.taker
    takes = taker.order is not None and taker.order.key == key
    return {
        "id": trade.trade_id,
        "taker_order_id": taker.leg.order_hash,
        "market": trade.market.condition_id,
        "asset_id": str(taker.leg.token_id),
        "side": taker.leg.side,
        "size": number(taker.leg.shares_micros),
        "fee_rate_bps": str(trade.market.fee_rate_bps),
        "price": number(taker.price_micros),
        "status": trade.status,
        "match_time": str(trade.matched_ms // 1_000),
        "last_update": str(trade.updated_ms // 1_000),
        "outcome": _outcome(trade, taker),
        "bucket_index": trade.bucket,
        "owner": taker.owner,
        "maker_address": taker.leg.wallet,
        "transaction_hash": trade.tx_hash,
        "trader_side": "TAKER" if takes else "MAKER",
        "maker_orders": [_maker_order(trade, each) for each in trade.makers],
    }


def trade_event(trade: TradeRecord, key: str, now_ms: int) -> dict[str, object]:
    """An event of the user socket."""
    row = trade_row(trade, key)
    return {"event_type": "trade", "type": "TRADE", "timestamp": str(now_ms), "trade_owner": row["owner"], **row}


def page(rows: Sequence[object], cursor: str | None) -> dict[str, object]:
    """One page from a cursor on. Raises Refused for a cursor that is none."""
    start = _start(cursor or FIRST)
    end = start + PAGE_ROWS
    after = b64encode(str(end).encode()).decode() if end < len(rows) else LAST
    shown = rows[start:end]
    return {"limit": PAGE_ROWS, "count": len(shown), "next_cursor": after, "data": list(shown)}


def _start(cursor: str) -> int:
    try:
        start = int(b64decode(cursor, validate=True))
    except (NotBase64, ValueError):
        start = -1
    if start < 0:
        raise Refused("invalid next_cursor")
    return start


def _maker_order(trade: TradeRecord, part: Part) -> dict[str, object]:
    return {
        "order_id": part.leg.order_hash,
        "owner": part.owner,
        "maker_address": part.leg.wallet,
        "matched_amount": number(part.leg.shares_micros),
        "price": number(part.price_micros),
        "fee_rate_bps": "0",
        "asset_id": str(part.leg.token_id),
        "side": part.leg.side,
        "outcome": _outcome(trade, part),
    }


def _outcome(trade: TradeRecord, part: Part) -> str:
    return trade.market.outcomes[trade.market.outcome_index(part.leg.token_id)]
