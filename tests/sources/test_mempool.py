"""Pending matches of leaders, on real doors against a scripted node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from copytrading.signals import CHAIN_LOGS, MEMPOOL, group_key
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.live import Ear
from copytrading.sources.mempool import Mempool, MempoolDoors, MempoolSettings
from copytrading.sources.stats import SourceStats
from execution.http import SharedHttp
from execution.rpc import Rpc, RpcSettings
from execution.sockets import WebSockets
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE
from tests.chain_bytes import (
    CONDITION,
    LENA,
    NO,
    OTTO,
    POLYGON_CONTRACTS,
    STRANGER,
    YES,
    match_calldata,
    order,
)
from tests.sources.chain_bench import LONG_AGO, PATIENCE_S, AddingSink, eventually
from tests.sources.chain_node import ScriptedChain, ScriptedNode, Transaction

TAKER = order(LENA, "BUY", YES, gives=60 * ONE, takes=100 * ONE)
RESTING = [order(OTTO, "SELL", YES, gives=100 * ONE, takes=50 * ONE)]
MATCH = match_calldata(TAKER, RESTING, 50 * ONE, [100 * ONE])


class MempoolBench:
    def __init__(self, node: ScriptedNode, **choices: Any) -> None:
        self.clock, self.http, self.leaders = SystemClock(), SharedHttp(), HeardLeaders()
        self.sink, self.stats, self.node = AddingSink(), SourceStats(MEMPOOL), node
        self.leaders.replace({LENA: LONG_AGO})
        chance = SeededRandomness(1)
        rpc = Rpc(self.http, self.clock, chance, urls=[node.url], settings=RpcSettings(chain_id=137))
        ear = Ear(clock=self.clock, randomness=chance, sink=self.sink, leaders=self.leaders, stats=self.stats)
        settings = MempoolSettings(contracts=POLYGON_CONTRACTS, socket_urls=(node.ws_url,), check_s=0.01, **choices)
        self.source = Mempool(MempoolDoors(rpc=rpc, sockets=WebSockets()), ear, settings)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        running = asyncio.create_task(self.source.run(stop))
        try:
            await eventually(lambda: any(params[0] == "newPendingTransactions" for _s, _n, params, _o in self._all()))
            yield
        finally:
            stop.set()
            async with asyncio.timeout(PATIENCE_S):
                await running
            await self.http.close()

    def pend(self, tx: Transaction, calldata: bytes = MATCH, **more: Any) -> None:
        transaction = {"hash": tx.hash, "to": POLYGON_CONTRACTS.exchange_v2, "from": STRANGER, "nonce": "0x1"}
        self.node.push_pending({**transaction, "input": "0x" + calldata.hex(), **more})

    def _all(self) -> list[Any]:
        return self.node.subscribers


def lenas_trade(chain: ScriptedChain) -> Transaction:
    return chain.fill(LENA, 100 * ONE)


@pytest.mark.parametrize("no_bodies", [False, True])
async def test_a_leaders_pending_fill_is_heard_under_the_key_of_the_mined_one(no_bodies: bool) -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, no_bodies=no_bodies) as node:
        bench = MempoolBench(node)
        async with bench.listening():
            tx = lenas_trade(chain)
            bench.pend(tx)
            bench.pend(tx)
            await bench.sink.until(lambda: bool(bench.sink.actions))
            chain.mine(tx)
            await eventually(lambda: node.calls["eth_getTransactionReceipt"] > 0)
    [action] = bench.sink.actions
    assert (action.source, action.condition_id, action.token_id) == (MEMPOOL, CONDITION, YES)
    assert (action.side, action.size_micros, action.price_micros) == ("BUY", 100 * ONE, 500_000)
    assert group_key(action).split(":")[:2] == [LENA, tx.hash]
    assert bench.sink.withdrawn == []
    assert CHAIN_LOGS not in {each.source for each in bench.sink.actions}


@pytest.mark.parametrize(
    "change",
    [
        {"to": STRANGER},
        {"to": None},
        {"to": POLYGON_CONTRACTS.exchange_v3},
        {"calldata": b"\x01" + MATCH},
        {"calldata": MATCH[:300]},
        {"input": "0xzz"},
        {"calldata": match_calldata(order(OTTO, "BUY", YES, gives=60, takes=100), RESTING, 50 * ONE, [100 * ONE])},
        {"calldata": match_calldata(TAKER, [order(OTTO, "SELL", NO, gives=9, takes=5)], 5, [9])},
    ],
    ids=range(8),
)
async def test_what_is_no_readable_match_of_a_leader_is_counted_and_nothing_else(change: dict[str, Any]) -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = MempoolBench(node)
        async with bench.listening():
            bench.pend(lenas_trade(chain), **change)
            counts = bench.stats.counts
            await eventually(lambda: counts["foreign"] + counts["undecodable"] == 1)
    assert bench.sink.actions == []


async def test_a_transaction_that_fails_is_withdrawn() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = MempoolBench(node)
        async with bench.listening():
            tx = lenas_trade(chain)
            bench.pend(tx)
            await bench.sink.until(lambda: bool(bench.sink.actions))
            tx.logs = []
            chain.mine(tx)
            await bench.sink.until(lambda: bench.sink.withdrawn == [tx.hash])


async def test_a_transaction_that_vanishes_is_withdrawn_after_so_many_blocks() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = MempoolBench(node, blocks_max=3)
        async with bench.listening():
            chain.mine()
            tx = lenas_trade(chain)
            bench.pend(tx)
            await bench.sink.until(lambda: bool(bench.sink.actions))
            for number in range(1, 4):
                assert bench.sink.withdrawn == []
                chain.mine()
                await eventually(lambda wanted=number: node.calls["eth_getTransactionReceipt"] >= wanted)
            await bench.sink.until(lambda: bench.sink.withdrawn == [tx.hash])


async def test_what_was_replaced_is_withdrawn_when_the_other_is_mined() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = MempoolBench(node)
        async with bench.listening():
            old, new = lenas_trade(chain), lenas_trade(chain)
            bench.pend(old)
            bench.pend(new)
            await bench.sink.until(lambda: len(bench.sink.actions) == 2)
            chain.mine(new)
            await bench.sink.until(lambda: bench.sink.withdrawn == [old.hash])
