"""The chain's door: JSON-RPC over HTTP and websocket on one path, as providers offer it, faults included.

It answers from the local node, adds what that lacks (geth's rule for replacements, logs taken back by a reorg), and
hides what only a test node can do.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from execution.sandbox.faults import (
    DELAY,
    DISCONNECT,
    DROP,
    DUPLICATE,
    HALF_OPEN,
    REORDER,
    SERVER_ERROR,
    SILENCE,
    TOO_MANY,
    DoorFaults,
    Fault,
    UnknownFault,
)
from execution.sandbox.later import Later
from execution.sandbox.node import NodeError
from execution.sandbox.on_chain import OnChain
from execution.sandbox.reorgs import Removal
from execution.sandbox.rpc_rules import (
    filter_seen_from_behind,
    hidden,
    is_closed,
    log_matches,
    range_of,
    refusal,
    seen_from_behind,
)
from execution.sandbox.serving import Ask, Line, Reply, Server, answer
from execution.sandbox.streaming import FaultyStream

DOOR = "chain"
PATH = "/rpc"

BEHIND = "behind"
"""The node is so many blocks behind the others (`chain:behind=5`), for as long as it lasts."""

RANGE = "range"
"""`eth_getLogs` over more blocks than this is refused (`chain:range=100`)."""

REORG = "reorg"
"""At once: so many blocks are mined anew. All doors of one chain see it."""

KINDS = (
    *(DROP, DUPLICATE, REORDER, DELAY, SILENCE, HALF_OPEN),
    *(DISCONNECT, TOO_MANY, SERVER_ERROR, BEHIND, RANGE),
)

ORPHANS_REMEMBERED = 1_000
NO_REQUEST = {"code": -32600, "message": "invalid request"}

Json = dict[str, Any]


@dataclass(slots=True)
class _Client:
    """One websocket. `asked` are filters of log subscriptions by their id, `held` frames of blocks not yet visible."""

    line: Line
    stream: FaultyStream
    upstream: aiohttp.ClientWebSocketResponse
    asked: dict[str, Json] = field(default_factory=dict)
    asking: dict[object, Json] = field(default_factory=dict)
    held: deque[tuple[int, str]] = field(default_factory=deque)


class RpcDoor:
    """One provider of the chain; several, each with faults and a path of its own, stand before the same chain."""

    def __init__(self, chain: OnChain, server: Server, faults: DoorFaults, *, later: Later, path: str = PATH) -> None:
        """`chain` is started."""
        self._chain = chain
        self._faults = faults
        self._later = later
        self._clients: list[_Client] = []
        self.blocks_late = 0
        """Every provider shows a block so many later: what a block takes to reach one (polymarket.md 4.4)."""
        self._orphans: deque[str] = deque(maxlen=ORPHANS_REMEMBERED)
        faults.kinds |= frozenset(KINDS)
        faults.on(REORG, self._reorg)
        server.http("POST", path, self._answer, faults=faults)
        server.line(path, self._converse, faults=faults)
        chain.listen_to_reorgs(self._removed)
        chain.listen_to_heads(self._risen)

    @property
    def visible(self) -> int:
        """The newest block that this provider knows of."""
        behind = self._faults.lasts(BEHIND)
        return max(0, self._chain.head - self.blocks_late - (behind.amount if behind else 0))

    async def _reorg(self, fault: Fault) -> None:
        try:
            await self._chain.reorg(fault.amount)
        except ValueError as error:
            raise UnknownFault(str(error)) from error

    async def _answer(self, ask: Ask) -> Reply:
        try:
            asked = json.loads(ask.body)
        except ValueError:
            return answer(_failure(None, {"code": -32700, "message": "parse error"}))
        if isinstance(asked, list):
            return answer([await self._reply(each) for each in asked])
        return answer(await self._reply(asked))

    async def _reply(self, request: object) -> Json:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _failure(None, NO_REQUEST)
        ident, method = request.get("id"), request["method"]
        try:
            return {"jsonrpc": "2.0", "id": ident, "result": await self._result(method, request.get("params") or [])}
        except NodeError as refused:
            return _failure(ident, refused.error)

    async def _result(self, method: str, parameters: list[Any]) -> Any:
        node, visible = self._chain.node, self.visible
        if is_closed(method):
            raise _refused(method, {"code": -32601, "message": f"the method {method} does not exist"})
        if method == "eth_sendRawTransaction":
            return await self._send(parameters)
        if method == "eth_getLogs":
            return await self._logs(parameters, visible)
        if visible == self._chain.head:
            return await node.call(method, *parameters)
        self._faults.struck[BEHIND] += 1
        if method == "eth_blockNumber":
            return hex(visible)
        seen = seen_from_behind(method, parameters, visible)
        result = None if seen is None else await node.call(method, *seen)
        return None if hidden(method, result, visible) else result

    async def _send(self, parameters: list[Any]) -> Any:
        node = self._chain.node
        refused = refusal(str(parameters[0]) if parameters else "", await node.call("txpool_content"))
        if refused is not None:
            raise _refused("eth_sendRawTransaction", refused)
        return await node.call("eth_sendRawTransaction", *parameters)

    async def _logs(self, parameters: list[Any], visible: int) -> Any:
        asked = parameters[0] if parameters and isinstance(parameters[0], dict) else {}
        allowed = self._faults.lasts(RANGE)
        if allowed is not None and range_of(asked, visible) > allowed.amount:
            self._faults.struck[RANGE] += 1
            words = f"invalid block range: at most {allowed.amount} blocks"
            raise _refused("eth_getLogs", {"code": -32602, "message": words})
        seen = filter_seen_from_behind(asked, visible, lowest=self._chain.first_block)
        logs = [] if seen is None else await self._chain.node.call("eth_getLogs", seen)
        return [log for log in logs if int(log["blockNumber"], 16) <= visible]

    async def _converse(self, line: Line) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self._chain.anvil.ws_url, max_msg_size=0, autoping=True) as upstream,
        ):
            client = _Client(line, FaultyStream(self._faults, self._later), upstream)
            self._clients.append(client)
            telling = asyncio.create_task(self._tell(client))
            try:
                async for text in line.texts():
                    await self._hear(client, text)
            finally:
                self._clients.remove(client)
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    async def _hear(self, client: _Client, text: str) -> None:
        """Subscriptions go to the node's own websocket; everything else is answered as over HTTP."""
        try:
            asked = json.loads(text)
        except ValueError:
            client.line.send(json.dumps(_failure(None, {"code": -32700, "message": "parse error"})))
            return
        method = asked.get("method") if isinstance(asked, dict) else None
        if method == "eth_subscribe":
            parameters = asked.get("params") or [""]
            if parameters[0] == "logs":
                client.asking[asked.get("id")] = parameters[1] if len(parameters) > 1 else {}
            await client.upstream.send_str(text)
        elif method == "eth_unsubscribe":
            client.asked.pop(str((asked.get("params") or [""])[0]), None)
            await client.upstream.send_str(text)
        elif isinstance(asked, list):
            client.line.send(json.dumps([await self._reply(each) for each in asked]))
        else:
            client.line.send(json.dumps(await self._reply(asked)))

    async def _tell(self, client: _Client) -> None:
        async for message in client.upstream:
            frame = json.loads(message.data)
            if "method" not in frame:
                asked = client.asking.pop(frame.get("id"), None)
                if asked is not None and "result" in frame:
                    client.asked[str(frame["result"])] = asked
                client.line.send(message.data)
                continue
            self._notify(client, frame, message.data)
        client.line.cut()

    def _notify(self, client: _Client, frame: Json, text: str) -> None:
        result = frame["params"]["result"]
        number, block_hash = _block_of(result)
        if block_hash in self._orphans:
            return  # it was on its way when the reorg came
        if number is not None and number > self.visible:
            client.held.append((number, text))
            return
        client.stream.emit(lambda: client.line.send(text))

    def _risen(self, _head: int) -> None:
        """A provider behind tells of a block when it gets there."""
        visible = self.visible
        for client in self._clients:
            while client.held and client.held[0][0] <= visible:
                _, text = client.held.popleft()
                self._emit(client, text)

    def _removed(self, removal: Removal) -> None:
        """Tell those who subscribed of each log that is no more, as far as they can have seen it."""
        self._orphans.extend(removal.block_hashes)
        visible = self.visible
        for client in self._clients:
            client.held = deque(each for each in client.held if each[0] < removal.first_block)
            for log in removal.logs:
                if int(log["blockNumber"], 16) > visible:
                    continue
                for ident, asked in client.asked.items():
                    if log_matches(log, asked):
                        self._emit(client, json.dumps(_notification(ident, log)))

    def _emit(self, client: _Client, text: str) -> None:
        client.stream.emit(lambda: client.line.send(text))


def _block_of(result: object) -> tuple[int | None, str]:
    """The number and the hash of the block that a notification tells of; None and empty for what waits."""
    if not isinstance(result, dict):
        return None, ""
    # A head has a parent, a log and a pending transaction name their block.
    number, block_hash = (
        (result.get("number"), result.get("hash"))
        if "parentHash" in result
        else (result.get("blockNumber"), result.get("blockHash"))
    )
    return (None if number is None else int(number, 16)), str(block_hash or "")


def _notification(ident: str, result: Mapping[str, Any]) -> Json:
    return {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": ident, "result": dict(result)}}


def _failure(ident: object, error: Mapping[str, Any]) -> Json:
    return {"jsonrpc": "2.0", "id": ident, "error": dict(error)}


def _refused(method: str, error: Mapping[str, Any]) -> NodeError:
    return NodeError(method, dict(error))
