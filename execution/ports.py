"""Protocols of the doors of execution, the values that pass through them, and the errors they may raise.

Adapters translate foreign errors once into an `Outcome`; nothing above ever sees an HTTP or RPC library.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from execution.books import Book
from execution.orders import OrderPlan
from ledger.units import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A confirmed execution of part of an order.

    `price_micros` is the average price; `cost_micros` the exact pUSD moved without the fee; `fee_micros` pUSD.
    """

    size_micros: Micros
    price_micros: Micros
    cost_micros: Micros
    fee_micros: Micros
    tx_hash: str = ""


class RejectReason(StrEnum):
    """Why a venue definitely did not take an order."""

    REJECTED = "REJECTED"
    NO_FILL = "NO_FILL"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    OFF_TICK = "OFF_TICK"
    NOT_ENOUGH_BALANCE = "NOT_ENOUGH_BALANCE"
    MARKET_CLOSED = "MARKET_CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The order is final with a confirmed fill (size > 0, perhaps partial)."""

    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The venue definitely holds nothing of this order: nothing was or will be filled."""

    reason: RejectReason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """The order rests on the venue (LIVE), or its match is not confirmed yet (MATCHED)."""

    matched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The answer was lost or ambiguous: the order may or may not stand. Ask by its hash, never resend."""

    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """The venue does not know the hash now. This alone never proves that it will not appear later."""


Outcome = Filled | Rejected | Resting | Unknown
OrderState = Filled | Rejected | Resting | Unknown | NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A book with where it came from and when; `source` is a short name such as 'around-leader'."""

    book: Book
    source: str
    as_of: datetime


class Signer(Protocol):
    """Signs order digests for one or many wallets without ever giving a key away."""

    def sign(self, wallet: str, digest: bytes) -> bytes:
        """The 65-byte signature of a 32-byte digest; raises `SignerRefused` for a wallet it has no key for."""
        ...


class SignerRefused(Exception):
    """The signer will not sign; nothing left the process."""


class QuoteSource(Protocol):
    """Where books come from."""

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:
        """The current book of a token, or None when there is none.

        `around_micros` is the leader's price; only a source that makes its book from it looks at it.
        """
        ...


class Venue(Protocol):
    """A place that executes orders. The answer is keyed by the EIP-712 order hash of the plan."""

    name: str

    async def submit(self, plan: OrderPlan, signature: bytes) -> Outcome:
        """Send once. Never raises for what the venue or the network does: that is an `Outcome`."""
        ...

    async def look_up(self, order_hash: str) -> OrderState:
        """What the venue knows about the order with this hash."""
        ...
