"""The hash of an order under its market's domain, and who signed it: all four signature types, by eth-account.

Types as polymarket.md 2.1 and 2.2 give them. A deposit wallet (type 3) signs nested (ERC-7739); a session key's nested
signature is wrapped once more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from eth_abi.abi import encode
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from execution.sandbox.deployment import Addresses
from execution.sandbox.exchange.refusals import INVALID_SIGNATURE, MAKER_NOT_ALLOWED, Refused
from execution.sandbox.exchange.sent import SentOrder
from execution.sandbox.exchange.wallets import DEPOSIT, Wallets
from execution.sandbox.markets import SandboxMarket

CHAIN_ID = 137
DOMAIN_NAME = "Polymarket CTF Exchange"
ORDER_TYPE = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    b"uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
NESTED_TYPE = (
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    + ORDER_TYPE
)
SESSION_TAIL = bytes.fromhex("6492" * 16)
SIGNATURE_BYTES = 65
SIDES = {"BUY": 0, "SELL": 1}
CURVE_HALF = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""A signature with a higher s has a twin with a lower one; exchanges take the lower only."""

_DOMAIN_FIELDS = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
_ORDER_FIELDS = (
    *(("salt", "uint256"), ("maker", "address"), ("signer", "address"), ("tokenId", "uint256")),
    *(("makerAmount", "uint256"), ("takerAmount", "uint256"), ("side", "uint8"), ("signatureType", "uint8")),
    *(("timestamp", "uint256"), ("metadata", "bytes32"), ("builder", "bytes32")),
)
_TYPES = {
    "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN_FIELDS],
    "Order": [{"name": name, "type": kind} for name, kind in _ORDER_FIELDS],
}


@dataclass(frozen=True, slots=True)
class Domain:
    """An exchange that orders are signed for."""

    version: str
    contract: str


@dataclass(frozen=True, slots=True)
class Hashed:
    """An order under a domain: the domain's separator, the struct's hash, and the digest, which is the order's id."""

    separator: bytes
    contents: bytes
    digest: bytes

    @property
    def order_hash(self) -> str:
        """As the venue writes it."""
        return "0x" + self.digest.hex()


def domains(addresses: Addresses) -> tuple[Domain, Domain, Domain]:
    """Exchange and neg-risk exchange of v1 markets, and the one of v2 markets."""
    return (
        Domain("2", addresses.exchange),
        Domain("2", addresses.neg_risk_exchange),
        Domain("3", addresses.exchange_v3),
    )


def domain_of(market: SandboxMarket, addresses: Addresses) -> Domain:
    """By the market's version; neg-risk counts for v1 only."""
    plain, neg_risk, third = domains(addresses)
    if market.version == "v2":
        return third
    return neg_risk if market.neg_risk else plain


def hash_order(order: SentOrder, domain: Domain) -> Hashed:
    """EIP-712, by eth-account."""
    message = {
        "salt": order.salt,
        "maker": order.maker,
        "signer": order.signer,
        "tokenId": order.token_id,
        "makerAmount": order.making,
        "takerAmount": order.taking,
        "side": SIDES[order.side],
        "signatureType": order.signature_type,
        "timestamp": order.timestamp_ms,
        "metadata": order.metadata,
        "builder": order.builder,
    }
    signable = encode_typed_data(
        full_message={"primaryType": "Order", "types": _TYPES, "domain": _domain_words(domain), "message": message}
    )
    return Hashed(separator=signable.header, contents=signable.body, digest=digest_of(signable))


def signing_key(order: SentOrder, hashed: Hashed, wallets: Wallets, *, now_s: int) -> str:
    """The lower-case address of the key that signed, under this hash, for the order's maker. Raises Refused."""
    _check_maker(order, wallets)
    key = _signer_under(order, hashed, wallets, now_s)
    if key is None:
        raise Refused(INVALID_SIGNATURE)
    return key


