"""What a referrer earns of a follower's realised profit, by the volume of all whom it referred. Pure.

The operator owes a commission; it is measured by the follower's profit, and the follower pays nothing of it.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from ledger.units import BPS, ONE, Micros, share_down

Tiers = tuple[tuple[int, int], ...]
"""(from volume in micros, rate in bps), rising by volume; empty is no commissions."""

NO_TIERS: Tiers = ()

TIERS_MAX = 20
"""More steps than anybody can explain to a referrer."""

VOLUME_DAYS = 30
"""A tier is picked by the volume of so many UTC days, the day of the fill included."""

_TIER = re.compile(r"([0-9]{1,12}):([0-9]{1,5})", re.ASCII)


class TiersError(ValueError):
    """A text that is no list of tiers; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """A part of the profit of one sell, after its own fee; the amount is above zero and never above the profit."""

    profit_micros: Micros
    rate_bps: int
    amount_micros: Micros


def parse_tiers(text: str) -> Tiers:
    """Read '0:500,10000:700': from a volume in whole pUSD, so many basis points. Raises TiersError."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if len(parts) > TIERS_MAX:
        raise TiersError(f"There are {len(parts)} commission tiers; {TIERS_MAX} are enough.")
    tiers = tuple(_tier(part) for part in parts)
    for before, after in pairwise(tiers):
        if after[0] <= before[0]:
            raise TiersError(
                f"The commission tier from {after[0] // ONE} pUSD stands after the one from {before[0] // ONE}; "
                "volumes must rise."
            )
    return tiers


def rate_of(volume_micros: int, tiers: Tiers) -> int:
    """The rate of the last tier that the volume reaches, in bps; 0 below the first."""
    return next((rate for start, rate in reversed(tiers) if volume_micros >= start), 0)


def commission(profit_micros: int, fee_micros: int, *, volume_micros: int, tiers: Tiers) -> Commission | None:
    """What one sell earns the referrer, or None when that is nothing.

    Counts the profit above the sell's own fee, if there is any, and rounds down to a micro, for the operator.
    `volume_micros` is the referrer's volume before this fill.
    """
    profit = Micros(profit_micros - fee_micros)
    rate = rate_of(volume_micros, tiers)
    amount = share_down(profit, rate) if profit > 0 else 0
    if amount <= 0:
        return None
    return Commission(profit_micros=profit, rate_bps=rate, amount_micros=Micros(amount))


def _tier(part: str) -> tuple[int, int]:
    found = _TIER.fullmatch(part)
    if found is None:
        raise TiersError(
            f"{part[:40]!r} is no commission tier; write VOLUME:RATE, such as 10000:700, in whole pUSD and bps."
        )
    volume, rate = int(found[1]) * ONE, int(found[2])
    if rate > BPS:
        raise TiersError(
            f"The commission tier {part} pays {rate} basis points; more than {BPS} is more than the profit."
        )
    return volume, rate
