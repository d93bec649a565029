"""The sources on the chain against a real node with the real ConditionalTokens: they end with the sandbox's truth."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from execution.sandbox.chain_doors import chain_doors
from execution.sandbox.on_chain import OnChain, OnChainSettings
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.system import SeededRandomness, SystemClock
from tests.sandbox.chain_stage import needs_chain
from tests.sources.chain_bench import Bench

pytestmark = [pytest.mark.django_db, needs_chain]

STEPS = 800


class OnAnvil:
    def __init__(self, chain: OnChain, box: Sandbox, bench: Bench) -> None:
        self.chain, self.box, self.bench = chain, box, bench

    def truth(self) -> dict[tuple[Any, ...], int]:
        """What the leaders did where a contract tells of it: positions of Protocol V2 only trade here."""
        followed = {leader.wallet for leader in self.box.leaders}
        v2 = {market.condition_id for market in self.box.markets if market.version == "v2"}
        return {
            (key.wallet, key.tx_hash, key.condition_id, key.token_id, key.side, key.kind): total.shares_micros
            for key, total in self.box.truth.rows()
            if key.wallet in followed and (key.kind == "TRADE" or key.condition_id not in v2) and key.kind != "REWARD"
        }

    def heard(self) -> dict[tuple[Any, ...], int]:
        """Without what a conversion made: the truth names only the token that was given."""
        truth = self.truth()
        return {key: size for key, size in self.bench.sink.totals().items() if key[-1] != "CONVERSION" or key in truth}

    async def play(self) -> None:
        for _ in range(STEPS // 20):
            await self.box.play(20)
            await self.chain.mine()
        await self.chain.mine()

    async def hears_the_truth(self) -> None:
        await self.bench.sink.until(lambda: self.heard() == self.truth())
        assert self.bench.sink.unreadable == []


@asynccontextmanager
async def on_anvil(**choices: Any) -> AsyncIterator[OnAnvil]:
    clock = SystemClock()
    chain = OnChain(clock, OnChainSettings(block_ms=0))
    options = SandboxOptions(rate=0, delay_factor=0, limited=False, opening=False, leaders=4)
    async with open_sandbox(clock, SeededRandomness, options, settlement=chain, attachment=chain_doors(chain)) as box:
        urls = box.environment()["RPC_URLS"].split(",")
        # The doors take calls and subscriptions at the same place.
        choices = {"again_s": 0.2, **choices}
        bench = Bench([], urls=[*urls, *(url.replace("http", "ws", 1) for url in urls)], **choices)
        bench.follow(*(leader.wallet for leader in box.leaders))
        bench.directory.conditions = {token: m.condition_id for m in box.markets for token in m.token_ids}
        async with bench.listening():
            await bench.begun()
            yield OnAnvil(chain, box, bench)


@pytest.mark.parametrize("choices", [{}, {"wallets_max": 1}, {"sockets": False, "poll_s": 0.02}], ids=str)
async def test_what_leaders_do_on_a_real_chain_is_heard_to_the_last_micro(choices: dict[str, Any]) -> None:
    async with on_anvil(**choices) as world:
        await world.play()
        await world.hears_the_truth()
        kinds = {key[-1] for key in world.truth()}
        assert {"TRADE", "SPLIT", "MERGE", "TRANSFER", "CONVERSION"} <= kinds, kinds


async def test_after_a_reorganisation_of_a_real_chain_the_totals_are_those_of_its_blocks() -> None:
    async with on_anvil() as world:
        await world.play()
        await world.hears_the_truth()
        dropped = next(key[1] for key in reversed(world.truth()) if key[-1] == "TRADE")
        reorg = await world.chain.reorg(3, drop=[dropped])
        renamed = {**reorg.renamed, **dict.fromkeys(reorg.dropped)}
        expected = {
            (key[0], renamed.get(key[1], key[1]), *key[2:]): size
            for key, size in world.truth().items()
            if renamed.get(key[1], key[1]) is not None
        }
        kept = {key for key in expected if key[-1] != "CONVERSION"}

        def heard() -> dict[tuple[Any, ...], int]:
            return {key: size for key, size in world.bench.sink.totals().items() if key[-1] != "CONVERSION"}

        await world.bench.sink.until(lambda: heard() == {key: expected[key] for key in kept})
        assert dropped in world.bench.sink.withdrawn
