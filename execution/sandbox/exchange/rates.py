"""How many orders and cancels a signer may send by its tier, and how many requests an address (polymarket.md 3.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from execution.sandbox.limits import RequestLimit
from ledger.clock import Clock

Action = Literal["orders", "cancels"]

TIERS: Mapping[str, tuple[int, int]] = {
    "Standard": (40, 60),
    "Copper": (60, 90),
    "Bronze": (80, 120),
    "Silver": (200, 300),
    "Gold": (400, 600),
    "Platinum": (450, 675),
    "Diamond": (525, 787),
    "Elite": (600, 900),
}
"""Orders a second and at once."""

CANCELS_FACTOR = 2
"""Cancels have a bucket of their own, twice as large."""

TEN_SECONDS, TEN_MINUTES = 10_000, 600_000
WINDOWS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "POST /order": ((5_000, TEN_SECONDS), (120_000, TEN_MINUTES)),
    "DELETE /order": ((5_000, TEN_SECONDS), (120_000, TEN_MINUTES)),
    "POST /orders": ((2_000, TEN_SECONDS), (21_000, TEN_MINUTES)),
    "DELETE /orders": ((2_000, TEN_SECONDS), (15_000, TEN_MINUTES)),
    "DELETE /cancel-all": ((250, TEN_SECONDS), (6_000, TEN_MINUTES)),
    "DELETE /cancel-market-orders": ((1_500, TEN_SECONDS), (21_000, TEN_MINUTES)),
    "GET /balance-allowance": ((200, TEN_SECONDS),),
    "GET /balance-allowance/update": ((50, TEN_SECONDS),),
    "GET /data/orders": ((500, TEN_SECONDS),),
    "GET /data/trades": ((500, TEN_SECONDS),),
    "GET /data/order": ((900, TEN_SECONDS),),
    "auth": ((100, TEN_SECONDS),),
}
"""Requests of one address in so many milliseconds, by method and path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a request did to its signer's bucket; `refused_for_s` 0 where it may pass."""

    headers: Mapping[str, str]
    refused_for_s: int


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ms: float


class SignerRates:
    """A bucket for each signer and action. Where it is not enforced an empty one only warns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tiers: dict[str, str] = {}
        self._buckets: dict[tuple[str, Action], _Bucket] = {}

    def set_tier(self, address: str, tier: str) -> None:
        """Raises ValueError for a tier that there is none of."""
        if tier not in TIERS:
            raise ValueError(f"the tiers are {', '.join(TIERS)}")
        self._tiers[address] = tier
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name[0] != address}

    def tier(self, address: str) -> str:
        """The signer's tier."""
        return self._tiers.get(address, "Standard")

    def limits(self, address: str, action: Action) -> tuple[int, int]:
        """A second, and at once."""
        rate, burst = TIERS[self.tier(address)]
        factor = CANCELS_FACTOR if action == "cancels" else 1
        return rate * factor, burst * factor

    def spend(self, address: str, action: Action, cost: int, *, enforced: bool) -> Spent:
        """Take so many tokens, or none: a batch passes as a whole or not at all."""
        rate, burst = self.limits(address, action)
        now = self._clock.monotonic_ms()
        bucket = self._buckets.setdefault((address, action), _Bucket(burst, now))
        bucket.tokens = min(float(burst), bucket.tokens + (now - bucket.at_ms) * rate / 1_000)
        bucket.at_ms = now
        lacking = cost - bucket.tokens
        if lacking <= 0 or not enforced:
            bucket.tokens = max(0.0, bucket.tokens - cost)
        headers = {
            "Poly-RateLimit-Remaining": str(int(bucket.tokens)),
            "Poly-RateLimit-Reset": str(-int(-(burst - bucket.tokens) // rate)),
            "Poly-RateLimit-Tier": self.tier(address),
        }
        if lacking <= 0:
            return Spent(headers=headers, refused_for_s=0)
        if not enforced:
            return Spent(headers={**headers, "Poly-RateLimit-Warning": "rate limit exceeded"}, refused_for_s=0)
        wait_s = max(1, -int(-lacking // rate))
        return Spent(headers={**headers, "Retry-After": str(wait_s)}, refused_for_s=wait_s)


class AddressRates:
    """The limits of all requests together: the sandbox hears everybody from one address."""

    def __init__(self, clock: Clock) -> None:
        self._limits = {
            name: tuple(RequestLimit(clock, requests, window_ms=window) for requests, window in windows)
            for name, windows in WINDOWS.items()
        }

    def refused_for_s(self, name: str) -> int:
        """Count a request; 0 where it may pass."""
        return max((each.refused_for_s() for each in self._limits.get(name, ())), default=0)
