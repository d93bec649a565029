"""JSON-RPC calls to the chain over several nodes: the healthiest first, the next one where it fails.

Only reading calls belong here, and raw transactions: a call may reach several nodes, and to send the same bytes to
several is to send them once.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from execution.chain_events import Undecodable, quantity
from execution.http import Http, HttpDown
from execution.rpc_health import Node, in_order
from execution.wire import WireError, decode
from ledger.clock import Clock, Randomness

REST_CAP_S = 60.0
"""A node rests at most so long, whatever its Retry-After says: it may be the last one left."""

BATCH_MAX = 50
"""Calls in one request; providers refuse more than 100, some more than 50."""

_JSON = {"content-type": "application/json"}

SENDING = "eth_sendRawTransaction"

LIMITED, INVALID_REQUEST, METHOD_UNKNOWN, INVALID_PARAMETERS = -32005, -32600, -32601, -32602

# Infura says -32005 also for a range that is too wide, so the text decides first.
_TOO_WIDE = re.compile(
    r"more than \d+ (results|logs)|block range|range.*(large|wide|exceed|limit)|(large|wide|exceed|limit).*range"
    r"|too many (blocks|results|logs)|response size|query timeout|limited to",
    re.IGNORECASE | re.DOTALL,
)
_LIMIT_WORDS = re.compile(r"rate.?limit|too many requests|limit exceeded|exceeded.*(limit|quota)", re.IGNORECASE)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUrls:
    """Where the nodes are: for calls, and for subscriptions. Never to be shown: they may hold keys."""

    calls: tuple[str, ...]
    sockets: tuple[str, ...]


def read_urls(text: str) -> NodeUrls:
    """Addresses with commas or spaces between them, in their order. Raises ValueError for one of another kind."""
    urls = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for number, url in enumerate(urls, start=1):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
            raise ValueError(f"Address {number} of RPC_URLS begins with none of http://, https://, ws:// and wss://.")
    sockets = tuple(url for url in urls if urlsplit(url).scheme in ("ws", "wss"))
    return NodeUrls(calls=tuple(url for url in urls if url not in sockets), sockets=sockets)


class RpcError(Exception):
    """The chain could not be asked; the message is a sentence without addresses of nodes."""


class NoNode(RpcError):
    """No node gave a usable answer; later one may."""


class NodesBehind(NoNode):
    """Every node answered that it does not know (yet) what was asked for."""


class NodeRefused(RpcError):
    """The nodes understood and said no."""

    def __init__(self, sentence: str, *, code: int) -> None:
        super().__init__(sentence)
        self.code = code


class RangeTooWide(NodeRefused):
    """The node wants fewer blocks, or fewer logs, at a time."""


@dataclass(frozen=True, slots=True)
class Call:
    """One method with its parameters; `must_exist`: null means that the node lacks it, so another one is asked."""

    method: str
    params: tuple[object, ...] = ()
    must_exist: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcSettings:
    """`lag_max` blocks behind the newest head seen still count as up to date; `rest_s` grows with each failure."""

    chain_id: int
    timeout_s: float = 5.0
    lag_max: int = 5
    rest_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTold:
    """A node for pages and logs."""

    name: str
    refused: str
    head: int
    latency_ms: float
    asked: int
    failed: int


class _Failed(Exception):
    """This node gave no usable answer; `rest_s` when it named a pause."""

    def __init__(self, sentence: str, rest_s: float | None = None) -> None:
        super().__init__(sentence)
        self.rest_s = rest_s


class _NoBatches(Exception):
    """This node takes only one call in a request."""


class _Lacks(Exception):
    """This node does not have what was asked for."""


class Rpc:
    """Calls to whichever node is well. A node of another chain is refused for good."""

    def __init__(
        self, http: Http, clock: Clock, randomness: Randomness, *, urls: Sequence[str], settings: RpcSettings
    ) -> None:
        """Take the http(s) addresses, best first. Raises ValueError when there is none."""
        if not urls:
            raise ValueError("RPC_URLS holds no http:// or https:// address to ask the chain at.")
        self._http, self._clock, self._randomness, self._settings = http, clock, randomness, settings
        self._nodes = [Node(name=name_of(url, index), url=url) for index, url in enumerate(urls)]
        self._number = 0

    async def call(self, method: str, *params: object, must_exist: bool = False) -> object:
        """The result of one call. Raises RpcError."""
        return (await self.batch([Call(method, params, must_exist)]))[0]

    async def batch(self, calls: Sequence[Call]) -> list[object]:
        """The results of at most BATCH_MAX calls, all from the same node. Raises RpcError for the first that failed."""
        if not 0 < len(calls) <= BATCH_MAX:
            raise ValueError(f"A batch has 1 to {BATCH_MAX} calls, not {len(calls)}.")
        behind, last = False, "every node is refused"
        for node in in_order(self._nodes, self._clock.monotonic_ms(), lag_max=self._settings.lag_max):
            try:
                return await self._ask(node, calls)
            except _Lacks as lacks:
                behind, last = True, str(lacks)
            except _Failed as failed:
                last = f"{node.name}: {failed}"
                self._rest(node, failed)
        if behind:
            raise NodesBehind(f"No node has it: {last}.")
        raise NoNode(f"No node of the chain answers ({last}).")

    async def probe(self) -> None:
        """Ask every node for its head, so that one that falls behind is asked last. Never raises RpcError."""
        for node in self._nodes:
            if node.refused or node.resting_until_ms > self._clock.monotonic_ms():
                continue
            try:
                [number] = await self._ask(node, [Call("eth_blockNumber")])
                node.head = quantity(number)
            except (_Lacks, RpcError, Undecodable):
                continue
            except _Failed as failed:
                self._rest(node, failed)

    def told(self) -> tuple[NodeTold, ...]:
        """How each node is doing."""
        return tuple(
            NodeTold(
                name=node.name,
                refused=node.refused,
                head=node.head,
                latency_ms=node.latency_ms,
                asked=node.asked,
                failed=node.failed,
            )
            for node in self._nodes
        )

    def _rest(self, node: Node, failed: _Failed) -> None:
        grown_s = self._settings.rest_s * 2.0 ** min(node.failures, 6) * (0.5 + self._randomness.fraction())
        rest_s = min(REST_CAP_S, grown_s if failed.rest_s is None else failed.rest_s)
        node.rest(self._clock.monotonic_ms() + rest_s * 1_000)
        log.info("A node of the chain rests.", action="rpc", node=node.name, why=str(failed), seconds=round(rest_s, 1))

    async def _ask(self, node: Node, calls: Sequence[Call]) -> list[object]:
        if not node.verified:
            await self._verify(node)
        if node.batches or len(calls) == 1:
            try:
                return await self._exchange(node, calls)
            except _NoBatches:
                node.batches = False
        return [result for call in calls for result in await self._exchange(node, [call])]

    async def _verify(self, node: Node) -> None:
        [answer] = await self._exchange(node, [Call("eth_chainId")])
        try:
            chain_id = quantity(answer)
        except Undecodable as error:
            raise _Failed(f"its chain id is none: {error}") from None
        if chain_id != self._settings.chain_id:
            node.refused = f"It is on chain {chain_id} and not on {self._settings.chain_id}."
            log.error("A node of another chain is refused.", action="rpc", node=node.name, chain_id=chain_id)
            raise _Failed(node.refused)
        node.verified = True

    async def _exchange(self, node: Node, calls: Sequence[Call]) -> list[object]:
        began_ms = self._clock.monotonic_ms()
        first = self._number + 1
        self._number += len(calls)
        frames = [
            {"jsonrpc": "2.0", "id": first + index, "method": each.method, "params": each.params}
            for index, each in enumerate(calls)
        ]
        body = json.dumps(frames if len(frames) > 1 else frames[0]).encode()
        try:
            answer = await self._http.post(node.url, body=body, headers=_JSON, timeout_s=self._settings.timeout_s)
        except HttpDown as down:
            raise _Failed(f"no answer, {down}") from None
        if answer.status == 429:
            raise _Failed("it asks for fewer requests", _seconds(answer.headers.get("retry-after")))
        results = self._results(answer.body, answer.status, calls=calls, first=first)
        node.answered(self._clock.monotonic_ms() - began_ms)
        return results

    def _results(self, body: bytes, status: int, *, calls: Sequence[Call], first: int) -> list[object]:
        try:
            told = decode(body)
        except WireError as error:
            raise _Failed(f"status {status}, {error}") from None
        replies = told if isinstance(told, list) else [told]
        by_id = {reply.get("id"): reply for reply in replies if isinstance(reply, dict)}
        # A node that refuses a whole batch answers one error without an id.
        lost = by_id.get(None)
        if len(calls) > 1 and lost is not None and _code(lost.get("error")) in (INVALID_REQUEST, METHOD_UNKNOWN):
            raise _NoBatches
        return [_result(by_id.get(first + index, lost), call, status) for index, call in enumerate(calls)]


def _result(reply: object, call: Call, status: int) -> object:
    if not isinstance(reply, dict) or ("result" not in reply and "error" not in reply):
        raise _Failed(f"status {status} without an answer to {call.method}")
    error = reply.get("error")
    if error is not None:
        raise _trouble(error, call)
    if reply["result"] is None and call.must_exist:
        raise _Lacks(f"{call.method} found nothing")
    return reply["result"]


def _trouble(error: object, call: Call) -> Exception:
    """One table of node errors: too wide, slow down, another node may know, or no."""
    code = _code(error)
    message = str(error.get("message"))[:200] if isinstance(error, dict) else ""
    if call.method == "eth_getLogs" and _TOO_WIDE.search(message):
        return RangeTooWide(f"The node wants a narrower range: {message!r}.", code=code)
    if code in (LIMITED, 429) or _LIMIT_WORDS.search(message):
        return _Failed("it asks for fewer requests")
    if call.must_exist:
        return _Lacks(f"{call.method} was refused with {code}, {message!r}")
    if code in (INVALID_PARAMETERS, METHOD_UNKNOWN) or call.method == SENDING:
        return NodeRefused(f"The node refuses {call.method} with {code}: {message!r}.", code=code)
    return _Failed(f"{call.method} was refused with {code}, {message!r}")


def _code(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else 0


def name_of(url: str, index: int) -> str:
    """A node's name for logs and pages: its host, never the path or the key in it."""
    return f"{index + 1}:{urlsplit(url).hostname or '?'}"


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; a date or nonsense is as good as none."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else None
