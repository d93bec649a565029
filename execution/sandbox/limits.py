"""Limits of requests and the cache of the CDN in front of the sandbox's interfaces."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from execution.sandbox.serving import Reply
from ledger.clock import Clock

WINDOW_MS = 10_000
"""The venue counts requests of ten seconds."""

CACHED_MAX = 2_000


class RequestLimit:
    """So many requests in any ten seconds, or in another time."""

    def __init__(self, clock: Clock, requests: int, *, window_ms: int = WINDOW_MS) -> None:
        self._clock = clock
        self._requests = requests
        self._window_ms = window_ms
        self._times: deque[float] = deque()

    def refused_for_s(self) -> int:
        """Count a request; 0 when it may pass, else after how many seconds the next one may."""
        now = self._clock.monotonic_ms()
        while self._times and self._times[0] <= now - self._window_ms:
            self._times.popleft()
        if len(self._times) >= self._requests:
            return max(1, -int((now - self._times[0] - self._window_ms) // 1_000))
        self._times.append(now)
        return 0


@dataclass(frozen=True, slots=True)
class _Cached:
    reply: Reply
    at_ms: float


class Cdn:
    """Answers by their whole URL, for as long as each path's age allows; errors are not kept."""

    def __init__(self, clock: Clock, max_age_s: Mapping[str, int]) -> None:
        self._clock = clock
        self._max_age_s = dict(max_age_s)
        self._cached: OrderedDict[str, _Cached] = OrderedDict()

    def cached(self, path: str, target: str) -> Reply | None:
        """A kept answer that is not too old."""
        found = self._cached.get(target)
        if found is None:
            return None
        age_ms = self._clock.monotonic_ms() - found.at_ms
        if age_ms >= self._max_age_s.get(path, 0) * 1_000:
            del self._cached[target]
            return None
        return self._marked(found.reply, path, hit="HIT", age_s=int(age_ms // 1_000))

    def keep(self, path: str, target: str, reply: Reply) -> Reply:
        """Keep an answer, and mark it as fresh."""
        if reply.status == 200 and path in self._max_age_s:
            self._cached[target] = _Cached(reply, self._clock.monotonic_ms())
            if len(self._cached) > CACHED_MAX:
                self._cached.popitem(last=False)
        return self._marked(reply, path, hit="MISS", age_s=0)

    def _marked(self, reply: Reply, path: str, *, hit: str, age_s: int) -> Reply:
        headers = {
            **reply.headers,
            "Cache-Control": f"public, max-age={self._max_age_s.get(path, 0)}",
            "X-Cache": hit,
            "Age": str(age_s),
        }
        return Reply(status=reply.status, body=reply.body, headers=headers)
