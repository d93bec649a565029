"""A Data API of the second version on loopback, for tests: rows by wallet, the envelope, and faults on demand."""

import base64
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from aiohttp import web

from execution.data_api import DataApi
from execution.hosts import Host
from execution.http import SharedHttp
from execution.limits import HostLimits, LimitSettings, data_api_allowances
from ledger.clock import Clock
from ledger.system import SeededRandomness
from tests.factories import digest

Row = dict[str, Any]
Fault = Callable[[web.Request, dict[str, Any]], "web.Response | dict[str, Any]"]
"""Turns the page that would have been answered into another one, or into a refusal."""

CONDITION = digest("the market of these rows")
TOKEN = 7001


def trade(
    wallet: str, second: int, *, tx: int = 1, size: str = "1000", side: str = "BUY", token: int = TOKEN, **more: Any
) -> Row:
    """A row of `/v2/activity`."""
    return {
        "proxy_wallet": wallet,
        "type": "TRADE",
        "side": side,
        "token_id": str(token),
        "condition_id": CONDITION,
        "size": Decimal(size),
        "price": Decimal("0.5"),
        "timestamp": second,
        "transaction_hash": f"0x{tx:064x}",
        "outcome_index": 0,
        **more,
    }


def position(wallet: str, token: int, size: str, *, price: str = "0.5", condition: str = CONDITION, **more: Any) -> Row:
    """A row of `/v2/positions`."""
    return {
        "proxy_wallet": wallet,
        "token_id": str(token),
        "condition_id": condition,
        "current_size": Decimal(size),
        "current_price": Decimal(price),
        "status": "OPEN",
        **more,
    }


class DataApiDouble:
    """Answers from `rows` and `positions`; each fault changes one answer, in order, and `always` all of them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.positions: list[Row] = []
        self.page_max = 1_000
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []

    def queries(self, kind: str = "activity") -> list[dict[str, str]]:
        """What was asked for, in order."""
        return [query for path, query in self.asked if path == f"/v2/{kind}"]

    @asynccontextmanager
    async def serving(self, clock: Clock) -> AsyncIterator[DataApi]:
        """The client of this server, while it runs."""
        app = web.Application()
        app.router.add_get("/v2/{kind}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        http = SharedHttp()
        limits = HostLimits(
            clock,
            SeededRandomness(1),
            host="data-api",
            settings=LimitSettings(allowances=data_api_allowances(activity=400, trades=200, positions=200)),
        )
        try:
            host, port = runner.addresses[0][:2]
            yield DataApi(Host(http, limits, base_url=f"http://{host}:{port}"), clock)
        finally:
            await http.close()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append((request.path, query))
        if "offset" in query:
            return web.Response(status=400)
        rows = self._positions(query) if request.path == "/v2/positions" else self._rows(query)
        page = self._page(rows, query)
        fault = self.faults.popleft() if self.faults else self.always
        answered = page if fault is None else fault(request, page)
        if isinstance(answered, web.Response):
            return answered
        return web.Response(text=_json(answered), content_type="application/json")

    def _rows(self, query: dict[str, str]) -> list[Row]:
        start, end = int(query.get("start", 0)), int(query.get("end", 2**40))
        mine = [row for row in self.rows if row["proxy_wallet"] == query["user"] and start <= row["timestamp"] <= end]
        return sorted(mine, key=lambda row: -row["timestamp"])

    def _positions(self, query: dict[str, str]) -> list[Row]:
        least = Decimal(query.get("filter_amount", "0.1"))
        return [
            row
            for row in self.positions
            if row["proxy_wallet"] == query["user"]
            and row["status"] == query.get("status", "OPEN")
            and row["current_size"] >= least
        ]

    def _page(self, rows: list[Row], query: dict[str, str]) -> dict[str, Any]:
        limit = min(int(query.get("limit", 100)), self.page_max)
        begin = int(base64.b64decode(query["cursor"])) if "cursor" in query else 0
        more = begin + limit < len(rows)
        cursor = base64.b64encode(str(begin + limit).encode()).decode() if more else None
        pagination = {"limit": limit, "offset": 0, "has_more": more, "next_cursor": cursor}
        return {"data": rows[begin : begin + limit], "pagination": pagination}


def refusing(status: int, **headers: str) -> Fault:
    """Answer with a status and nothing else."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request, _page: web.Response(status=status, headers=named)


def _json(value: Any) -> str:
    """JSON with exact decimals, which the standard library does not write."""
    if isinstance(value, dict):
        return "{" + ",".join(f'"{key}":{_json(each)}' for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_json(each) for each in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, int | Decimal) else f'"{value}"'
