"""A local chain for tests: contracts in place, blocks when asked for, and the matches that leave each kind of log."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from execution.sandbox.anvil import available, missing_parts
from execution.sandbox.faults import Faults
from execution.sandbox.happenings import Happening, Leg, Match, Move, Settled, SideName
from execution.sandbox.later import Later
from execution.sandbox.markets import SandboxMarket, make_markets
from execution.sandbox.on_chain import OnChain, OnChainSettings
from execution.sandbox.rpc_proxy import DOOR, PATH, RpcDoor
from execution.sandbox.serving import HOST, Server
from ledger.system import SeededRandomness, SystemClock

needs_chain = pytest.mark.skipif(not available(), reason=missing_parts() or "there is a chain")

LENA, FAY, FRED = (f"0x{digit * 40}" for digit in "abc")
ONE = 1_000_000
WAIT_S = 10


@dataclass(slots=True)
class ChainStage:
    """A chain that mines when asked, its door, and one HTTP session."""

    chain: OnChain
    markets: tuple[SandboxMarket, ...]
    faults: Faults
    url: str
    session: aiohttp.ClientSession
    sockets: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)

    @property
    def market(self) -> SandboxMarket:
        """The first market of ConditionalTokens."""
        return self.markets[0]

    async def settled(self, *happenings: Happening) -> list[Settled]:
        """The happenings, settled and mined in one block."""
        settled = [await self.chain.settle(each) for each in happenings]
        await self.chain.mine()
        return settled

    async def logs_of(self, happening: Happening) -> list[dict[str, Any]]:
        """The logs that it left."""
        (settled,) = await self.settled(happening)
        receipt = await self.chain.node.call("eth_getTransactionReceipt", settled.tx_hash)
        return list(receipt["logs"])

    async def ask(self, method: str, *params: object) -> Any:
        """The door's answer over HTTP: the result, or the error."""
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        async with self.session.post(self.url, json=body) as response:
            answer = await response.json(content_type=None)
            return answer.get("result", answer.get("error")) if response.status == 200 else response.status

    async def block(self, block: str, *, full: bool = False) -> Any:
        """A block, with hashes or with whole transactions."""
        return await self.ask("eth_getBlockByNumber", block, full)

    async def subscribe(self, *params: object) -> aiohttp.ClientWebSocketResponse:
        """A websocket at the door with one subscription."""
        socket = await self.session.ws_connect(self.url)
        self.sockets.append(socket)
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": list(params)})
        assert "result" in await socket.receive_json(timeout=WAIT_S)
        return socket


@asynccontextmanager
async def chain_stage() -> AsyncIterator[ChainStage]:
    """A started chain with the sandbox's markets; nothing of it is left afterwards."""
    clock = SystemClock()
    chain, server, later = OnChain(clock, OnChainSettings(block_ms=0)), Server(clock), Later(clock)
    faults = Faults(clock, SeededRandomness(1))
    await chain.start()
    try:
        markets = await chain.prepare(make_markets(1))
        RpcDoor(chain, server, faults.door(DOOR), later=later)
        await server.start()
        async with aiohttp.ClientSession() as session:
            stage = ChainStage(chain, markets, faults, f"http://{HOST}:{server.port}{PATH}", session)
            yield stage
            for socket in stage.sockets:
                await socket.close()
    finally:
        await later.close()
        await server.close()
        await chain.close()


def leg(wallet: str, side: SideName, token_id: int, cash: int, shares: int = 10 * ONE, **fields: Any) -> Leg:
    """One order's part; cash and shares in micros."""
    defaults = {"fee_micros": 0, "maker": True, "order_hash": "0x" + "0" * 64}
    return Leg(
        wallet=wallet, side=side, token_id=token_id, cash_micros=cash, shares_micros=shares, **{**defaults, **fields}
    )


def match_of(market: SandboxMarket, *legs: Leg) -> Match:
    """The taker's leg first."""
    return Match(condition_id=market.condition_id, version=market.version, neg_risk=market.neg_risk, legs=legs)


def complementary(market: SandboxMarket, *, fee: int = 0) -> Match:
    """Lena buys ten shares from Fay."""
    yes, _ = market.token_ids
    taker = leg(LENA, "BUY", yes, 5_200_000, fee_micros=fee, maker=False)
    return match_of(market, taker, leg(FAY, "SELL", yes, 5_200_000))


def mint(market: SandboxMarket) -> Match:
    """Lena buys Yes, Fay buys No."""
    yes, no = market.token_ids
    return match_of(market, leg(LENA, "BUY", yes, 5_200_000, maker=False), leg(FAY, "BUY", no, 4_800_000))


def merge(market: SandboxMarket) -> Match:
    """Lena sells Yes, Fay sells No."""
    yes, no = market.token_ids
    return match_of(market, leg(LENA, "SELL", yes, 5_200_000, maker=False), leg(FAY, "SELL", no, 4_800_000))


def move_of(kind: Any, market: SandboxMarket, shares: int = 2 * ONE, **fields: Any) -> Move:
    """A move of Lena's."""
    return Move(kind=kind, wallet=LENA, condition_id=market.condition_id, shares_micros=shares, **fields)


def names(chain: OnChain, logs: Sequence[dict[str, Any]]) -> list[str]:
    """The events' names."""
    known = {
        topic: name
        for contract in (
            chain.contracts.collateral,
            chain.contracts.conditional_tokens,
            chain.contracts.exchange,
            chain.contracts.neg_risk_adapter,
        )
        for name, topic in contract.topics.items()
    }
    return [known[log["topics"][0]] for log in logs]
