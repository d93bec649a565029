"""What concerns every account here: the clock beside the venue's, where this machine is, and contracts of wallets."""

import structlog

from execution.clob.client import ClobClient
from execution.hosts import HostDown, HostRefused
from execution.http import Http, HttpDown
from execution.rpc import Rpc, RpcError
from execution.wire import WireError, decode
from ledger.clock import Clock

AGAIN_MS = 300_000
"""The clock and the place are asked about so often: neither changes by itself."""

TIMEOUT_S = 5.0
OK = 200

log = structlog.get_logger(__name__)


class Place:
    """Asks seldom and remembers; None is what nobody could say."""

    def __init__(self, client: ClobClient, http: Http, clock: Clock, *, geoblock_url: str = "", rpc: Rpc | None = None):
        self._client, self._http, self._clock, self._geoblock_url, self._rpc = client, http, clock, geoblock_url, rpc
        self._skew: tuple[float, float | None] | None = None
        self._blocked: tuple[float, bool | None] | None = None
        self._deployed: set[str] = set()

    async def skew_s(self, *, fresh: bool = False) -> float | None:
        """By how many seconds the venue's clock is ahead of ours; requests are signed by it from then on.

        `fresh`: asked now, because the venue refused what was signed by the time that is known.
        """
        now_ms = self._clock.monotonic_ms()
        if fresh or self._skew is None or now_ms - self._skew[0] >= AGAIN_MS:
            try:
                self._skew = (now_ms, await self._client.measure_time())
            except (HostDown, HostRefused):
                return self._skew[1] if self._skew is not None else None
        return self._skew[1]

    async def blocked(self) -> bool | None:
        """Whether the venue takes no orders from this machine's address."""
        if not self._geoblock_url:
            return None
        now_ms = self._clock.monotonic_ms()
        if self._blocked is None or now_ms - self._blocked[0] >= AGAIN_MS:
            self._blocked = (now_ms, await self._ask_place())
        return self._blocked[1]

    def look_again(self) -> None:
        """The venue says that this address is blocked: what was known of the place is out of date."""
        self._blocked = None

    async def deployed(self, wallet: str) -> bool | None:
        """Whether there is a contract at the wallet; None without a node that says."""
        if wallet in self._deployed:
            return True
        if self._rpc is None:
            return None
        try:
            code = await self._rpc.call("eth_getCode", wallet, "latest")
        except RpcError as error:
            log.info("A wallet's contract could not be looked for.", action="account", why=str(error))
            return None
        if not isinstance(code, str) or code in ("", "0x"):
            return False
        self._deployed.add(wallet)
        return True

    async def _ask_place(self) -> bool | None:
        try:
            answer = await self._http.get(self._geoblock_url, timeout_s=TIMEOUT_S)
            value = decode(answer.body) if answer.status == OK else None
        except (HttpDown, WireError):
            return None
        blocked = value.get("blocked") if isinstance(value, dict) else None
        return blocked if isinstance(blocked, bool) else None