def signed_elsewhere(order: SentOrder, others: Iterable[Domain], wallets: Wallets, *, now_s: int) -> bool:
    """Whether the signature is good, but for another exchange."""
    return any(_signer_under(order, hash_order(order, each), wallets, now_s) for each in others)


def recover(digest: bytes, signature: bytes) -> str | None:
    """The lower-case address behind a 65-byte signature; None where there is none."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > CURVE_HALF:
        return None
    try:
        found = Signature(signature[:64] + bytes((signature[64] - 27,)))
        return "0x" + found.recover_public_key_from_msg_hash(digest).to_canonical_address().hex()
    except (BadSignature, ValidationError):
        return None


def digest_of(signable: SignableMessage) -> bytes:
    """What is signed of a typed message."""
    return keccak(b"\x19\x01" + signable.header + signable.body)


def nested_digest(hashed: Hashed, wallet: str) -> bytes:
    """What the key of a deposit wallet signs in place of the order's own digest."""
    struct = encode(
        ["bytes32", "bytes32", "bytes32", "bytes32", "uint256", "address", "bytes32"],
        [_hash(NESTED_TYPE), hashed.contents, _hash(b"DepositWallet"), _hash(b"1"), CHAIN_ID, wallet, bytes(32)],
    )
    return keccak(b"\x19\x01" + hashed.separator + keccak(struct))


def _check_maker(order: SentOrder, wallets: Wallets) -> None:
    wallet = wallets.wallet(order.maker)
    if order.signature_type == 0:
        allowed = order.maker == order.signer
    elif order.signature_type == DEPOSIT:
        allowed = order.maker == order.signer and wallet is not None and wallet.signature_type == DEPOSIT
    else:
        allowed = wallet is not None and (wallet.owner, wallet.signature_type) == (order.signer, order.signature_type)
    if not allowed:
        raise Refused(MAKER_NOT_ALLOWED)


def _signer_under(order: SentOrder, hashed: Hashed, wallets: Wallets, now_s: int) -> str | None:
    if order.signature_type != DEPOSIT:
        key = recover(hashed.digest, order.signature)
        return key if key == order.signer else None
    wallet = wallets.wallet(order.maker)
    if wallet is None:
        return None
    if not order.signature.endswith(SESSION_TAIL):
        key = _nested_signer(order.signature, hashed, wallet.address)
        return key if key == wallet.owner else None
    session, inner = _unwrapped(order.signature)
    key = _nested_signer(inner, hashed, wallet.address)
    return key if key == session and wallets.may_trade(wallet, session, now_s) else None


def _nested_signer(signature: bytes, hashed: Hashed, wallet: str) -> str | None:
    """`sig65 | domain separator | contents hash | type | uint16 length`, and nothing else."""
    told = hashed.separator + hashed.contents + ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")
    if signature[SIGNATURE_BYTES:] != told:
        return None
    return recover(nested_digest(hashed, wallet), signature[:SIGNATURE_BYTES])


def _unwrapped(signature: bytes) -> tuple[str, bytes]:
    """The session and its signature out of `abi.encode(bytes32, bytes32, bytes)`; empty ones where it is not that."""
    packed = signature.removesuffix(SESSION_TAIL)
    length = int.from_bytes(packed[96:128], "big")
    inner = packed[128 : 128 + length] if length < len(packed) else b""
    session = packed[12:32]
    # Encoded again it must be the same bytes: no second way of writing the same signature is taken.
    if len(packed) < 128 or encode(["bytes32", "bytes32", "bytes"], [bytes(12) + session, bytes(32), inner]) != packed:
        return "", b""
    return "0x" + session.hex(), inner


def _domain_words(domain: Domain) -> dict[str, object]:
    return {
        "name": DOMAIN_NAME,
        "version": domain.version,
        "chainId": CHAIN_ID,
        "verifyingContract": domain.contract,
    }


@lru_cache(maxsize=8)
def _hash(text: bytes) -> bytes:
    return keccak(text)
