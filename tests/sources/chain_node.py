"""A scripted chain, and nodes that show it over JSON-RPC and a websocket, each with faults of its own."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from aiohttp import WSMsgType, web

from tests.chain_bytes import JsonLog, filled, hash_of

Key = tuple[str, str, int, str]
"""Wallet, transaction, token, side."""


@dataclass(slots=True)
class Transaction:
    """Its logs, and what it really traded."""

    hash: str
    logs: list[JsonLog]
    traded: dict[Key, int] = field(default_factory=dict)


class ScriptedChain:
    """Blocks that can be mined and reorganised; knows what was traded."""

    def __init__(self, *, chain_id: int = 137, first: int = 0) -> None:
        self.chain_id = chain_id
        self.blocks: list[dict[str, Any]] = []
        self.pending: dict[str, dict[str, Any]] = {}
        self.nodes: list[ScriptedNode] = []
        self._hashes = self._transactions = 0
        self._first = first
        self._append([])

    @property
    def head(self) -> dict[str, Any]:
        return self.blocks[-1]

    def fill(self, wallet: str, shares: int, **more: Any) -> Transaction:
        """A transaction in which one order of the wallet is filled, at 50 cents unless said."""
        return self.fills([{"maker": wallet, "shares": shares, **more}])

    def fills(self, each: Sequence[dict[str, Any]]) -> Transaction:
        """A transaction of several fills."""
        tx = Transaction(self.new_hash(), [filled(**{"cash": one["shares"] // 2, **one}) for one in each])
        for one in each:
            key = (one["maker"], tx.hash, one.get("token", 7001), one.get("side", "BUY"))
            tx.traded[key] = tx.traded.get(key, 0) + one["shares"]
        return tx

    def new_hash(self) -> str:
        self._transactions += 1
        return hash_of(0xAA_0000_0000 + self._transactions)

    def mine(self, *transactions: Transaction) -> dict[str, Any]:
        """A block with these transactions; every node shows it at once."""
        block = self._append(transactions)
        self._show([block], [])
        return block

    def reorg(self, depth: int, *blocks: Sequence[Transaction]) -> None:
        """Replace the last `depth` blocks by these."""
        orphans = self.blocks[-depth:]
        del self.blocks[-depth:]
        self._show([self._append(each) for each in blocks], orphans)

    def traded(self, *wallets: str) -> dict[Key, int]:
        """The truth: what these wallets traded in the transactions of the chain's blocks."""
        total: Counter[Key] = Counter()
        for block in self.blocks:
            for tx in block["transactions"]:
                total.update(tx.traded)
        return {key: size for key, size in total.items() if key[0] in wallets}

    def _append(self, transactions: Sequence[Transaction]) -> dict[str, Any]:
        self._hashes += 1
        number, block_hash = self._first + len(self.blocks), "0x" + sha256(b"block %d" % self._hashes).hexdigest()
        logs = [
            {**log, "transactionHash": tx.hash, "blockHash": block_hash, "blockNumber": hex(number)}
            for tx in transactions
            for log in tx.logs
        ]
        block = {
            "number": number,
            "hash": block_hash,
            "parent": self.blocks[-1]["hash"] if self.blocks else hash_of(0),
            "time": int(datetime.now(UTC).timestamp()),
            "transactions": list(transactions),
            "logs": [{**log, "logIndex": hex(index)} for index, log in enumerate(logs)],
        }
        self.blocks.append(block)
        return block

    def _show(self, blocks: Sequence[dict[str, Any]], orphans: Sequence[dict[str, Any]]) -> None:
        for node in self.nodes:
            node.show(blocks, orphans)


def header_of(block: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": hex(block["number"]),
        "hash": block["hash"],
        "parentHash": block["parent"],
        "timestamp": hex(block["time"]),
    }


@dataclass(slots=True)
class Faults:
    """What is wrong with a node: `lag` blocks behind over HTTP, `status` of all answers; a mute one pushes nothing.

    Of the newest `late_logs` blocks it shows no logs yet; of a range it keeps all after the first `logs_max` back, and
    with `no_ranges` it breaks down over every one.
    """

    lag: int = 0
    status: int = 0
    retry_after: str = ""
    error: dict[str, Any] | None = None
    range_max: int = 10_000
    results_max: int = 10_000
    batches: bool = True
    mute: bool = False
    heads_last: bool = False
    twice: bool = False
    loses_logs: bool = False
    late_logs: int = 0
    logs_max: int = 0
    no_ranges: bool = False
    tells_removed: bool = True
    forgets_receipts: bool = False
    no_bodies: bool = False
    chain_id: int | None = None


