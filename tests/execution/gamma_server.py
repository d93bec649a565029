"""A Gamma and a CLOB on loopback, for tests: markets by condition and token, both versions, faults on demand."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from execution.gamma_client import CLOB, GAMMA, GammaClient
from execution.hosts import Host
from execution.http import SharedHttp
from execution.limits import Allowance, HostLimits, LimitSettings
from ledger.clock import Clock
from ledger.system import SeededRandomness


def gamma_market(condition: str, first: int, **more: Any) -> dict[str, Any]:
    """An open market of version 1 without fees as Gamma describes it; its tokens are `first` and the next number."""
    version = more.get("version", "v1")
    tokens = [str(first), str(first + 1)]
    return {
        "conditionId": condition,
        "version": version,
        "question": f"Question {first}?",
        "clobTokenIds": tokens,
        "positionIds": tokens if version == "v2" else ["1", "2"],
        "outcomes": '["Yes", "No"]',
        "closed": False,
        "acceptingOrders": True,
        "orderPriceMinTickSize": "0.01",
        "orderMinSize": "5",
        "negRisk": False,
        "feesEnabled": False,
        **more,
    }


class GammaDouble:
    """Answers from `markets`, and the CLOB from `terms` by condition; `faults` are statuses, each for one answer.

    Nothing is answered before `silence` is over.
    """

    def __init__(self) -> None:
        self.markets: list[dict[str, Any]] = []
        self.terms: dict[str, dict[str, Any]] = {}
        self.faults: deque[int] = deque()
        self.refused: set[str] = set()
        self.silence: asyncio.Event | None = None
        self.asked: list[tuple[str, tuple[tuple[str, str], ...]]] = []

    def questions(self, name: str) -> list[list[str]]:
        """The ids of each question under this name, in order."""
        found = [[value for key, value in query if key == name] for _path, query in self.asked]
        return [ids for ids in found if ids]

    @asynccontextmanager
    async def serving(self, clock: Clock) -> AsyncIterator[GammaClient]:
        """The client of this server, while it runs."""
        app = web.Application()
        app.router.add_get("/markets/keyset", self._gamma)
        app.router.add_get("/clob-markets/{condition}", self._clob)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        http = SharedHttp()
        settings = LimitSettings(allowances=(Allowance(kind=GAMMA, requests=300), Allowance(kind=CLOB, requests=1_500)))
        limits = HostLimits(clock, SeededRandomness(1), host="markets", settings=settings)
        try:
            address, port = runner.addresses[0][:2]
            host = Host(http, limits, base_url=f"http://{address}:{port}")
            yield GammaClient(host, host)
        finally:
            await http.close()
            await runner.cleanup()

    async def _gamma(self, request: web.Request) -> web.Response:
        query = tuple(request.query.items())
        self.asked.append((request.path, query))
        if self.silence is not None:
            await self.silence.wait()
        if self.faults:
            return web.Response(status=self.faults.popleft())
        ids = {value for key, value in query if key in ("condition_ids", "clob_token_ids", "position_ids")}
        if ids & self.refused:
            return web.Response(status=422)
        closed, version = request.query.get("closed") == "true", request.query.get("version", "v1")
        found = [
            market
            for market in self.markets
            if market["closed"] is closed and market["version"] == version and ids & _names(market, request)
        ]
        return web.json_response({"markets": found, "next_cursor": "LTE="})

    async def _clob(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, ()))
        found = self.terms.get(request.match_info["condition"])
        return web.Response(status=404) if found is None else web.json_response(found)


def _names(market: dict[str, Any], request: web.Request) -> set[str]:
    if "condition_ids" in request.query:
        return {market["conditionId"]}
    return set(market["clobTokenIds" if "clob_token_ids" in request.query else "positionIds"])
