"""Envelope encryption with AES-256-GCM: each secret under a key of its own, which is wrapped under another. Pure.

Both seals authenticate whose they are, so that rows cannot be swapped, nor a seal moved from one place to another.
Nonces are 96 random bits: a data key seals once, and a wrapping key far less often than the 2^32 times that random
nonces bear (NIST SP 800-38D, 8.3).
"""

from dataclasses import dataclass, field

from Crypto.Cipher import AES

from ledger.clock import Entropy

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16

_OF_SECRET, _OF_KEY = b"slipstream secret 1", b"slipstream data key 1"


class SealBroken(Exception):
    """What was opened is not what was sealed under this key and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kek:
    """A key-encryption key of 32 bytes, under the version that rows name."""

    version: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A data key under a key-encryption key; 12 and 48 bytes."""

    kek_version: str
    nonce: bytes
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A sealed secret with its wrapped data key."""

    nonce: bytes
    sealed: bytes
    wrapped: Wrapped


def seal(plain: bytes, kek: Kek, *, name: str, version: int, entropy: Entropy) -> Envelope:
    """Seal a secret as the given version of `name`, under a new data key."""
    data_key, nonce = entropy.draw(KEY_BYTES), entropy.draw(NONCE_BYTES)
    sealed = _encrypt(data_key, nonce, plain, bound_to=_binding(_OF_SECRET, name, str(version)))
    wrapped = wrap(data_key, kek, name=name, version=version, entropy=entropy)
    return Envelope(nonce=nonce, sealed=sealed, wrapped=wrapped)


def wrap(data_key: bytes, kek: Kek, *, name: str, version: int, entropy: Entropy) -> Wrapped:
    """Wrap the data key of a secret's version."""
    nonce = entropy.draw(NONCE_BYTES)
    bound_to = _binding(_OF_KEY, name, str(version), kek.version)
    return Wrapped(kek_version=kek.version, nonce=nonce, key=_encrypt(kek.key, nonce, data_key, bound_to=bound_to))


def unwrap(wrapped: Wrapped, kek: Kek, *, name: str, version: int) -> bytes:
    """The data key. Raises SealBroken."""
    bound_to = _binding(_OF_KEY, name, str(version), wrapped.kek_version)
    return _decrypt(kek.key, wrapped.nonce, wrapped.key, bound_to=bound_to)


def open_seal(envelope: Envelope, kek: Kek, *, name: str, version: int) -> bytes:
    """The secret. Raises SealBroken when a bit of it, of its key or of its name is another."""
    data_key = unwrap(envelope.wrapped, kek, name=name, version=version)
    bound_to = _binding(_OF_SECRET, name, str(version))
    return _decrypt(data_key, envelope.nonce, envelope.sealed, bound_to=bound_to)


def _binding(*parts: bytes | str) -> bytes:
    """The parts with their lengths, so that no two lists of parts have one text."""
    texts = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(text).to_bytes(4, "big") + text for text in texts)


def _encrypt(key: bytes, nonce: bytes, plain: bytes, *, bound_to: bytes) -> bytes:
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
    cipher.update(bound_to)
    sealed, tag = cipher.encrypt_and_digest(plain)
    return sealed + tag


def _decrypt(key: bytes, nonce: bytes, sealed: bytes, *, bound_to: bytes) -> bytes:
    if len(nonce) != NONCE_BYTES or len(sealed) < TAG_BYTES:
        raise SealBroken("The seal is too short.")
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
    cipher.update(bound_to)
    try:
        return cipher.decrypt_and_verify(sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
    except ValueError:
        raise SealBroken("The seal is broken.") from None
