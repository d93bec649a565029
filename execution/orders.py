"""Orders as the venue wants them: draft, amounts, plan, domain and the EIP-712 order hash. Pure.

Source of the struct, the domains and the amounts: shared/reference/polymarket.md, sections 1, 2.1 and 2.4.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import gcd, lcm

from Crypto.Hash import keccak as _keccak

from ledger.units import MAX_MICROS, ONE, SHARE_STEP, Micros, Side, floor_shares, text_from_micros

ZERO_BYTES32 = bytes(32)
SALT_BOUND = 1 << 53
"""The venue takes the salt as a JSON number, which is exact only below this."""
SIGNATURE_TYPES = 4  # 0 EOA, 1 POLY_PROXY, 2 POLY_GNOSIS_SAFE, 3 POLY_1271
ADDRESSES_CACHED_MAX = 65_536


class OrderType(StrEnum):
    """How long an order may stand: FAK fills what it can at once and the rest is killed."""

    FAK = "FAK"
    FOK = "FOK"
    GTC = "GTC"


NEVER_RESTS = frozenset({OrderType.FAK, OrderType.FOK})
CENT, TAKER_STEP, DOLLAR = 10_000, 100, 1_000_000
"""Micros: the steps of what an order that never rests gives and of what it gets, and the least that a buyer gives."""


class ExchangeDomain(StrEnum):
    """The exchange whose EIP-712 domain an order is hashed under."""

    CTF_V2 = "CTF_V2"
    NEG_RISK_V2 = "NEG_RISK_V2"
    V3 = "V3"


PRICE_DECIMALS: Mapping[int, int] = {100_000: 1, 10_000: 2, 5_000: 3, 2_500: 4, 1_000: 3, 100: 4}
"""By tick in micros; a tick that is not here is not traded."""
SIZE_DECIMALS = 2


class OrderError(ValueError):
    """An order the venue would never take, or that cannot be hashed; the message is a sentence for people."""


class OffTick(OrderError):
    """The price is not on the tick, outside [tick, 1 - tick], or the tick is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDraft:
    """What was decided about one order, before its amounts and its hash; units as in `OrderPlan`.

    `maker` holds the funds, `signer` signs; both are the account itself for signature types 0 and 3. `key` is the
    address of the key that signs, which for a deposit wallet is neither.
    """

    domain: ExchangeDomain
    maker: str
    signer: str
    signature_type: int
    token_id: int
    side: Side
    size_micros: Micros
    limit_micros: Micros
    tick_micros: Micros
    salt: int
    timestamp_ms: int
    order_type: OrderType = OrderType.FAK
    metadata: bytes = ZERO_BYTES32
    builder: bytes = ZERO_BYTES32
    book_version: str = ""
    key: str = ""
    whole_cents: bool = False
    """Cut the amounts to the decimals that the venue takes of an order that never rests (`cut_amounts`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlan:
    """Everything needed to rebuild the bytes of one order; hashed once, for life.

    `size_micros` and `limit_micros` are what was decided; `maker_amount` and `taker_amount` their exact
    6-decimal integers on the wire; `timestamp_ms` is milliseconds; `order_hash` is 0x and 64 hex digits.
    `book_version` names the book it was priced on and `key` the key that signs; neither is a part of the order.
    """

    domain: ExchangeDomain
    maker: str
    signer: str
    signature_type: int
    token_id: int
    side: Side
    size_micros: Micros
    limit_micros: Micros
    tick_micros: Micros
    maker_amount: int
    taker_amount: int
    salt: int
    timestamp_ms: int
    order_type: OrderType
    order_hash: str
    metadata: bytes = ZERO_BYTES32
    builder: bytes = ZERO_BYTES32
    book_version: str = ""
    key: str = ""


def build_plan(draft: OrderDraft) -> OrderPlan:
    """Check a draft, fix its amounts and its order hash. Raises OrderError with a sentence.

    The hash is the venue's order id for every signature type, so it is known before anything is sent.
    """
    check_draft(draft)
    price, size, tick = draft.limit_micros, draft.size_micros, draft.tick_micros
    maker_amount, taker_amount = order_amounts(draft.side, price, size_micros=size, tick_micros=tick)
    if draft.whole_cents and draft.order_type in NEVER_RESTS:
        maker_amount, taker_amount = cut_amounts(draft.side, price, size_micros=size, tick_micros=tick)
    contents = contents_hash(draft, maker_amount, taker_amount=taker_amount)
    return OrderPlan(
        domain=draft.domain,
        maker=draft.maker,
        signer=draft.signer,
        signature_type=draft.signature_type,
        token_id=draft.token_id,
        side=draft.side,
        size_micros=size,
        limit_micros=price,
        tick_micros=tick,
        maker_amount=maker_amount,
        taker_amount=taker_amount,
        salt=draft.salt,
        timestamp_ms=draft.timestamp_ms,
        order_type=draft.order_type,
        order_hash="0x" + typed_digest(DOMAIN_SEPARATORS[draft.domain], contents).hex(),
        metadata=draft.metadata,
        builder=draft.builder,
        book_version=draft.book_version,
        key=draft.key,
    )


def check_draft(draft: OrderDraft | OrderPlan) -> None:
    """Raise OffTick or OrderError, with a sentence, for what the venue would never take or could not hash."""
    check_price(draft.limit_micros, draft.tick_micros)
    if not 0 < draft.size_micros <= MAX_MICROS or draft.size_micros % SHARE_STEP:
        raise OrderError(f"The size {text_from_micros(draft.size_micros)} is not positive with at most two decimals.")
    if not 0 < draft.token_id < 1 << 256:
        raise OrderError(f"The token {draft.token_id} is no positive uint256.")
    if not 0 <= draft.salt < SALT_BOUND:
        raise OrderError(f"The salt {draft.salt} is not in [0, 2^53), where a JSON number is exact.")
    if not 0 < draft.timestamp_ms < SALT_BOUND:
        raise OrderError(f"The timestamp {draft.timestamp_ms} is no count of milliseconds since 1970.")
    if not 0 <= draft.signature_type < SIGNATURE_TYPES:
        raise OrderError(f"The signature type {draft.signature_type} is none of 0 to 3.")
    if draft.signature_type in (0, 3) and draft.maker.lower() != draft.signer.lower():
        raise OrderError(f"Signature type {draft.signature_type} demands that maker and signer are one address.")
    if len(draft.metadata) != 32 or len(draft.builder) != 32:
        raise OrderError("Metadata and builder code must have 32 bytes each.")


def check_price(price_micros: int, tick_micros: int) -> None:
    """Raise OffTick unless the price is on a known tick and inside [tick, 1 - tick]."""
    if tick_micros not in PRICE_DECIMALS:
        raise OffTick(f"The tick {text_from_micros(tick_micros)} is none that the venue uses.")
    if not tick_micros <= price_micros <= ONE - tick_micros:
        raise OffTick(f"The price {text_from_micros(price_micros)} is outside [tick, 1 - tick].")
    if price_micros % tick_micros:
        raise OffTick(f"The price {text_from_micros(price_micros)} is not on tick {text_from_micros(tick_micros)}.")


def order_amounts(side: Side, price_micros: int, *, size_micros: int, tick_micros: int) -> tuple[int, int]:
    """(maker amount, taker amount) of a limit order, integers of 6 decimals; `tick_micros` must be known.

    The size is floored to two decimals; a price with more decimals than its tick is rounded to the nearest,
    as the official order builder does: call `check_price` first, for a BUY this may round up. The product
    is then exact, because price and size decimals add up to at most the amount decimals and at most six.
    """
    step = 10 ** (6 - PRICE_DECIMALS[tick_micros])
    price = (price_micros + step // 2) // step * step
    size = floor_shares(size_micros)
    money = size * price // ONE
    return (money, size) if side is Side.BUY else (size, money)


def cut_amounts(side: Side, price_micros: int, *, size_micros: int, tick_micros: int) -> tuple[int, int]:
    """(maker amount, taker amount) of an order that never rests, as the venue takes it; price and size are checked.

    Of FAK and FOK it takes 2 decimals of the maker's amount and 4 of the taker's, whatever the tick (recorded
    rejections; Polymarket/py-clob-client-v2#99), and it computes the price anew from both (#59, #60). So the size is
    floored to one whose money has so few decimals at exactly the limit. Where that would give up too much, on fine
    ticks and of small orders, money and shares are floored each for itself, as the official client does; the price that
    they make then lies past the limit by less than a tick, where no price of the book lies. Short of the limit nothing
    would match (Polymarket/py-sdk#291). Never more shares than the size, nor more money than size times price.

    Raises OrderError where the order is too small for that.
    """
    unit = (TAKER_STEP if side is Side.SELL else CENT) * ONE
    shares = size_micros // (step := lcm(unit // gcd(price_micros, unit), SHARE_STEP)) * step
    money = shares * price_micros // ONE
    if not _keeps_most(shares, price_micros, size_micros=size_micros):
        money, shares = _floored_each(side, price_micros, size_micros=size_micros)
        past = money * ONE - shares * price_micros
        if not money or abs(past) >= tick_micros * shares:
            raise OrderError(f"{text_from_micros(size_micros)} shares are too few for the venue's decimals.")
    return (money, shares) if side is Side.BUY else (shares, money)


def _keeps_most(shares: int, price_micros: int, *, size_micros: int) -> bool:
    """Whether flooring gave up at most a tenth, and not the dollar that the venue wants of a buyer."""
    still_enough = shares * price_micros >= DOLLAR * ONE or size_micros * price_micros < DOLLAR * ONE
    return shares * 10 >= size_micros * 9 and still_enough


def _floored_each(side: Side, price_micros: int, *, size_micros: int) -> tuple[int, int]:
    money = size_micros * price_micros // ONE
    if side is Side.SELL:
        return money // TAKER_STEP * TAKER_STEP, size_micros
    money = money // CENT * CENT
    return money, money * ONE // price_micros // TAKER_STEP * TAKER_STEP


def amount_decimals(tick_micros: int) -> int:
    """The decimals of the money in an order at this tick; the venue takes no more."""
    return PRICE_DECIMALS[tick_micros] + SIZE_DECIMALS


def contents_hash(order: OrderDraft | OrderPlan, maker_amount: int, *, taker_amount: int) -> bytes:
    """The 32-byte EIP-712 struct hash of the order, the same under every domain. Raises OrderError."""
    words = (
        ORDER_TYPE_HASH,
        order.salt.to_bytes(32, "big"),
        address_word(order.maker),
        address_word(order.signer),
        order.token_id.to_bytes(32, "big"),
        maker_amount.to_bytes(32, "big"),
        taker_amount.to_bytes(32, "big"),
        _SIDE_WORDS[order.side],
        order.signature_type.to_bytes(32, "big"),
        order.timestamp_ms.to_bytes(32, "big"),
        order.metadata,
        order.builder,
    )
    return keccak256(b"".join(words))


def order_digest(plan: OrderPlan) -> bytes:
    """The 32 bytes to sign, computed anew from the fields of a plan."""
    contents = contents_hash(plan, plan.maker_amount, taker_amount=plan.taker_amount)
    return typed_digest(DOMAIN_SEPARATORS[plan.domain], contents)


def order_hash(plan: OrderPlan) -> str:
    """The venue's order id of a plan, computed anew from its fields: proves that a row rebuilt its order."""
    return "0x" + order_digest(plan).hex()


def typed_digest(separator: bytes, struct_hash: bytes) -> bytes:
    """EIP-712: what is signed for a struct under a domain."""
    return keccak256(b"\x19\x01" + separator + struct_hash)


def domain_separator(version: str, exchange: str, *, chain_id: int) -> bytes:
    """The 32-byte EIP-712 domain separator of an exchange contract; 137 is Polygon."""
    head = _DOMAIN_TYPE_HASH + _DOMAIN_NAME_HASH + keccak256(version.encode())
    return keccak256(head + chain_id.to_bytes(32, "big") + address_word(exchange))


@lru_cache(maxsize=ADDRESSES_CACHED_MAX)
def address_word(address: str) -> bytes:
    """An address as a 32-byte ABI word; the letters' case is not checked. Raises OrderError."""
    if not _ADDRESS.fullmatch(address):
        raise OrderError(f"{address[:50]!r} is no address of 0x and 40 hex digits.")
    return bytes.fromhex(address[2:].zfill(64))


def keccak256(message: bytes) -> bytes:
    """Ethereum's hash, not the later SHA-3; the only use of the keccak package."""
    digest: bytes = _keccak.new(digest_bits=256, data=message).digest()
    return digest


ORDER_TYPE = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    b"uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
ORDER_TYPE_HASH = keccak256(ORDER_TYPE)
_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
_SIDE_WORDS = {Side.BUY: bytes(32), Side.SELL: (1).to_bytes(32, "big")}
_DOMAIN_TYPE_HASH = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_DOMAIN_NAME_HASH = keccak256(b"Polymarket CTF Exchange")

CHAIN_ID = 137
"""Polygon: the only chain that orders are hashed and signed for."""

EXCHANGES: Mapping[ExchangeDomain, tuple[str, str]] = {
    ExchangeDomain.CTF_V2: ("2", "0xE111180000d2663C0091e4f400237545B87B996B"),
    ExchangeDomain.NEG_RISK_V2: ("2", "0xe2222d279d744050d28e00520010520000310F59"),
    ExchangeDomain.V3: ("3", "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"),
}
"""By domain: its version and the contract that verifies what is signed under it."""

DOMAIN_SEPARATORS: Mapping[ExchangeDomain, bytes] = {
    domain: domain_separator(version, exchange, chain_id=CHAIN_ID) for domain, (version, exchange) in EXCHANGES.items()
}
