"""What never reaches a log line: the values of fields that name secrets, and secrets inside sentences and exceptions.

Order hashes, transaction hashes, condition ids, market tokens and lock tokens are identifiers and stay readable.
"""

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN = "***"

SECRET_NAMES = re.compile(
    r"""(?:^|_)(?:
        secret | secret_key | private_key | api_key | apikey | passw(?:or)?d | passphrase | mnemonic | seed_phrase
      | signature | credentials? | authorization | cookie | dsn | url
      | (?: access | api | auth | bearer | refresh | session | csrf )_token
    )$""",
    re.VERBOSE | re.IGNORECASE,
)
"""Whole last words of a field's name. `url`: node and store addresses carry keys and passwords."""

KEY_NAME = re.compile(r"(?:^|_)keys?$", re.IGNORECASE)
PRIVATE_KEY = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")
"""The shape of a private key, and of every hash: hidden only under a name that ends in `key`."""

IN_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host
    (re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/]+(?=@)", re.IGNORECASE), rf"\g<before>{HIDDEN}"),
    # password=..., "api_key": "...", PRIVATE_KEY=0x..., SECRET_KEY='...'
    (
        re.compile(
            r"""(?P<before>(?:secret|passw(?:or)?d|passphrase|mnemonic|signature|(?:private|secret|api)[_-]?key)["']?"""
            r"""\s*[=:]\s*["']?)[^\s"',;&)\]}]+""",
            re.IGNORECASE,
        ),
        rf"\g<before>{HIDDEN}",
    ),
    (
        re.compile(r"""(?P<before>\bkey["']?\s*[=:]\s*["']?)(?:0x)?[0-9a-f]{64}(?![0-9a-f])""", re.IGNORECASE),
        rf"\g<before>{HIDDEN}",
    ),
    (re.compile(r"(?P<before>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<before>{HIDDEN}"),
    # 65 bytes and more: a signature, of a deposit wallet 317 or 480; signed bytes are a bearer instrument.
    (re.compile(r"\b(?:0x)?[0-9a-f]{130,}\b", re.IGNORECASE), HIDDEN),
)

KNOWN_LENGTH_MIN = 6
"""A shorter password would blank innocent words; addresses that hold it are hidden by their shape."""
DEPTH_MAX = 6


class Redaction:
    """A structlog processor that hides secrets; `known` are this process's own, hidden wherever they appear."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        longest_first = sorted({each for each in known if len(each) >= KNOWN_LENGTH_MIN}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The event without its secrets."""
        return {name: self.value(str(name), value) for name, value in event.items()}

    def value(self, name: str, value: Any, *, depth: int = 0) -> Any:
        """What may be shown of a value under this name."""
        if value is None or isinstance(value, bool | int | float):
            return HIDDEN if value is not None and SECRET_NAMES.search(name) else value
        if SECRET_NAMES.search(name) or depth > DEPTH_MAX:
            return HIDDEN
        if isinstance(value, Mapping):
            return {str(key): self.value(str(key), each, depth=depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(name, each, depth=depth + 1) for each in value]
        if isinstance(value, bytes | bytearray):
            return f"<{len(value)} bytes>"
        text = self.text(str(value))
        return HIDDEN if KEY_NAME.search(name) and PRIVATE_KEY.fullmatch(text) else text

    def text(self, text: str) -> str:
        """A sentence without its secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, instead in IN_TEXT:
            text = pattern.sub(instead, text)
        return text


def secrets_of(*texts: str) -> set[str]:
    """The texts that are no address, and of addresses the password as written and as meant."""
    found: set[str] = set()
    for text in texts:
        if "://" not in text:
            found.add(text)
            continue
        try:
            password = urlsplit(text).password or ""
        except ValueError:
            password = ""
        found |= {password, unquote(password)}
    return found - {""}
