"""How often orders may be posted: by the venue's tier for each signer, by address for everybody, and not at all.

The venue counts orders by the key that signs (so many a second, a burst above it) and requests by address (so many in
10 s and in 10 min); shared/reference/polymarket.md section 3.5. Nothing here waits: an order that may not go is told
for how long, and whoever holds it decides whether it is fresh enough to wait.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from execution.clob.buckets import Bucket
from execution.clob.metrics import CLOB_LIMIT_WARNINGS_TOTAL
from execution.clob.pause import VenuePause
from execution.ports import HoldUp
from guardrails.stores.base import CacheStore, CounterStore, StoreDown
from ledger.clock import Clock, Randomness
from ledger.shared_run import SharedRun

TIERS: Mapping[str, tuple[int, int]] = {
    "STANDARD": (40, 60),
    "COPPER": (60, 90),
    "BRONZE": (80, 120),
    "SILVER": (200, 300),
    "GOLD": (400, 600),
    "PLATINUM": (450, 675),
    "DIAMOND": (525, 787),
    "ELITE": (600, 900),
}
"""Orders a second and the burst, by the tier of a signer's volume."""

USUAL_TIER = "STANDARD"
SIGNERS_MAX = 10_000
"""Remembered at once; a signer that nobody heard of for long has a full bucket again anyway."""

PERCENT = 100
SHORT_S, LONG_S = 10.0, 600.0
BURST_PART = 10
"""A tenth of a window's orders may come at once; the rest is spaced evenly, so that no window is ever passed."""

GRANT_MAX = 20
"""Orders that a process takes from the shared counters at once: one question to the store for so many.

It begins with two and doubles while all are used in time: what a quiet process took and left is lost to the others.
"""

WAITING_MAX = 200
"""Orders that wait for the answer are asked for with it: they are sure to be used."""

SHORT_WINDOW_MS, LONG_WINDOW_MS = 1_000, 60_000
"""Shards count together in windows of a tenth of the venue's: two full ones side by side cost a tenth at most."""

STORE_REST_S = 5.0
"""A store that was down is asked again after this; until then each shard keeps to its share."""

HELD = "orders:held"
"""In the shared cache while the venue takes orders of nobody: until when, in milliseconds of the epoch."""

RESET_MAX_S = 60.0
"""A signer's bucket is full again long before; a longer pause in a header is no pause of it."""

REMAINING, RESET, TIER = "poly-ratelimit-remaining", "poly-ratelimit-reset", "poly-ratelimit-tier"
WARNING = "poly-ratelimit-warning"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSettings:
    """What one address may post in 10 s and in 10 min, how much of every limit is used, and by how many shards."""

    short: int = 5_000
    long: int = 120_000
    share_percent: int = 80
    shards: int = 1


