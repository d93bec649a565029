"""The settings of keys and signers. Their values are hidden: asked for by `reveal`, and by nothing that prints.

Declared as in `config.engine`, which says how; `config.settings` takes over every name of this file.
"""

import base64
import binascii
import os
import re
from collections.abc import Iterator, Mapping

from config.environment import declare
from ledger.hidden import Hidden

declare.group("Keys and signing")

SLIPSTREAM_KEK: Hidden = Hidden(
    declare.secret(
        "SLIPSTREAM_KEK",
        default="",
        shown_default="none",
        meaning="Keys that wrap stored secrets: VERSION:BASE64 of 32 random bytes, with commas between them, the "
        "current one first. Lost keys are lost secrets. Instead of a key file.",
    )
)
SLIPSTREAM_KEK_PATH: str = declare.text(
    "SLIPSTREAM_KEK_PATH",
    default="",
    meaning="A key file that only its owner may read, outside the database and its backups; `rotatekeys --init` makes "
    "it. Instead of SLIPSTREAM_KEK.",
)
TRADING_PRIVATE_KEY: Hidden = Hidden(
    declare.secret(
        "TRADING_PRIVATE_KEY",
        default="",
        shown_default="none",
        meaning="The key of a single trader, 64 hexadecimal digits, better by its _FILE. Other accounts' keys are "
        "stored sealed by `addaccount`.",
    )
)
SECRET_FILES: Mapping[str, str] = {
    name: path for name in ("SLIPSTREAM_KEK", "TRADING_PRIVATE_KEY") if (path := os.environ.get(f"{name}_FILE"))
}
"""By setting: the file that its value was read from; `manage.py check` looks at who else can read it."""

SECRETS_TWICE: tuple[str, ...] = tuple(name for name in SECRET_FILES if os.environ.get(name))
"""Settings of keys that have a value and a file; the file holds."""

SIGNER_SOCKET: str = declare.text(
    "SIGNER_SOCKET",
    default="",
    meaning="Where `manage.py runsigner` listens. Set: the engine asks it and has no keys itself; empty: it signs.",
)
SIGNER_ANSWER_MS: int = declare.number(
    "SIGNER_ANSWER_MS",
    default=2_000,
    unit="milliseconds",
    meaning="Without an answer of the signer for so long, an order is not sent. Signing takes less than one.",
)
SIGNER_MAX_ORDER_USD: int = declare.number(
    "SIGNER_MAX_ORDER_USD",
    default=10_000,
    unit="dollars",
    meaning="The signer signs no order that pays more, whatever the engine's own limits say.",
)
SIGNER_MAX_APPROVAL_USD: int = declare.number(
    "SIGNER_MAX_APPROVAL_USD",
    default=0,
    unit="dollars",
    meaning="The signer signs no approval of more pUSD, and `approveaccount` approves so much. 0: without end, as on "
    "the venue's own site: exchanges take only what signed orders say. A bound guards against faults of their "
    "contracts, is used up by trading, and must be approved anew then.",
)
SIGNER_MAX_FEE_MILLIPOL: int = declare.number(
    "SIGNER_MAX_FEE_MILLIPOL",
    default=500,
    unit="thousandths of a POL",
    meaning="The signer signs no transaction that may cost more, and at most 24 a day of one wallet. An approval takes "
    "50,000 gas: at 500 gwei, many times the usual price, 25 thousandths.",
)


def known_secrets() -> set[str]:
    """What no log line may hold, in the ways in which it could be written there."""
    keys = {entry.partition(":")[2].strip() for entry in re.split(r"[,\n]", SLIPSTREAM_KEK.reveal())}
    digits = TRADING_PRIVATE_KEY.reveal().strip().removeprefix("0x").removeprefix("0X")
    forms = {form for key in keys for form in _forms(key)}
    return {each for each in (*forms, digits, digits.lower(), digits.upper()) if each}


def _forms(encoded: str) -> Iterator[str]:
    """A key in base64 as it was written, and in hexadecimal, as a debugging line would show it."""
    yield encoded
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return  # What is wrong with it says the check of keys.
    yield from (key.hex(), key.hex().upper(), repr(key)[2:-1])
