"""Amounts as people write them. Pure; exact, so nothing here rounds."""

from ledger.units import ONE

NOTHING = "-"
"""Where there is no value."""


def dollar_text(micros: int | None) -> str:
    """Exact dollars with thousands separators and at least the cents: -1234500000 -> '-$1,234.50'."""
    return NOTHING if micros is None else f"{_sign(micros)}${_grouped(micros, 2)}"


def share_text(micros: int | None) -> str:
    """Exact shares with thousands separators: 1960070000 -> '1,960.07'."""
    return NOTHING if micros is None else f"{_sign(micros)}{_grouped(micros, 0)}"


def price_text(micros: int | None) -> str:
    """An exact price with at least two decimals: 510000 -> '0.51'."""
    return NOTHING if micros is None else f"{_sign(micros)}{_grouped(micros, 2)}"


def percent_text(bps: int) -> str:
    """Basis points as percent: 1050 -> '10.5 %'."""
    whole, part = divmod(abs(bps), 100)
    tail = f".{part:02d}".rstrip("0") if part else ""
    return f"{_sign(bps)}{whole:,}{tail} %"


def _sign(micros: int) -> str:
    return "-" if micros < 0 else ""


def _grouped(micros: int, decimals_min: int) -> str:
    whole, fraction = divmod(abs(micros), ONE)
    tail = f"{fraction:06d}".rstrip("0").ljust(decimals_min, "0")
    return f"{whole:,}.{tail}" if tail else f"{whole:,}"
