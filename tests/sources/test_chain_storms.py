"""By chance and all at once: reorganisations, broken sockets, lagging and limiting nodes; at the end the truth."""

import pytest

from ledger.system import SeededRandomness
from ledger.units import ONE
from tests.chain_bytes import LENA, OTTO, STRANGER
from tests.sources.chain_bench import Bench
from tests.sources.chain_node import Faults, ScriptedChain, ScriptedNode, Transaction

pytestmark = pytest.mark.django_db

STEPS = 30


class Storm:
    """Drives a chain and two nodes by chance."""

    def __init__(self, seed: int, chain: ScriptedChain, nodes: list[ScriptedNode]) -> None:
        self.chance, self.chain, self.nodes = SeededRandomness(seed), chain, nodes
        self.kinds = (self.mine, self.mine, self.burst, self.reorg, self.hang_up, self.fault, self.heal)

    def step(self) -> None:
        self.chance.choice(self.kinds)()

    def trades(self) -> list[Transaction]:
        wallets = (LENA, OTTO, STRANGER)
        return [self.trade(self.chance.choice(wallets)) for _ in range(self.chance.below(4))]

    def trade(self, wallet: str) -> Transaction:
        token, shares = 7001 + self.chance.below(3), (1 + self.chance.below(50)) * ONE
        twice = 1 + self.chance.below(2)
        return self.chain.fills([{"maker": wallet, "token": token, "shares": shares}] * twice)

    def mine(self) -> None:
        self.chain.mine(*self.trades())

    def burst(self) -> None:
        """More blocks than anybody reads one after the other."""
        for _ in range(2 + self.chance.below(20)):
            self.mine()

    def reorg(self) -> None:
        depth = min(1 + self.chance.below(5), len(self.chain.blocks) - 8)
        if depth < 1:
            return
        again = [tx for block in self.chain.blocks[-depth:] for tx in block["transactions"] if self.chance.below(2)]
        blocks = [self.trades() for _ in range(depth + self.chance.below(2))]
        self.chance.choice(blocks).extend(again)
        self.chain.reorg(depth, *blocks)

    def hang_up(self) -> None:
        self.chance.choice(self.nodes).hang_up()

    def fault(self) -> None:
        node = self.chance.choice(self.nodes)
        if not self.chance.below(6):
            node.stick()
            return
        name, value = self.chance.choice(
            [
                *(("status", 429), ("status", 503), ("lag", 2), ("mute", True), ("heads_last", True), ("twice", True)),
                *(("range_max", 3), ("results_max", 4), ("no_ranges", True), ("late_logs", 3), ("logs_max", 3)),
            ]
        )
        setattr(node.faults, name, value)

    def heal(self) -> None:
        for node in self.nodes:
            kept = {"heads_last": node.faults.heads_last, "twice": node.faults.twice}
            node.faults = Faults(**kept)
            node.stick(stuck=False)


@pytest.mark.parametrize("seed", range(12))
async def test_after_any_storm_the_totals_are_the_chains(seed: int) -> None:
    chain = ScriptedChain()
    for _ in range(8):
        chain.mine()
    async with ScriptedNode(chain) as first, ScriptedNode(chain) as second:
        # A minute's blocks come in a tenth of a second: the look back reaches as far as it would in a minute.
        bench = Bench([first, second], poll_s=0.03, silence_s=0.3, reconcile_s=0.1, reconcile_depth=128)
        storm = Storm(seed, chain, [first, second])
        async with bench.listening():
            await bench.begun()
            for _ in range(STEPS):
                storm.step()
                await bench.clock.sleep(0.004)
            storm.heal()
            chain.mine()
            await bench.sink.until(lambda: bench.sink.traded() == chain.traded(LENA, OTTO))
    gone = set(bench.sink.withdrawn) & {key[1] for key in chain.traded(LENA, OTTO)}
    assert gone <= {each.tx_hash for each in bench.sink.actions}, "what came back was heard again"
