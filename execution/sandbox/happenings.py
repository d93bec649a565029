"""What happens in the sandbox's world, and who makes it final. Pure; every door shows these values in its own words.

Amounts are integers of micros. Nothing here knows a wire format.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from execution.sandbox.markets import SandboxMarket

SideName = Literal["BUY", "SELL"]
MoveKind = Literal["SPLIT", "MERGE", "REDEEM", "CONVERSION", "TRANSFER", "REWARD"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """The signed fields of a real order that a leg fills, as the chain hashes them. `maker` and `signer` lower-case."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One order's part of a match, as the chain's OrderFilled describes it.

    `wallet` lower-case; `cash_micros` the pUSD for the shares without the fee; `fee_micros` pUSD, only ever of the
    taker; `order_hash` 0x and 64 digits, different for each resting order. `terms` where an order was signed.
    """

    wallet: str
    side: SideName
    token_id: int
    shares_micros: int
    cash_micros: int
    fee_micros: int
    maker: bool
    order_hash: str
    terms: OrderTerms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One transaction of the exchange: the taker's leg first, then each resting order that it hit.

    The taker's shares are the sum of the makers'. A maker has the other side of the same token, or in a mint or merge
    match the same side of the market's other token. `version` v1 settles on the exchange of ConditionalTokens (the
    neg-risk one when `neg_risk`), v2 on Exchange V3.
    """

    condition_id: str
    version: Literal["v1", "v2"]
    neg_risk: bool
    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What changes a wallet's holding without an order; a transaction of its own.

    SPLIT makes and MERGE removes `shares_micros` of both tokens (`token_id` None). REDEEM burns that much of `token_id`
    of a resolved market. CONVERSION burns that much of `token_id`, a "No" of a neg-risk event, and makes as much "Yes"
    of each other market of the event. TRANSFER moves `token_id` from `wallet` to `other_wallet`. REWARD pays
    `shares_micros` of pUSD to `wallet` from `other_wallet`, without a condition. `other_wallet` is empty elsewhere.
    """

    kind: MoveKind
    wallet: str
    condition_id: str
    shares_micros: int
    token_id: int | None = None
    other_wallet: str = ""


Happening = Match | Move


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The transaction that made a happening final. `block_time_s` is the block's whole second."""

    tx_hash: str
    block_number: int
    block_time_s: int


class Settlement(Protocol):
    """Makes happenings final: invented hashes and blocks, or a real chain."""

    name: str

    async def start(self) -> None:
        """Begin; raises what is wrong when it cannot."""
        ...

    async def prepare(self, markets: Sequence[SandboxMarket]) -> tuple[SandboxMarket, ...]:
        """Make the markets known where trades settle, before the first happening; after `start`.

        Answers the same markets in the same order; condition and token ids may be replaced by those that the real
        contracts compute.
        """
        ...

    async def settle(self, happening: Happening) -> Settled:
        """Answers as soon as hash and block are known; the doors show it later, each after its own delay.

        What a node shows and when (pending, mined, reorganised) is the settlement's own business.
        """
        ...

    async def resolve(self, market: SandboxMarket, winner: int) -> None:
        """A market ended, and the token `winner` pays one: from now on both tokens can be redeemed."""
        ...

    async def close(self) -> None:
        """Leave nothing running."""
        ...
