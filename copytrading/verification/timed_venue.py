"""The pool of orders as a check sees it: every request with its begin and end, by whose key it was signed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from execution.http import Answer, Http, MayLeave, SharedHttp
from ledger.system import SystemClock

ORDER_PATH = "/order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """An order that was posted: the address of the key, the hash that the venue answered, and when it was under way."""

    address: str
    order_hash: str
    began_ms: float
    ended_ms: float


class TimedHttp:
    """`Http` that remembers what was asked and posted through it."""

    def __init__(self) -> None:
        self._http: Http = SharedHttp()
        self._clock = SystemClock()
        self.posts: list[Posted] = []
        self.asked: list[str] = []

    def clear(self) -> None:
        """Forget the orders so far."""
        self.posts = []

    def most_at_once(self) -> int:
        """How many accounts had an order under way at the same moment, at most."""
        return max((len(self._under_way(each.began_ms)) for each in self.posts), default=0)

    def asked_for(self, asset_type: str) -> int:
        """How often balances of this kind were asked for."""
        return sum(f"asset_type={asset_type}" in each for each in self.asked)

    async def get(
        self,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> Answer:
        """Ask, and remember it."""
        self.asked.append(url)
        return await self._http.get(url, query=query, headers=headers, timeout_s=timeout_s)

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        may_leave: MayLeave | None = None,
    ) -> Answer:
        """Send, and remember when."""
        began_ms = self._clock.monotonic_ms()
        answer = await self._http.post(url, body=body, headers=headers, timeout_s=timeout_s, may_leave=may_leave)
        if url.endswith(ORDER_PATH) and headers is not None:
            posted = Posted(
                address=headers["POLY_ADDRESS"].lower(),
                order_hash=_order_hash(answer.body),
                began_ms=began_ms,
                ended_ms=self._clock.monotonic_ms(),
            )
            self.posts.append(posted)
        return answer

    async def delete(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None, timeout_s: float
    ) -> Answer:
        """Have something removed."""
        return await self._http.delete(url, body=body, headers=headers, timeout_s=timeout_s)

    async def close(self) -> None:
        """Let go."""
        await self._http.close()

    def _under_way(self, at_ms: float) -> set[str]:
        return {each.address for each in self.posts if each.began_ms <= at_ms < each.ended_ms}


def _order_hash(body: bytes) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    return str(told.get("orderID") or "").lower() if isinstance(told, dict) else ""