class ScriptedNode:
    """`async with ScriptedNode(chain) as node`: answers at `node.url` and `node.ws_url`."""

    def __init__(self, chain: ScriptedChain, **faults: Any) -> None:
        self.chain, self.faults = chain, Faults(**faults)
        self.calls: Counter[str] = Counter()
        self.requests = 0
        self.subscribers: list[tuple[web.WebSocketResponse, str, list[Any], asyncio.Queue[str]]] = []
        self._subscriptions = 0
        self._stuck: list[dict[str, Any]] | None = None
        self.subscribed = asyncio.Event()

    async def __aenter__(self) -> "ScriptedNode":
        app = web.Application()
        app.router.add_post("/", self._post)
        app.router.add_get("/", self._talk)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        [socket] = site._server.sockets  # type: ignore[union-attr]
        port = socket.getsockname()[1]
        self.url, self.ws_url = f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/"
        self.chain.nodes.append(self)
        return self

    async def __aexit__(self, *_trouble: object) -> None:
        self.chain.nodes.remove(self)
        self.hang_up()
        await self._runner.cleanup()

    def hang_up(self) -> None:
        """Break every connection without a goodbye."""
        for socket, *_rest in self.subscribers:
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()
        self.subscribers.clear()
        self.subscribed.clear()

    # --- HTTP ---------------------------------------------------------------------------------------------

    async def _post(self, request: web.Request) -> web.Response:
        self.requests += 1
        frames = json.loads(await request.read())
        if self.faults.status:
            return web.Response(status=self.faults.status, headers={"Retry-After": self.faults.retry_after})
        if isinstance(frames, list) and not self.faults.batches:
            return web.json_response({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}})
        many = frames if isinstance(frames, list) else [frames]
        # The order of a batch's answers is free.
        answers = [self._answer(frame) for frame in reversed(many)]
        return web.json_response(answers if isinstance(frames, list) else answers[0])

    def _answer(self, frame: dict[str, Any]) -> dict[str, Any]:
        self.calls[frame["method"]] += 1
        head = {"jsonrpc": "2.0", "id": frame["id"]}
        if self.faults.error is not None and frame["method"] != "eth_chainId":
            return {**head, "error": self.faults.error}
        try:
            return {**head, "result": getattr(self, frame["method"])(*frame["params"])}
        except ValueError as error:
            return {**head, "error": {"code": -32000, "message": str(error)}}

    def stick(self, *, stuck: bool = True) -> None:
        """Go on showing the chain as it is now over HTTP, whatever is mined or reorganised; or no longer."""
        self._stuck = self.chain.blocks[:] if stuck else None

    def _shown(self) -> list[dict[str, Any]]:
        blocks = self.chain.blocks if self._stuck is None else self._stuck
        return blocks[: len(blocks) - self.faults.lag]

    def eth_chainId(self) -> str:  # noqa: N802
        return hex(self.faults.chain_id or self.chain.chain_id)

    def eth_blockNumber(self) -> str:  # noqa: N802
        return hex(self._shown()[-1]["number"])

    def eth_getBlockByNumber(self, number: str, bodies: bool) -> Any:  # noqa: N802
        if number == "latest":
            return header_of(self._shown()[-1])
        return next((header_of(b) for b in self._shown() if hex(b["number"]) == number), None)

    def eth_getBlockByHash(self, block_hash: str, bodies: bool) -> Any:  # noqa: N802
        return next((header_of(b) for b in self._shown() if b["hash"] == block_hash), None)

    def eth_getLogs(self, wanted: dict[str, Any]) -> list[Any]:  # noqa: N802
        if "blockHash" in wanted:
            blocks = [b for b in self._shown() if b["hash"] == wanted["blockHash"]]
            if not blocks:
                raise ValueError("unknown block")
        else:
            if self.faults.no_ranges:
                raise ValueError("internal error")
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            if last - first >= self.faults.range_max:
                raise ValueError(f"block range is too wide, at most {self.faults.range_max} blocks")
            blocks = [b for b in self._shown() if first <= b["number"] <= last]
        late = self._shown()[-self.faults.late_logs :] if self.faults.late_logs else []
        ready = [block for block in blocks if block not in late]
        found = [log for block in ready for log in block["logs"] if _matches(log, wanted)]
        if self.faults.logs_max and "blockHash" not in wanted:
            found = found[: self.faults.logs_max]
        if len(found) > self.faults.results_max:
            raise ValueError(f"query returned more than {self.faults.results_max} results")
        return [] if self.faults.loses_logs else found

    def eth_getTransactionReceipt(self, tx_hash: str) -> Any:  # noqa: N802
        for block in self._shown():
            for tx in block["transactions"]:
                if tx.hash == tx_hash and not self.faults.forgets_receipts:
                    logs = [log for log in block["logs"] if log["transactionHash"] == tx_hash]
                    return {
                        "status": "0x0" if not tx.logs else "0x1",
                        "logs": logs,
                        "blockNumber": hex(block["number"]),
                    }
        return None

    def eth_getTransactionByHash(self, tx_hash: str) -> Any:  # noqa: N802
        return self.chain.pending.get(tx_hash)

    # --- Websocket ----------------------------------------------------------------------------------------

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        outgoing: asyncio.Queue[str] = asyncio.Queue()
        writer = asyncio.create_task(self._write(socket, outgoing))
        with suppress(ConnectionError):
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    outgoing.put_nowait(json.dumps(self._subscribe(json.loads(message.data), socket, outgoing)))
        self.subscribers = [each for each in self.subscribers if each[0] is not socket]
        writer.cancel()
        return socket

    async def _write(self, socket: web.WebSocketResponse, outgoing: asyncio.Queue[str]) -> None:
        with suppress(ConnectionError):
            while True:
                await socket.send_str(await outgoing.get())

    def _subscribe(self, frame: dict[str, Any], socket: Any, outgoing: asyncio.Queue[str]) -> dict[str, Any]:
        method, params = frame["method"], frame["params"]
        head = {"jsonrpc": "2.0", "id": frame["id"]}
        if method == "eth_subscribe":
            if self.faults.no_bodies and len(params) > 1 and params[1] is True:
                return {**head, "error": {"code": -32602, "message": "no bodies"}}
            self._subscriptions += 1
            self.subscribers.append((socket, hex(self._subscriptions), params, outgoing))
            self.subscribed.set()
            return {**head, "result": hex(self._subscriptions)}
        if method == "eth_unsubscribe":
            self.subscribers = [each for each in self.subscribers if each[1] != params[0]]
            return {**head, "result": True}
        return self._answer(frame)

    def show(self, blocks: Sequence[dict[str, Any]], orphans: Sequence[dict[str, Any]]) -> None:
        """Push what changed."""
        if self.faults.mute:
            return
        removed = [{**log, "removed": True} for block in reversed(orphans) for log in block["logs"]]
        for log in removed if self.faults.tells_removed else []:
            self._push("logs", log)
        for block in blocks:
            pushes = [("newHeads", header_of(block)), *(("logs", log) for log in block["logs"])]
            for channel, value in reversed(pushes) if self.faults.heads_last else pushes:
                self._push(channel, value)

    def push_pending(self, transaction: dict[str, Any]) -> None:
        """Show a transaction that is not mined."""
        self.chain.pending[transaction["hash"]] = transaction
        for _socket, name, params, outgoing in self.subscribers:
            if params[0] == "newPendingTransactions":
                value = transaction if len(params) > 1 else transaction["hash"]
                outgoing.put_nowait(_notification(name, value))

    def _push(self, channel: str, value: dict[str, Any]) -> None:
        for _socket, name, params, outgoing in self.subscribers:
            if params[0] == channel and (channel == "newHeads" or _matches(value, params[1])):
                for _ in range(2 if self.faults.twice else 1):
                    outgoing.put_nowait(_notification(name, value))


def _notification(subscription: str, value: Any) -> str:
    params = {"subscription": subscription, "result": value}
    return json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})


def _matches(log: dict[str, Any], wanted: dict[str, Any]) -> bool:
    def alternatives() -> Iterator[tuple[int, list[str] | None]]:
        for index, each in enumerate(wanted["topics"]):
            yield index, each if each is None or isinstance(each, list) else [each]

    return log["address"] in wanted["address"] and all(
        each is None or (index < len(log["topics"]) and log["topics"][index] in each) for index, each in alternatives()
    )
