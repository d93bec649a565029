"""The frames of the venue's user channel: what happens to one account's orders, as it happens. Pure.

Source: shared/reference/polymarket.md section 4.3. One connection for each API key; it has no replay, so what it
missed is read from `/data/trades`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from execution.clob.credentials import ApiCredentials
from execution.clob.order_state import OrderShown, OrderStateError, read_order
from execution.wire import WireError, decode

PING = "PING"
PING_S = 10.0
"""The venue drops a connection that was silent for two minutes; its own clients send this every ten seconds."""

FRAME_MAX = 1024 * 1024
"""Bytes; a trade with some dozens of makers has under twenty thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserNews:
    """What one frame tells: trade rows for `execution.clob.trades`, and orders; `unread` events were neither."""

    trades: tuple[Mapping[str, object], ...] = ()
    orders: tuple[OrderShown, ...] = ()
    unread: int = 0


def subscription(credentials: ApiCredentials, *, markets: Sequence[str] = ()) -> str:
    """The text that opens the channel, for all markets or some. It holds secrets: it is sent, and never kept."""
    auth = {"apiKey": credentials.api_key, "secret": credentials.secret, "passphrase": credentials.passphrase}
    return msgspec.json.encode({"type": "user", "auth": auth, "markets": list(markets)}).decode()


def read_frame(frame: bytes) -> UserNews:
    """One event or a list of them; nothing for the answer to a ping. Never raises, whatever the bytes are."""
    if frame.strip() in (b"", b"PONG", b"PING"):
        return UserNews()
    if len(frame) > FRAME_MAX:
        return UserNews(unread=1)
    try:
        value = decode(frame)
    except WireError:
        return UserNews(unread=1)
    trades: list[Mapping[str, object]] = []
    orders: list[OrderShown] = []
    unread = 0
    for event in value if isinstance(value, list) else [value]:
        if not isinstance(event, Mapping):
            unread += 1
            continue
        kind = str(event.get("event_type") or "").lower()
        if kind == "trade":
            trades.append(event)
        elif kind == "order":
            try:
                orders.append(read_order(event))
            except OrderStateError:
                unread += 1
        else:
            unread += 1
    return UserNews(trades=tuple(trades), orders=tuple(orders), unread=unread)
