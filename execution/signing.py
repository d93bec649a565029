"""Signatures with coincurve over orders, logins and transactions, and the wrapping that deposit wallets demand.

Source: shared/reference/polymarket.md sections 2.1 and 2.2. Keys live here and nowhere else in the process;
signatures are deterministic (RFC 6979), so the same order always has the same bytes.
"""

from collections.abc import Mapping
from typing import NoReturn, Protocol

from coincurve import PrivateKey

from execution.eip1559 import Transaction, TransactionError, signing_hash
from execution.orders import (
    CHAIN_ID,
    DOMAIN_SEPARATORS,
    ORDER_TYPE,
    OrderPlan,
    address_word,
    contents_hash,
    keccak256,
    typed_digest,
)
from execution.ports import Login, SignerRefused

POLY_1271 = 3
"""The signature type of a deposit wallet."""

KEY_DIGITS = 64

_NESTED_TYPE_HASH = keccak256(
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    + ORDER_TYPE
)
_WALLET_NAME_AND_VERSION = keccak256(b"DepositWallet") + keccak256(b"1")
_SESSION_MAGIC = bytes.fromhex("6492" * 16)

_LOGIN_TYPE_HASH = keccak256(b"ClobAuth(address address,string timestamp,uint256 nonce,string message)")
_LOGIN_MESSAGE_HASH = keccak256(b"This message attests that I control the given wallet")
_LOGIN_DOMAIN = (
    keccak256(b"EIP712Domain(string name,string version,uint256 chainId)")
    + keccak256(b"ClobAuthDomain")
    + keccak256(b"1")
)


class Keys(Protocol):
    """Signs digests with keys that it never gives away."""

    def sign(self, wallet: str, digest: bytes) -> bytes:
        """The 65-byte signature of a 32-byte digest; raises `SignerRefused` for a wallet it has no key for."""
        ...


class LocalSigner:
    """`Keys` in this process's memory, by wallet address in any letter case."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take 32-byte private keys. Raises SignerRefused, without showing it, for one that is none."""
        self._keys = {wallet.lower(): _HiddenKey(key, wallet=wallet) for wallet, key in keys.items()}

    def sign(self, wallet: str, digest: bytes) -> bytes:
        """r, s and v (27 or 28) of a 32-byte digest: 65 bytes. Raises SignerRefused. Any thread."""
        key = self._keys.get(wallet.lower())
        if key is None:
            raise SignerRefused(f"There is no key for wallet {wallet}.")
        if len(digest) != 32:
            raise SignerRefused(f"A digest has 32 bytes, not {len(digest)}.")
        return key.sign(digest)

    def __repr__(self) -> str:
        return f"<LocalSigner of {len(self._keys)} wallets>"


