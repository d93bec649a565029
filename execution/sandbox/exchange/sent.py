"""An order as it arrives in a request: parsed strictly, judged nowhere here. Pure."""

import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from execution.sandbox.exchange.refusals import INVALID_PAYLOAD, OLD_VERSION, Refused
from execution.sandbox.happenings import SideName

OrderKind = Literal["GTC", "GTD", "FOK", "FAK"]
AT_ONCE: frozenset[OrderKind] = frozenset(("FOK", "FAK"))
"""Filled at once or killed: such an order never rests."""

BATCH_MAX = 15
SALT_BELOW = 2**53
"""The salt is a JSON number, and readers of JSON keep no more digits (polymarket.md 2.1)."""

WORD_BELOW = 2**256
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
BYTES32 = re.compile(r"0x[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentOrder:
    """The signed fields, the signature, and what stands around them. Addresses lower-case.

    `making` and `taking` are the maker's and the taker's amount in micros; `owner` is an API key.
    """

    salt: int
    maker: str
    signer: str
    token_id: int
    making: int
    taking: int
    side: SideName
    signature_type: int
    timestamp_ms: int
    metadata: bytes
    builder: bytes
    expiration_s: int
    signature: bytes
    owner: str
    kind: OrderKind
    post_only: bool

    @property
    def shares_micros(self) -> int:
        """How much of the outcome is wanted or given."""
        return self.taking if self.side == "BUY" else self.making

    @property
    def cash_micros(self) -> int:
        """The pUSD at the order's own price."""
        return self.making if self.side == "BUY" else self.taking


class _Fields(msgspec.Struct):
    salt: int
    maker: str
    signer: str
    tokenId: str  # noqa: N815 (the venue's names)
    makerAmount: str  # noqa: N815
    takerAmount: str  # noqa: N815
    side: Literal["BUY", "SELL"]
    signatureType: Literal[0, 1, 2, 3]  # noqa: N815
    signature: str
    timestamp: str = ""
    expiration: str = "0"
    metadata: str = ""
    builder: str = ""
    nonce: str | int | None = None


class _Body(msgspec.Struct):
    order: _Fields
    owner: str
    orderType: OrderKind  # noqa: N815
    postOnly: bool = False  # noqa: N815
    deferExec: bool = False  # noqa: N815


_ONE = msgspec.json.Decoder(_Body)
_MANY = msgspec.json.Decoder(list[_Body])


def parse_order(body: bytes) -> SentOrder:
    """The order of POST /order. Raises Refused."""
    try:
        return _checked(_ONE.decode(body))
    except (msgspec.DecodeError, ValueError):
        raise Refused(INVALID_PAYLOAD) from None


def parse_orders(body: bytes) -> list[SentOrder]:
    """The orders of POST /orders, however many. Raises Refused for the whole request."""
    try:
        return [_checked(each) for each in _MANY.decode(body)]
    except (msgspec.DecodeError, ValueError):
        raise Refused(INVALID_PAYLOAD) from None


def _checked(body: _Body) -> SentOrder:
    fields = body.order
    if not fields.timestamp and fields.nonce is not None:
        raise Refused(OLD_VERSION)
    if not 0 <= fields.salt < SALT_BELOW:
        raise Refused(INVALID_PAYLOAD)
    return SentOrder(
        salt=fields.salt,
        maker=_address(fields.maker),
        signer=_address(fields.signer),
        token_id=_number(fields.tokenId),
        making=_number(fields.makerAmount),
        taking=_number(fields.takerAmount),
        side=fields.side,
        signature_type=fields.signatureType,
        timestamp_ms=_number(fields.timestamp),
        metadata=_word(fields.metadata),
        builder=_word(fields.builder),
        expiration_s=_number(fields.expiration),
        signature=_bytes(fields.signature),
        owner=body.owner,
        kind=body.orderType,
        post_only=body.postOnly,
    )


def _address(text: str) -> str:
    if ADDRESS.fullmatch(text) is None:
        raise ValueError(text)
    return text.lower()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 78 and int(text) < WORD_BELOW):
        raise ValueError(text)
    return int(text)


def _word(text: str) -> bytes:
    if BYTES32.fullmatch(text) is None:
        raise ValueError(text)
    return bytes.fromhex(text[2:])


def _bytes(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError(text)
    return bytes.fromhex(text[2:])
