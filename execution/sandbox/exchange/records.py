"""What the venue keeps of an order and of a trade. Mutable on purpose; only the floor and the settling change them."""

from dataclasses import dataclass, field
from typing import Literal

from execution.sandbox.exchange.sent import SentOrder
from execution.sandbox.exchange.verifying import Domain
from execution.sandbox.happenings import Leg, Match, OrderTerms, SideName
from execution.sandbox.markets import SandboxMarket

TradeState = Literal["MATCHED", "MINED", "CONFIRMED", "RETRYING", "FAILED"]
OPEN = frozenset(("LIVE", "DELAYED"))


@dataclass(slots=True, kw_only=True, eq=False)
class OrderRecord:
    """An order that the venue took. `key` is the address whose API key placed it: only its keys may see the order.

    `status` is the venue's word: LIVE, DELAYED, MATCHED, UNMATCHED, CANCELED or CANCELED_ with a reason.
    """

    sent: SentOrder
    order_hash: str
    market: SandboxMarket
    domain: Domain
    key: str
    price_micros: int
    placed_ms: int
    status: str = "LIVE"
    filled_micros: int = 0
    spent_micros: int = 0
    got_micros: int = 0
    resting_micros: int = 0
    reserved_micros: int = 0
    shown_from_ms: int = 0
    trade_ids: list[str] = field(default_factory=list)

    @property
    def wallet(self) -> str:
        """Whose money and shares it moves."""
        return self.sent.maker

    @property
    def left_micros(self) -> int:
        """Shares that are not matched yet."""
        return self.sent.shares_micros - self.filled_micros

    @property
    def is_open(self) -> bool:
        """Whether it may still be matched."""
        return self.status in OPEN

    @property
    def asset(self) -> int:
        """What it gives away: 0 for pUSD, else the token."""
        return 0 if self.sent.side == "BUY" else self.sent.token_id

    def terms(self) -> OrderTerms:
        """The signed fields."""
        sent = self.sent
        return OrderTerms(
            salt=sent.salt,
            maker=sent.maker,
            signer=sent.signer,
            token_id=sent.token_id,
            making=sent.making,
            taking=sent.taking,
            side=sent.side,
            signature_type=sent.signature_type,
            timestamp_ms=sent.timestamp_ms,
            metadata=sent.metadata,
            builder=sent.builder,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One order's part of a trade; `order` None for the crowd's. `price_micros` is of the part's own token."""

    leg: Leg
    price_micros: int
    owner: str
    order: OrderRecord | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class TradeRecord:
    """A match of one taker with resting orders of one price; settles as one transaction, or fails as a whole.

    `price_micros` is of the taker's token.
    """

    trade_id: str
    market: SandboxMarket
    domain: Domain
    taker: Part
    makers: tuple[Part, ...]
    price_micros: int
    matched_ms: int
    bucket: int = 0
    fails: bool = False
    status: TradeState = "MATCHED"
    updated_ms: int = 0
    tx_hash: str = ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The taker's first."""
        return (self.taker, *self.makers)

    @property
    def match(self) -> Match:
        """As it happens in the world."""
        legs = tuple(part.leg for part in self.parts)
        market = self.market
        return Match(condition_id=market.condition_id, version=market.version, neg_risk=market.neg_risk, legs=legs)

    @property
    def keys(self) -> frozenset[str]:
        """The addresses that placed its orders."""
        return frozenset(part.order.key for part in self.parts if part.order is not None)

    @property
    def is_final(self) -> bool:
        """Whether it changes no more."""
        return self.status in ("CONFIRMED", "FAILED")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTruth:
    """An order as it really stands."""

    order_hash: str
    wallet: str
    key: str
    token_id: int
    side: SideName
    kind: str
    status: str
    shares_micros: int
    filled_micros: int
    spent_micros: int
    got_micros: int
    trade_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeTruth:
    """A trade as it really stands, seen from one order where one was asked for, else from its taker's."""

    trade_id: str
    status: TradeState
    order_hash: str
    maker: bool
    shares_micros: int
    cash_micros: int
    fee_micros: int
    tx_hash: str
    orders: tuple[str, ...]


def truth_of_order(record: OrderRecord) -> OrderTruth:
    """A picture of the record."""
    return OrderTruth(
        order_hash=record.order_hash,
        wallet=record.wallet,
        key=record.key,
        token_id=record.sent.token_id,
        side=record.sent.side,
        kind=record.sent.kind,
        status=record.status,
        shares_micros=record.sent.shares_micros,
        filled_micros=record.filled_micros,
        spent_micros=record.spent_micros,
        got_micros=record.got_micros,
        trade_ids=tuple(record.trade_ids),
    )


def truth_of_trade(trade: TradeRecord, order_hash: str | None = None) -> TradeTruth:
    """A picture of the trade from the side of one of its orders."""
    part = next((each for each in trade.parts if each.leg.order_hash == order_hash), trade.taker)
    return TradeTruth(
        trade_id=trade.trade_id,
        status=trade.status,
        order_hash=part.leg.order_hash,
        maker=part is not trade.taker,
        shares_micros=part.leg.shares_micros,
        cash_micros=part.leg.cash_micros,
        fee_micros=part.leg.fee_micros,
        tx_hash=trade.tx_hash,
        orders=tuple(each.leg.order_hash for each in trade.parts),
    )