class _HiddenKey:
    """A private key that neither prints, copies nor pickles itself."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes, *, wallet: str) -> None:
        self._key = _private_key(secret, wallet=wallet)

    def sign(self, digest: bytes) -> bytes:
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((27 + signature[64],))

    def __repr__(self) -> str:
        return "<hidden key>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A private key is never copied or written out.")


def sign_order(signer: Keys, plan: OrderPlan, *, wallet: str, session: bool = False) -> bytes:
    """The signature to send with a plan; `wallet` names the key to the signer. Raises SignerRefused.

    65 bytes for signature types 0 to 2, 317 for a deposit wallet (type 3, ERC-7739) by its owner, 480 by a session key.
    What is signed is computed from the fields; a plan whose order hash is another one is refused.
    """
    contents = contents_hash(plan, plan.maker_amount, taker_amount=plan.taker_amount)
    separator = DOMAIN_SEPARATORS[plan.domain]
    digest = typed_digest(separator, contents)
    if plan.order_hash != f"0x{digest.hex()}":
        raise SignerRefused("The order hash is not that of the order's fields.")
    if plan.signature_type != POLY_1271:
        if session:
            raise SignerRefused(f"Session keys sign for deposit wallets, not for signature type {plan.signature_type}.")
        return signer.sign(wallet, digest)
    inner = signer.sign(wallet, nested_digest(contents, separator, wallet=plan.signer))
    nested = wrap_nested(inner, separator, contents=contents)
    return wrap_session(nested, wallet) if session else nested


def sign_login(signer: Keys, login: Login, *, chain_id: int) -> bytes:
    """The 65-byte signature of a ClobAuth statement, by the key of the address it is about. Raises SignerRefused."""
    return signer.sign(login.address, login_digest(login, chain_id=chain_id))


def sign_transaction(signer: Keys, transaction: Transaction, *, wallet: str) -> bytes:
    """The 65-byte signature of a transaction by the key of its sender. Raises SignerRefused.

    What is signed is computed from the fields; a transaction that names another digest is refused.
    """
    try:
        digest = signing_hash(transaction)
    except TransactionError as error:
        raise SignerRefused(str(error)) from None
    if transaction.digest != f"0x{digest.hex()}":
        raise SignerRefused("The digest is not that of the transaction's fields.")
    return signer.sign(wallet, digest)


def login_digest(login: Login, *, chain_id: int) -> bytes:
    """EIP-712 digest of ClobAuth (polymarket.md 3.1); its domain names no contract."""
    words = (
        _LOGIN_TYPE_HASH,
        address_word(login.address),
        keccak256(str(login.timestamp).encode()),
        login.nonce.to_bytes(32, "big"),
        _LOGIN_MESSAGE_HASH,
    )
    separator = keccak256(_LOGIN_DOMAIN + chain_id.to_bytes(32, "big"))
    return typed_digest(separator, keccak256(b"".join(words)))


def nested_digest(contents: bytes, separator: bytes, *, wallet: str, chain_id: int = CHAIN_ID) -> bytes:
    """ERC-7739: what the owner of a deposit wallet signs, bound to that wallet and to the exchange's domain."""
    chain = chain_id.to_bytes(32, "big")
    words = (_NESTED_TYPE_HASH, contents, _WALLET_NAME_AND_VERSION, chain, address_word(wallet), bytes(32))
    return typed_digest(separator, keccak256(b"".join(words)))


def wrap_nested(inner: bytes, separator: bytes, *, contents: bytes) -> bytes:
    """ERC-7739: the 65 inner bytes with all that the wallet needs to check them, 317 bytes."""
    return inner + separator + contents + ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")


def wrap_session(signature: bytes, session: str) -> bytes:
    """The signature of a session key as the deposit wallet takes it: ABI-encoded, with its magic tail."""
    offset, length = (96).to_bytes(32, "big"), len(signature).to_bytes(32, "big")
    padding = bytes(-len(signature) % 32)
    return address_word(session) + bytes(32) + offset + length + signature + padding + _SESSION_MAGIC


def address_of(secret: bytes) -> str:
    """The checksummed (EIP-55) address of a 32-byte private key. Raises SignerRefused."""
    public = _private_key(secret, wallet="unknown").public_key.format(compressed=False)
    digits = keccak256(public[1:])[-20:].hex()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if mark > "7" else d for d, mark in zip(digits, marks, strict=False))


def private_key_from(text: str) -> bytes:
    """The 32 bytes of a private key in hexadecimal. Raises SignerRefused with a sentence that repeats nothing of it."""
    digits = text.strip().removeprefix("0x").removeprefix("0X")
    if len(digits) != KEY_DIGITS:
        raise SignerRefused(
            f"A private key has {KEY_DIGITS} hexadecimal digits; this text has {len(digits)} characters."
        )
    try:
        secret = bytes.fromhex(digits)
    except ValueError:
        raise SignerRefused("A private key has hexadecimal digits alone; this text has others.") from None
    if len(secret) != KEY_DIGITS // 2:
        raise SignerRefused("A private key has no blanks in it.")
    address_of(secret)
    return secret


def _private_key(secret: bytes, *, wallet: str) -> PrivateKey:
    if len(secret) != 32:
        raise SignerRefused(f"The key of wallet {wallet} has {len(secret)} bytes and not 32.")
    try:
        return PrivateKey(secret)
    except ValueError:
        # The library's text is dropped on purpose: nothing near a key may reach a log.
        raise SignerRefused(f"The key of wallet {wallet} is outside the range of the curve.") from None
