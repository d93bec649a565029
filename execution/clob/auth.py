"""The headers by which the venue knows who asks: L1 for credentials, L2 for everything else. Pure.

Source: shared/reference/polymarket.md section 3.1.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hmac import digest

from execution.clob.credentials import ApiCredentials, checksummed
from execution.ports import Login


def l2_signature(hmac_key: bytes, *, timestamp: int, method: str, path: str, body: bytes = b"") -> str:
    """The HMAC over time, method, path without its query, and exactly the bytes of the body."""
    signed = f"{timestamp}{method}{path}".encode() + body
    return urlsafe_b64encode(digest(hmac_key, signed, "sha256")).decode()


def l2_headers(
    credentials: ApiCredentials, *, timestamp: int, method: str, path: str, body: bytes = b""
) -> Mapping[str, str]:
    """For one request; `timestamp` in whole seconds of the venue's clock, which it compares."""
    return {
        "POLY_ADDRESS": credentials.address,
        "POLY_SIGNATURE": l2_signature(credentials.hmac_key, timestamp=timestamp, method=method, path=path, body=body),
        "POLY_TIMESTAMP": str(timestamp),
        "POLY_API_KEY": credentials.api_key,
        "POLY_PASSPHRASE": credentials.passphrase,
    }


def l1_headers(login: Login, signature: bytes) -> Mapping[str, str]:
    """For the two requests that make or find credentials; `signature` is the signer's over this login."""
    return {
        "POLY_ADDRESS": checksummed(login.address),
        "POLY_SIGNATURE": "0x" + signature.hex(),
        "POLY_TIMESTAMP": str(login.timestamp),
        "POLY_NONCE": str(login.nonce),
    }
