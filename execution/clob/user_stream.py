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

REFUSALS = frozenset({"unauthorized/invalid api key", "unauthorized", "invalid api key", "invalid credentials"})
"""How the venue may say that it does not take a key, each a whole text: as a rule it only closes the connection, and
what its other interfaces say is in polymarket.md 3.4. Digits are no such word: ids of tokens hold any of them."""

_TOLD_IN = ("error", "errorMsg", "message", "msg", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserNews:
    """What one frame tells: trade rows for `execution.clob.trades`, and orders; `unread` events were neither.

    `refused`: one of those says that the venue does not take the key.
    """

    trades: tuple[Mapping[str, object], ...] = ()
    orders: tuple[OrderShown, ...] = ()
    unread: int = 0
    refused: bool = False


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
        return UserNews(unread=1, refused=_is_refusal(frame.decode("utf-8", "replace")))
    trades: list[Mapping[str, object]] = []
    orders: list[OrderShown] = []
    unread = 0
    refused = False
    for event in value if isinstance(value, list) else [value]:
        if not isinstance(event, Mapping):
            unread += 1
            refused = refused or _is_refusal(event)
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
            # An event of a kind that is new to us tells of something else, whatever its fields say.
            refused = refused or (kind in ("", "error") and any(_is_refusal(event.get(name)) for name in _TOLD_IN))
    return UserNews(trades=tuple(trades), orders=tuple(orders), unread=unread, refused=refused)


def _is_refusal(text: object) -> bool:
    return isinstance(text, str) and text.strip().rstrip(".").lower() in REFUSALS
