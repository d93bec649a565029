"""Integer money and the only rounding functions of the project.

Every amount of pUSD, shares and price is an integer of micros (10^-6), as on chain. `Decimal` appears
only where text becomes micros and where micros become text; `float` never.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException
from enum import StrEnum
from typing import NewType

Micros = NewType("Micros", int)
"""An amount in 10^-6 of its unit: pUSD, shares, or pUSD per share."""

ONE = 1_000_000
"""One whole unit in micros."""

SHARE_STEP = 10_000
"""Order sizes have two decimals on every tick size (venue order builder, 2026-11)."""

BPS = 10_000
"""Basis points in one."""

MAX_MICROS = 10**18
"""Largest amount accepted from outside, 10^12 units: far above any real trade, safely inside a signed 64-bit column."""

# Decimal() would also take digits of other scripts and underscores.
_NUMBER = re.compile(
    r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*|[+-]?(nan|inf(inity)?)", re.ASCII | re.IGNORECASE
)

# Wide enough that a JSON number with noise digits is rounded once, by us, and never by the context.
_EXACT = Context(prec=120, Emax=10_000, Emin=-10_000)


class Side(StrEnum):
    """Direction of an order or a leader's trade."""

    BUY = "BUY"
    SELL = "SELL"


class AmountError(ValueError):
    """A text that is no usable amount; the message is a sentence for people."""


def micros_from_decimal(value: Decimal) -> Micros:
    """Round an exact decimal to micros, half to even; nobody is favoured, it only removes JSON noise.

    Raises AmountError for NaN, infinities and magnitudes above MAX_MICROS.
    """
    if not value.is_finite():
        raise AmountError(f"{value} is not a finite number")
    if value.adjusted() > 13:
        raise AmountError(f"{_brief(value)} is absurdly large")
    scaled = _EXACT.multiply(value, Decimal(ONE)).to_integral_value(rounding=ROUND_HALF_EVEN)
    micros = int(scaled)
    if abs(micros) > MAX_MICROS:
        raise AmountError(f"{_brief(value)} is absurdly large")
    return Micros(micros)


def micros_from_text(text: str) -> Micros:
    """Parse the text of a number ('10.475000000000001') to micros, half to even. Raises AmountError."""
    if not _NUMBER.fullmatch(text):
        raise AmountError(f"{text[:40]!r} is not a number")
    try:
        return micros_from_decimal(_EXACT.create_decimal(text))
    except DecimalException:
        raise AmountError(f"{text[:40]!r} is not a number") from None


def decimal_from_micros(micros: int) -> Decimal:
    """The exact decimal value of micros, for showing and for comparing with text."""
    return Decimal(micros).scaleb(-6)


def text_from_micros(micros: int) -> str:
    """Micros as plain text without trailing zeros: 196070000 -> '196.07'."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), ONE)
    tail = f"{fraction:06d}".rstrip("0")
    return f"{sign}{whole}.{tail}" if tail else f"{sign}{whole}"


def floor_shares(size_micros: int) -> Micros:
    """Floor a size to two decimals, never copying more than was asked; favours the follower's caution."""
    return Micros(size_micros - size_micros % SHARE_STEP)


def ceil_shares(size_micros: int) -> Micros:
    """Raise a size to two decimals, so that a minimum is really met; favours the venue's minimum."""
    return Micros(-(-size_micros // SHARE_STEP) * SHARE_STEP)


def floor_to_tick(price_micros: int, tick_micros: int) -> Micros:
    """The highest tick not above the price: a BUY limit that never pays more; favours the buyer."""
    return Micros(price_micros - price_micros % tick_micros)


def ceil_to_tick(price_micros: int, tick_micros: int) -> Micros:
    """The lowest tick not below the price: a SELL limit that never takes less; favours the seller."""
    return Micros(-(-price_micros // tick_micros) * tick_micros)


def cost_up(size_micros: int, price_micros: int) -> Micros:
    """Money for a size at a price, rounded up to a micro: reservations and spending never understate."""
    return Micros(-(-size_micros * price_micros // ONE))


def cost_down(size_micros: int, price_micros: int) -> Micros:
    """Money for a size at a price, rounded down to a micro: proceeds and shown values never overstate."""
    return Micros(size_micros * price_micros // ONE)


def size_for_cost(cost_micros: int, price_micros: int) -> Micros:
    """The largest two-decimal size whose rounded-up cost does not pass the money; favours the limit.

    `price_micros` must be positive.
    """
    return floor_shares(cost_micros * ONE // price_micros)


def share_down(amount_micros: int, bps: int) -> Micros:
    """A part of an amount in basis points, rounded down to a micro."""
    return Micros(amount_micros * bps // BPS)


def ratio_down(amount_micros: int, part: int, whole: int) -> Micros:
    """`amount * part / whole`, rounded down to a micro; `whole` must be positive."""
    return Micros(amount_micros * part // whole)


def bps_up(difference: int, base: int) -> int:
    """A difference in basis points of its base, rounded up so that a bound is never passed unseen."""
    return -(-difference * BPS // base)


def _brief(value: Decimal) -> str:
    return f"{value:.3E}"
