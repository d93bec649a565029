"""Protocols of the doors of execution, the values that pass through them, and the errors they may raise.

Adapters translate foreign errors once into an `Outcome`; nothing above ever sees an HTTP or RPC library.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from execution.books import Book
from execution.eip1559 import Transaction
from execution.orders import OrderPlan
from ledger.units import Micros, Side


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
    """Why a venue definitely did not take an order.

    After OFF_TICK and WRONG_VERSION what is remembered of the market is out of date, after NOT_ENOUGH_BALANCE what is
    remembered of the account; ACCOUNT_REFUSED stops the account, BLOCKED concerns everybody at this address.
    """

    REJECTED = "REJECTED"
    NO_FILL = "NO_FILL"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    OFF_TICK = "OFF_TICK"
    WRONG_VERSION = "WRONG_VERSION"
    NOT_ENOUGH_BALANCE = "NOT_ENOUGH_BALANCE"
    MARKET_CLOSED = "MARKET_CLOSED"
    ACCOUNT_REFUSED = "ACCOUNT_REFUSED"
    BLOCKED = "BLOCKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The order is final with a confirmed fill (size > 0, perhaps partial)."""

    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The venue definitely holds nothing of this order: nothing was or will be filled."""

    reason: RejectReason
    detail: str = ""


class TradeStatus(StrEnum):
    """How far a venue trade is settled: only CONFIRMED moves money, FAILED never happened (polymarket.md 3.3)."""

    MATCHED = "MATCHED"
    MINED = "MINED"
    RETRYING = "RETRYING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether it changes no more."""
        return self in (TradeStatus.CONFIRMED, TradeStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueTrade:
    """One venue trade's part in one of our orders: shares, average price, pUSD without the fee, the fee; micros.

    `maker`: our order rested, so the numbers are those of its own part of the trade.
    """

    venue_trade_id: str
    order_hash: str
    status: TradeStatus
    size_micros: Micros
    price_micros: Micros
    cost_micros: Micros
    fee_micros: Micros
    matched_at: datetime
    maker: bool = False
    tx_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """The order rests on the venue or is delayed (LIVE), or its match is not confirmed yet (MATCHED).

    `matched_micros` are the shares that the venue says it matched, 0 where it does not say. `trades` are those that
    it showed with this answer; more may follow. `final`: nothing of the order rests any more.
    """

    matched: bool
    matched_micros: int = 0
    trades: tuple[VenueTrade, ...] = ()
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The answer was lost or ambiguous: the order may or may not stand. Ask by its hash, never resend."""

    detail: str = ""


class HoldUp(StrEnum):
    """Why the venue did not look at an order at all."""

    RATE_LIMITED = "RATE_LIMITED"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """This attempt was provably not accepted: the same bytes may be sent again, not before `wait_s` from now."""

    why: HoldUp
    wait_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """The venue does not know the hash now. This alone never proves that it will not appear later."""


Outcome = Filled | Rejected | Resting | Unknown | NotTaken
OrderState = Filled | Rejected | Resting | Unknown | NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRef:
    """An order as it can be asked about: its hash, whose it is, what it trades and since when it may stand."""

    order_hash: str
    follower_id: int
    token_id: int
    condition_id: str
    side: Side
    size_micros: Micros
    since: datetime


FALLBACK = "fallback"
"""The source of a quote that knows no book: one level at the leader's price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A book with where it came from and when; `source` is a short name: 'book' and 'stream' are the venue's."""

    book: Book
    source: str
    as_of: datetime


class Signer(Protocol):
    """Signs for one or many keys without ever giving one away.

    It takes the structured order or transaction, recomputes the digest itself and refuses what its policy does not
    allow.
    """

    async def sign_order(self, plan: OrderPlan, *, key: str) -> bytes:
        """The signature to send with a plan, wrapped as its account needs; `key` is the address of the key that signs.

        Raises SignerRefused.
        """
        ...

    async def sign_login(self, login: "Login", *, key: str) -> bytes:
        """The 65-byte signature that makes or finds a key's API credentials (ClobAuth). Raises SignerRefused."""
        ...

    async def sign_transaction(self, transaction: Transaction, *, key: str) -> bytes:
        """The 65-byte signature of a transaction from the key's own address. Raises SignerRefused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What an address attests to get its API credentials (polymarket.md 3.1); `timestamp` in whole seconds."""

    address: str
    timestamp: int
    nonce: int = 0


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

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
        """Send once, within half a second or not at all: whoever calls has just looked whether it may leave.

        Never raises for what the venue or the network does: that is an `Outcome`, `NotTaken` for what did not leave.
        """
        ...

    async def look_up(self, order: OrderRef) -> OrderState:
        """What the venue knows about the order with this hash; never raises either."""
        ...

    async def cancel(self, order: OrderRef) -> bool:
        """Ask the venue to let go of what rests of it; True when it definitely rests no more, False when unknown."""
        ...