class OrderRates:
    """The limits of one process; with `counters` all shards of an address share them, those of a signer included.

    With `cache` they share pauses of the venue: what was granted before, for a second at most, may still be posted.
    Without counters, or while they are down, each shard keeps to its part of what the address may post.
    """

    def __init__(
        self,
        clock: Clock,
        randomness: Randomness,
        *,
        settings: RateSettings,
        counters: CounterStore | None = None,
        cache: CacheStore | None = None,
    ) -> None:
        self._clock, self._randomness, self._settings, self._counters = clock, randomness, settings, counters
        self._cache = cache if settings.shards > 1 else None
        self._whole = _address_buckets(settings, shards=1)
        self._own = _address_buckets(settings, shards=settings.shards)
        self._signers: OrderedDict[str, tuple[str, Bucket]] = OrderedDict()
        self._pause = VenuePause(clock, randomness)
        self._grant, self._granted, self._granted_until_ms = 1, 0, 0.0
        self._store_again_ms = self._full_until_ms = 0.0
        self._asking = SharedRun(self._refill, name="order-grants")
        self._telling = SharedRun(self._tell_held, name="order-pause")

    def peek_ms(self, signer: str, tier: str = USUAL_TIER, *, ahead: int = 0, ahead_of_all: int = 0) -> float:
        """For how long an order of this signer would have to wait, as far as this process knows; takes nothing.

        So many orders of the signer, and of everybody, are to be posted before it.
        """
        now = self._clock.monotonic_ms()
        waits = (
            self._bucket(signer, tier).wait_ms(now, ahead=ahead),
            *(bucket.wait_ms(now, ahead=ahead_of_all) for bucket in self._address()),
        )
        return max(self._pause.wait_ms(), self._full_until_ms - now, *waits, 0.0)

    async def wait_ms(self, signer: str, tier: str = USUAL_TIER) -> float:
        """0: an order of this signer may be posted now, and is counted. Else for how long it has to wait."""
        wait = self.peek_ms(signer, tier)
        if wait > 0:
            return wait
        now = self._clock.monotonic_ms()
        taken = (self._bucket(signer, tier), *self._address())
        for bucket in taken:
            bucket.take(now)
        # Before anything is awaited: of all who wait for the end of a pause one goes.
        self._pause.goes()
        wait = await self._shared_wait_ms(signer) if self._counters is not None else 0.0
        if wait > 0:
            self._pause.unheard()
            for bucket in taken:
                bucket.give_back()
        return wait

    def expect(self) -> None:
        """Orders are being prepared: take the first ones of the shared counters meanwhile."""
        if self._store_up and not self._has_granted() and self._full_until_ms <= self._clock.monotonic_ms():
            self._asking.begin()

    def hold(self, seconds: float, why: HoldUp = HoldUp.UNAVAILABLE) -> None:
        """Post nothing at all for so long: the venue restarts, or asked to be left alone. Then one tries first."""
        self._pause.begin(seconds, why)
        if self._cache is not None and self._store_up:
            self._telling.begin()

    def answered(self, *, heard: bool = True) -> None:
        """The venue looked at an order, so it takes them again; without `heard` nobody knows."""
        if heard:
            self._pause.end()
        else:
            self._pause.unheard()

    def hold_signer(self, signer: str, seconds: float) -> None:
        """Post nothing of one signer for so long."""
        known = self._signers.get(signer)
        if known is not None:
            known[1].empty_for(self._clock.monotonic_ms(), seconds * 1_000)

    def noted(self, signer: str, headers: Mapping[str, str]) -> bool:
        """Learn from the headers of an answer what the venue counts; whether it says that this signer's are used up.

        Their tier counts from then on in place of the account's; never more is let through than remains there.
        """
        if WARNING in headers:
            CLOB_LIMIT_WARNINGS_TOTAL.inc()
        remaining = _whole(headers.get(REMAINING, ""))
        if remaining is None and TIER not in headers:
            return False
        tier = headers.get(TIER, "").strip().upper()
        if tier in TIERS:
            self._bucket(signer, tier, told=True)
        known = self._signers.get(signer)
        if remaining is None or known is None:
            return False
        now = self._clock.monotonic_ms()
        known[1].at_most(remaining, now)
        if remaining == 0:
            reset_s = min(_whole(headers.get(RESET, "")) or 0, RESET_MAX_S)
            known[1].empty_for(now, reset_s * 1_000)
        return remaining == 0

    @property
    def held(self) -> bool:
        """Whether nothing is posted at the moment."""
        return self._pause.held

    @property
    def why(self) -> HoldUp:
        """Why an order that may not go now has to wait."""
        return self._pause.why if self._pause.wait_ms() else HoldUp.RATE_LIMITED

    def _bucket(self, signer: str, tier: str, *, told: bool = False) -> Bucket:
        known = self._signers.get(signer)
        if known is None or (told and known[0] != tier):
            rate, burst = (each * self._settings.share_percent / PERCENT for each in TIERS.get(tier, TIERS[USUAL_TIER]))
            known = self._signers[signer] = (tier, Bucket(per_second=rate, burst=burst))
            if len(self._signers) > SIGNERS_MAX:
                self._signers.popitem(last=False)
        self._signers.move_to_end(signer)
        return known[1]

    def _address(self) -> tuple[Bucket, Bucket]:
        return self._whole if self._store_up else self._own

    @property
    def _store_up(self) -> bool:
        return self._counters is not None and self._clock.monotonic_ms() >= self._store_again_ms

    async def _shared_wait_ms(self, signer: str) -> float:
        """Take one of the orders that all shards share, of the signer's and of the address's."""
        try:
            if self._settings.shards > 1 and self._store_up and not await self._take_of_signer(signer):
                return self._next_window_ms()
            return await self._take_of_address()
        except StoreDown:
            self._store_again_ms = self._clock.monotonic_ms() + STORE_REST_S * 1_000
            log.warning("The store is down; this shard posts its own share.", action="limit", host="clob")
            return 0.0

    async def _take_of_address(self) -> float:
        while self._store_up and not self._take_granted():
            now_ms = self._clock.monotonic_ms()
            if self._full_until_ms > now_ms:
                return self._full_until_ms - now_ms
            await self._asking.join()
        return 0.0

    async def _refill(self) -> None:
        """One question for all who wait here: what is asked for in vain is counted too."""
        left, self._granted = self._granted, 0
        self._grant = max(1, self._grant - left) if left else min(GRANT_MAX, self._grant * 2)
        granted = await self._ask_store(max(self._grant, min(self._asking.waiting, WAITING_MAX)))
        now_ms = self._clock.monotonic_ms()
        if granted <= 0:
            self._full_until_ms = now_ms + self._next_window_ms()
            return
        self._granted, self._granted_until_ms = granted, now_ms + SHORT_WINDOW_MS

    async def _tell_held(self) -> None:
        """Have the other shards know of a pause for as long as it lasts; one that lasts longer stays."""
        assert self._cache is not None
        wait_ms = max(1, int(self._pause.wait_ms()))
        until_ms = int(self._clock.now().timestamp() * 1_000) + wait_ms
        try:
            told = await self._cache.get(HELD)
            if told is None or not told.isdigit() or int(told) < until_ms:
                await self._cache.set(HELD, str(until_ms).encode(), wait_ms)
        except StoreDown:
            log.warning("The store is down; other shards are not told of the pause.", action="limit", host="clob")

    def _next_window_ms(self) -> float:
        return SHORT_WINDOW_MS * (1 + self._randomness.fraction()) / 2

    async def _take_of_signer(self, signer: str) -> bool:
        """Whether all shards together leave this signer an order in this second; bursts are for each shard to spend."""
        assert self._counters is not None
        known = self._signers.get(signer)
        rate = TIERS[known[0] if known is not None and known[0] in TIERS else USUAL_TIER][0]
        taken = await self._counters.add(f"orders:{signer}", 1, SHORT_WINDOW_MS)
        return taken <= max(1, rate * self._settings.share_percent // PERCENT)

    def _take_granted(self) -> bool:
        if not self._has_granted():
            return False
        self._granted -= 1
        return True

    def _has_granted(self) -> bool:
        return self._granted > 0 and self._clock.monotonic_ms() < self._granted_until_ms

    async def _ask_store(self, grant: int) -> int:
        assert self._counters is not None
        if self._cache is not None and await self._cache.get(HELD) is not None:
            self._pause.follow(SHORT_WINDOW_MS / 1_000)
            return 0
        granted = grant
        for name, limit, window_ms, venue_s in (
            ("short", self._settings.short, SHORT_WINDOW_MS, SHORT_S),
            ("long", self._settings.long, LONG_WINDOW_MS, LONG_S),
        ):
            in_window = max(1, int(limit * self._settings.share_percent / PERCENT * window_ms / (venue_s * 1_000)))
            total = await self._counters.add(f"orders:{name}", granted, window_ms)
            granted = min(granted, in_window - (total - granted))
            if granted <= 0:
                # What the short window refuses must not use up the long one.
                return 0
        return granted


def _address_buckets(settings: RateSettings, *, shards: int) -> tuple[Bucket, Bucket]:
    usable = settings.share_percent / PERCENT / max(1, shards)
    return (_window(settings.short * usable, SHORT_S), _window(settings.long * usable, LONG_S))


def _window(orders: float, seconds: float) -> Bucket:
    burst = max(1.0, orders / BURST_PART)
    # In any window come the burst and what the window spaces: together exactly what may be used.
    return Bucket(per_second=max(orders - burst, orders / 2) / seconds, burst=burst)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
