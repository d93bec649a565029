"""An account's API credentials, and the access that orders are sent with. Nothing here ever shows a secret. Pure."""

import re
from base64 import urlsafe_b64decode
from binascii import Error as NoBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from execution.orders import address_word, keccak256

TEXT_MAX = 200
"""Letters of a key or a passphrase: the venue's have 36 and 64."""

ADDRESSES_CACHED_MAX = 65_536

_TEXT = re.compile(r"[A-Za-z0-9_.~+/=-]+")
"""What can stand in a header and, unescaped, between the quotes of a JSON text."""


class CredentialsError(ValueError):
    """These are no usable credentials; the sentence names the field and repeats nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCredentials:
    """What the venue gave one key for its requests. They cannot sign an order; they can read and cancel.

    `address` is the key's own, also where the funds are a deposit wallet's. Raises CredentialsError.
    """

    address: str
    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)
    hmac_key: bytes = field(repr=False, init=False, compare=False)

    def __post_init__(self) -> None:
        for name, text in (("API key", self.api_key), ("passphrase", self.passphrase), ("secret", self.secret)):
            if len(text) > TEXT_MAX or not _TEXT.fullmatch(text):
                raise CredentialsError(f"The {name} is no text that the venue would give.")
        object.__setattr__(self, "address", checksummed(self.address))
        object.__setattr__(self, "hmac_key", _decoded(self.secret))


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How one account is reached: its credentials, the wallet with its funds, how it signs and its tier of limits.

    `signer` is the key that signs, in lower case: the venue counts orders by it.
    """

    credentials: ApiCredentials
    wallet: str
    signer: str
    signature_type: int
    tier: str = "STANDARD"


class CredentialBook(Protocol):
    """Whose access is known."""

    async def of(self, follower_id: int) -> Access | None:
        """A follower's access; None while it has none that can be used. Answers from memory: orders wait for it."""
        ...


def read_credentials(value: object, *, address: str) -> ApiCredentials:
    """The venue's answer `{apiKey, secret, passphrase}`, decoded. Raises CredentialsError."""
    if not isinstance(value, Mapping):
        raise CredentialsError("The answer holds no credentials.")
    texts = {name: value.get(name) for name in ("apiKey", "secret", "passphrase")}
    missing = [name for name, text in texts.items() if not isinstance(text, str) or not text]
    if missing:
        raise CredentialsError(f"The answer holds no {missing[0]}.")
    return ApiCredentials(
        address=address,
        api_key=str(texts["apiKey"]),
        secret=str(texts["secret"]),
        passphrase=str(texts["passphrase"]),
    )


@lru_cache(maxsize=ADDRESSES_CACHED_MAX)
def checksummed(address: str) -> str:
    """An address with the capital letters of EIP-55, as the venue writes them. Raises OrderError."""
    letters = address_word(address).hex()[-40:]
    digits = keccak256(letters.encode()).hex()
    return "0x" + "".join(
        letter.upper() if digit >= "8" else letter for letter, digit in zip(letters, digits, strict=False)
    )


def _decoded(secret: str) -> bytes:
    try:
        return urlsafe_b64decode(secret)
    except (NoBase64, ValueError):
        # Not chained: the cause would carry the secret.
        raise CredentialsError("The secret is no base64.") from None
