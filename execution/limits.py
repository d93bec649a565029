"""Keeps requests to one host within its published limits, and waits for it when it is busy.

Even spacing for each kind of question, a share of the limit per process, and one pause for the whole host: the venue
counts by address, so whoever goes on asking after a 429 makes it last longer for everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import structlog

from execution.backoff import backoff_s
from guardrails.stores.base import CounterStore, StoreDown
from ledger.clock import Clock, Randomness

PERCENT = 100
BURST_PART = 10
"""A tenth of a window's requests may come at once; the rest is spaced evenly, so that no window is ever passed."""

SHARED_WINDOW_MS = 1_000
"""Shards count together in windows much shorter than the venue's: two full ones side by side cost a tenth at most."""

SHARED_TRIES_MAX = 30
"""Full shared windows that a request waits for; after them its own spacing must do."""

STORE_REST_S = 5.0
"""A store that was down is asked again after this; until then each shard keeps to its share."""

PAUSE_BASE_S, PAUSE_MAX_S = 1.0, 30.0
"""Between two tries of a host that answers with errors: doubled each time, jittered."""

RETRY_AFTER_MAX_S = 300.0
"""A host that asks for a longer pause is asked again after this."""

TOO_MANY, SERVER_ERROR = 429, 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """So many requests of this kind in so many seconds."""

    kind: str
    requests: int
    window_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`share_percent` of each allowance is used; `shards` processes of one address divide it between them."""

    allowances: tuple[Allowance, ...]
    share_percent: int = 80
    shards: int = 1


class Spacing:
    """When the next request may go: evenly, after a burst of `burst`. Pure but for what it remembers.

    It is a token bucket written as one moment (the generic cell rate algorithm): no timer fills it.
    """

    def __init__(self, *, requests: float, window_s: float, burst: float) -> None:
        if requests <= 0 or window_s <= 0:
            raise ValueError("a spacing needs some requests in some seconds")
        self._every_ms = window_s * 1_000 / requests
        self._ahead_ms = max(0.0, burst - 1) * self._every_ms
        self._full_at_ms = 0.0

    def reserve(self, now_ms: float) -> float:
        """Take the next place; how many milliseconds to wait for it."""
        goes_ms = max(now_ms, self._full_at_ms - self._ahead_ms)
        self._full_at_ms = max(goes_ms, self._full_at_ms) + self._every_ms
        return goes_ms - now_ms


class HostLimits:
    """The turns of everybody in this process who asks one host."""

    def __init__(
        self,
        clock: Clock,
        randomness: Randomness,
        *,
        host: str,
        settings: LimitSettings,
        counters: CounterStore | None = None,
    ) -> None:
        """`counters` are those that the shards share; without them each shard keeps to its part of the limit."""
        self._clock, self._randomness, self._host, self._settings = clock, randomness, host, settings
        self._counters = counters
        shared = counters is not None
        self._whole = {each.kind: _spacing(each, settings, shards=1) for each in settings.allowances} if shared else {}
        self._own = {each.kind: _spacing(each, settings, shards=settings.shards) for each in settings.allowances}
        self._per_window = _per_window(settings)
        self._paused_until_ms = 0.0
        self._store_again_ms = 0.0
        self._failures = 0

    @property
    def paused(self) -> bool:
        """Whether the host asked to be left alone, or must be after errors."""
        return self._clock.monotonic_ms() < self._paused_until_ms

    async def turn(self, kind: str) -> None:
        """Wait until a request of this kind may go; in the order of asking."""
        with_store = self._counters is not None and self._clock.monotonic_ms() >= self._store_again_ms
        spacing = self._whole[kind] if with_store else self._own[kind]
        await self._wait_ms(spacing.reserve(self._clock.monotonic_ms()))
        if with_store:
            await self._take_shared(kind)
        while self.paused:
            await self._wait_ms(self._paused_until_ms - self._clock.monotonic_ms())

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """What the host said: an error pauses everybody, an answer ends the counting of errors."""
        if status == TOO_MANY or status >= SERVER_ERROR:
            self._pause(retry_after_s(headers, now_s=self._clock.now().timestamp()))
        else:
            self._failures = 0

    def silent(self) -> None:
        """There was no answer."""
        self._pause(None)

    def _pause(self, asked_s: float | None) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._paused_until_ms:
            # Errors of requests that were under way together are one failure.
            self._failures += 1
        own_s = backoff_s(self._failures - 1, base_s=PAUSE_BASE_S, cap_s=PAUSE_MAX_S, randomness=self._randomness)
        # Never earlier than asked; the jitter comes on top, so that not everybody is back in the same moment.
        pause_s = own_s if asked_s is None else min(asked_s, RETRY_AFTER_MAX_S) + PAUSE_BASE_S * self._jitter()
        self._paused_until_ms = max(self._paused_until_ms, now_ms + pause_s * 1_000)

    def _jitter(self) -> float:
        return self._randomness.fraction()

    async def _take_shared(self, kind: str) -> None:
        if self._counters is None:
            return
        for _ in range(SHARED_TRIES_MAX):
            try:
                taken = await self._counters.add(f"requests:{self._host}:{kind}", 1, SHARED_WINDOW_MS)
            except StoreDown:
                self._store_again_ms = self._clock.monotonic_ms() + STORE_REST_S * 1_000
                log.warning("The store is down; this shard asks its own share.", action="limit", host=self._host)
                await self._wait_ms(self._own[kind].reserve(self._clock.monotonic_ms()))
                return
            if taken <= self._per_window[kind]:
                return
            await self._wait_ms(SHARED_WINDOW_MS * (1 + self._jitter()) / 2)

    async def _wait_ms(self, milliseconds: float) -> None:
        if milliseconds > 0:
            await self._clock.sleep(milliseconds / 1_000)


def retry_after_s(headers: Mapping[str, str], *, now_s: float) -> float | None:
    """The pause that a `retry-after` header asks for, in seconds or as a date; None without a readable one."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) <= len(str(int(RETRY_AFTER_MAX_S))) + 3:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def _spacing(allowance: Allowance, settings: LimitSettings, *, shards: int) -> Spacing:
    usable = allowance.requests * settings.share_percent / PERCENT / max(1, shards)
    burst = usable / BURST_PART
    # In any window come the burst and what the window spaces: together exactly what may be used.
    return Spacing(requests=max(usable - burst, usable / 2), window_s=allowance.window_s, burst=max(1.0, burst))


def _per_window(settings: LimitSettings) -> dict[str, int]:
    return {each.kind: _usable_each_window(each, settings.share_percent) for each in settings.allowances}


def _usable_each_window(allowance: Allowance, share_percent: int) -> int:
    usable = allowance.requests * share_percent / PERCENT
    return max(1, int(usable * SHARED_WINDOW_MS / (allowance.window_s * 1_000)))


DATA_API_KINDS = ("activity", "trades", "positions")


def data_api_allowances(*, activity: int, trades: int, positions: int) -> tuple[Allowance, ...]:
    """What the Data API grants one address in ten seconds (polymarket.md 5.1)."""
    return tuple(
        Allowance(kind=kind, requests=requests)
        for kind, requests in zip(DATA_API_KINDS, (activity, trades, positions), strict=True)
    )
