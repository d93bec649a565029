"""API keys: made and found by a wallet signature (L1), and the signature of each request by them (L2).

polymarket.md 3.1. Keys follow from the seed, the address and the nonce, as the venue's do.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from eth_account.messages import encode_typed_data

from execution.sandbox.exchange.refusals import INVALID_L1, Refused, unauthorized
from execution.sandbox.exchange.sent import ADDRESS
from execution.sandbox.exchange.verifying import CHAIN_ID, digest_of, recover
from execution.sandbox.markets import digest
from execution.sandbox.serving import Ask

MESSAGE = "This message attests that I control the given wallet"
SKEW_S = 300
"""A request may be so old, or so much from the future."""

NONCE_BELOW = 2**256

_TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
    ],
    "ClobAuth": [
        {"name": "address", "type": "address"},
        {"name": "timestamp", "type": "string"},
        {"name": "nonce", "type": "uint256"},
        {"name": "message", "type": "string"},
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An API key of an address (lower-case), with what signs its requests."""

    api_key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)
    address: str
    nonce: int

    def as_json(self) -> dict[str, str]:
        """As the venue answers it."""
        return {"apiKey": self.api_key, "secret": self.secret, "passphrase": self.passphrase}


class Keys:
    """The keys there are."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._by_key: dict[str, Credentials] = {}
        self._by_nonce: dict[tuple[str, int], Credentials] = {}

    def create(self, address: str, nonce: int = 0) -> Credentials:
        """A new key. Raises Refused where the address has one under this nonce."""
        address = address.lower()
        if (address, nonce) in self._by_nonce:
            raise Refused("Could not create api key")
        digits = digest(self._seed, "api-key", address, nonce)
        made = Credentials(
            api_key="-".join((digits[:8], digits[8:12], "4" + digits[13:16], "8" + digits[17:20], digits[20:32])),
            secret=base64.urlsafe_b64encode(bytes.fromhex(digest(self._seed, "secret", address, nonce))).decode(),
            passphrase=digest(self._seed, "passphrase", address, nonce),
            address=address,
            nonce=nonce,
        )
        self._by_key[made.api_key] = made
        self._by_nonce[address, nonce] = made
        return made

    def derive(self, address: str, nonce: int = 0) -> Credentials:
        """The key that the address has under this nonce. Raises Refused where there is none."""
        found = self._by_nonce.get((address.lower(), nonce))
        if found is None:
            raise Refused("Could not derive api key!")
        return found

    def delete(self, credentials: Credentials) -> None:
        """Forget a key; the same may be created again."""
        self._by_key.pop(credentials.api_key, None)
        self._by_nonce.pop((credentials.address, credentials.nonce), None)

    def of(self, address: str) -> tuple[Credentials, ...]:
        """All keys of an address."""
        return tuple(each for each in self._by_key.values() if each.address == address.lower())

    def address_of(self, api_key: str) -> str:
        """Whose key it is; empty for an unknown one."""
        found = self._by_key.get(api_key)
        return "" if found is None else found.address

    def by_words(self, words: Mapping[str, object]) -> Credentials | None:
        """The key that `apiKey`, `secret` and `passphrase` of a websocket's greeting belong to."""
        found = self._by_key.get(str(words.get("apiKey")))
        return found if found is not None and found.as_json() == {**found.as_json(), **words} else None

    def login(self, ask: Ask, now_s: int) -> tuple[str, int]:
        """The address and nonce that signed an L1 request. Raises Refused."""
        address, stamp, nonce = (ask.header(name) for name in ("POLY_ADDRESS", "POLY_TIMESTAMP", "POLY_NONCE"))
        signature = ask.header("POLY_SIGNATURE").removeprefix("0x")
        number = int(nonce) if nonce.isascii() and nonce.isdigit() and len(nonce) <= 78 else NONCE_BELOW
        known = ADDRESS.fullmatch(address) is not None and number < NONCE_BELOW and _is_recent(stamp, now_s)
        if not known or not _is_hex(signature):
            raise Refused(INVALID_L1, 401)
        message = {"address": address, "timestamp": stamp, "nonce": number, "message": MESSAGE}
        domain = {"name": "ClobAuthDomain", "version": "1", "chainId": CHAIN_ID}
        signable = encode_typed_data(
            full_message={"primaryType": "ClobAuth", "types": _TYPES, "domain": domain, "message": message}
        )
        if recover(digest_of(signable), bytes.fromhex(signature)) != address.lower():
            raise Refused(INVALID_L1, 401)
        return address.lower(), number

    def caller(self, ask: Ask, path: str, now_s: int) -> Credentials:
        """Who signed an L2 request; `path` is what the venue calls it, without host and query. Raises Refused."""
        found = self._by_key.get(ask.header("POLY_API_KEY"))
        stamp = ask.header("POLY_TIMESTAMP")
        if found is None or not _is_recent(stamp, now_s) or ask.header("POLY_ADDRESS").lower() != found.address:
            raise unauthorized()
        if not hmac.compare_digest(ask.header("POLY_PASSPHRASE").encode(), found.passphrase.encode()):
            raise unauthorized()
        signed = f"{stamp}{ask.method}{path}".encode() + ask.body
        code = hmac.new(base64.urlsafe_b64decode(found.secret), signed, sha256).digest()
        if not hmac.compare_digest(base64.urlsafe_b64encode(code), ask.header("POLY_SIGNATURE").encode()):
            raise unauthorized()
        return found


def _is_recent(stamp: str, now_s: int) -> bool:
    return stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 and abs(int(stamp) - now_s) <= SKEW_S


def _is_hex(text: str) -> bool:
    return len(text) == 130 and all(letter in "0123456789abcdefABCDEF" for letter in text)
