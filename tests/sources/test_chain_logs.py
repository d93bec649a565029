"""The source on the chain's logs, on real doors against scripted nodes: whatever they do, it ends with the truth."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from copytrading.groups import Tally
from copytrading.models import SignalCursor
from copytrading.operations.cast import seed_leaders
from copytrading.operations.signals import record_signals
from copytrading.signals import CHAIN_LOGS
from guardrails.models import GuardrailEvent
from ledger.units import ONE
from tests.chain_bytes import CONDITION, LENA, NO, OTTO, POLYGON_CONTRACTS, STRANGER, YES, ZERO, moved, split
from tests.doors import outside_loop
from tests.sources.chain_bench import Bench, eventually
from tests.sources.chain_node import ScriptedChain, ScriptedNode, Transaction

pytestmark = pytest.mark.django_db


async def hears_the_truth(bench: Bench, chain: ScriptedChain) -> None:
    await bench.sink.until(lambda: bench.sink.traded() == chain.traded(LENA, OTTO))
    assert all(complete for _walk, complete in bench.sink.offers), "the authority never speaks in parts"


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"heads_last": True},
        {"twice": True},
        {"mute": True},
        {"tells_removed": False},
        {"batches": False},
    ],
    ids=str,
)
async def test_every_trade_is_heard_once_through_reorganisations(faults: dict[str, Any]) -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, **faults) as node:
        bench = Bench([node], poll_s=0.02)
        async with bench.listening():
            await bench.begun()
            lost, kept = chain.fill(LENA, 10 * ONE), chain.fill(OTTO, 20 * ONE, side="SELL")
            chain.mine(lost, chain.fill(STRANGER, 5 * ONE))
            chain.mine(kept)
            twins = chain.fills([{"maker": LENA, "shares": 7 * ONE}] * 2)
            chain.mine(twins)
            await hears_the_truth(bench, chain)
            chain.reorg(3, [], [chain.fill(LENA, 3 * ONE)], [kept, twins], [])
            await hears_the_truth(bench, chain)
        assert bench.sink.withdrawn == [lost.hash]


async def test_a_deep_reorganisation_ends_with_the_truth() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as node:
        bench = Bench([node], poll_s=0.01, depth=8, walk_max=4)
        async with bench.listening():
            await bench.begun()
            for size in range(1, 13):
                chain.mine(chain.fill(LENA, size * ONE))
                await hears_the_truth(bench, chain)
            kept = [block["transactions"] for block in chain.blocks[-3:]]
            chain.reorg(7, *[[chain.fill(OTTO, size * ONE)] for size in range(1, 20)], *kept)
            await hears_the_truth(bench, chain)


async def test_a_socket_that_breaks_loses_nothing() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node], poll_s=60.0)
        async with bench.listening():
            await bench.begun()
            for size in range(1, 6):
                await eventually(node.subscribed.is_set)
                node.hang_up()
                chain.mine(chain.fill(LENA, size * ONE))
                await hears_the_truth(bench, chain)


async def test_a_socket_without_heads_is_left_for_the_next_node() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as silent, ScriptedNode(chain) as other:
        bench = Bench([silent, other], poll_s=60.0, silence_s=0.1)
        async with bench.listening():
            await eventually(other.subscribed.is_set)
            chain.mine(chain.fill(LENA, ONE))
            await hears_the_truth(bench, chain)


@pytest.mark.parametrize(
    "faults",
    [{"status": 429, "retry_after": "1"}, {"status": 503}, {"lag": 2}, {"error": {"code": -32005, "message": "slow"}}],
    ids=str,
)
async def test_a_node_that_fails_or_lags_is_left_for_the_next(faults: dict[str, Any]) -> None:
    chain = ScriptedChain()
    for _ in range(3):
        chain.mine()
    async with ScriptedNode(chain) as bad, ScriptedNode(chain) as good:
        bench = Bench([bad, good])
        async with bench.listening():
            await bench.begun()
            for name, value in faults.items():
                setattr(bad.faults, name, value)
            for size in range(1, 5):
                chain.mine(chain.fill(LENA, size * ONE))
            await hears_the_truth(bench, chain)


async def test_all_nodes_down_only_delays() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node])
        async with bench.listening():
            await bench.begun()
            node.faults.status = 503
            chain.mine(chain.fill(LENA, ONE))
            await eventually(lambda: node.requests >= 6)
            node.faults.status = 0
            await hears_the_truth(bench, chain)


async def test_logs_that_the_node_did_not_have_yet_are_found_later() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as node:
        bench = Bench([node], poll_s=0.01, reconcile_s=0.05)
        async with bench.listening():
            await bench.begun()
            node.faults.loses_logs = True
            chain.mine(chain.fill(LENA, ONE))
            tip = chain.head["hash"]
            held = bench.source.follower.chain
            await eventually(lambda: held.get(tip) is not None and not held.untaken())
            node.faults.loses_logs = False
            await hears_the_truth(bench, chain)


async def test_what_went_through_an_adapter_is_told_by_the_receipt() -> None:
    adapter, chain = POLYGON_CONTRACTS.ctf_collateral_adapter, ScriptedChain()
    logs = [
        moved(LENA, adapter, operator=adapter, amounts={YES: 7, NO: 7}, batch=True),
        moved(adapter, ZERO, amounts={YES: 7, NO: 7}, batch=True),
        split(adapter, 7, merge=True),
    ]
    async with ScriptedNode(chain) as node:
        bench = Bench([node])
        await bench.source.run_once()
        merge = Transaction(chain.new_hash(), logs)
        chain.mine(merge, chain.fill(OTTO, ONE))
        await bench.source.run_once()
        await bench.close()
    assert bench.sink.totals()[LENA, merge.hash, CONDITION, None, "", "MERGE"] == 7
    assert len(bench.sink.actions) == 2


async def test_a_first_start_copies_no_history() -> None:
    chain = ScriptedChain()
    chain.mine(chain.fill(LENA, 99 * ONE))
    async with ScriptedNode(chain) as node:
        bench = Bench([node])
        bench.leaders.replace({LENA: datetime.now(UTC) + timedelta(minutes=1)})
        await bench.source.run_once()
        chain.mine(chain.fill(LENA, ONE))
        await bench.source.run_once()
        await bench.close()
    assert [each.size_micros for each in bench.sink.actions] == [ONE]


async def test_what_was_mined_between_the_follow_and_the_first_look_is_read() -> None:
    chain = ScriptedChain()
    chain.mine()
    chain.mine(chain.fill(LENA, 99 * ONE))
    chain.mine()
    async with ScriptedNode(chain) as node:
        bench = Bench([node])
        await bench.source.run_once()
        await bench.close()
    assert [each.size_micros for each in bench.sink.actions] == [99 * ONE]


async def test_without_leaders_nobody_is_asked() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node], sockets=False, poll_s=0.01)
        bench.follow()
        async with bench.listening():
            await asyncio.sleep(0)
            assert node.requests == 0
            bench.follow(LENA)
            await bench.begun()


async def test_a_leader_who_is_followed_meanwhile_is_subscribed_to() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node], poll_s=60.0)
        bench.follow(OTTO)
        async with bench.listening():
            await bench.begun()
            await eventually(node.subscribed.is_set)
            bench.follow(OTTO, LENA)
            await eventually(lambda: any("1e1e" in str(params) for _s, _n, params, _o in node.subscribers))
            chain.mine(chain.fill(LENA, ONE))
            await hears_the_truth(bench, chain)


async def test_many_leaders_are_sorted_out_here() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node], wallets_max=1)
        async with bench.listening():
            await bench.begun()
            chain.mine(chain.fill(STRANGER, 5 * ONE), chain.fill(LENA, 2 * ONE))
            await bench.sink.until(lambda: bool(bench.sink.actions))
        assert {each.wallet for each in bench.sink.actions} == {LENA}


async def run_to(bench: Bench, chain: ScriptedChain, *sizes: int) -> None:
    for size in sizes:
        chain.mine(chain.fill(LENA, size * ONE))
    await bench.source.run_once()
    await bench.close()


async def test_a_restart_goes_on_where_it_stopped() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        first = Bench([node])
        await first.source.run_once()
        await run_to(first, chain, 1, 2)
        second = Bench([node])
        await run_to(second, chain, 3, 4)
    assert {**first.sink.traded(), **second.sink.traded()} == chain.traded(LENA, OTTO)
    assert [each.size_micros for each in second.sink.actions] == [3 * ONE, 4 * ONE]


@pytest.mark.parametrize("faults", [{}, {"range_max": 7}, {"results_max": 3}], ids=str)
async def test_a_long_absence_is_read_by_ranges_that_the_node_allows(faults: dict[str, Any]) -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, **faults) as node:
        first = Bench([node])
        await first.source.run_once()
        await first.close()
        second = Bench([node], walk_max=4, depth=8)
        await run_to(second, chain, *range(1, 60))
    assert second.sink.traded() == chain.traded(LENA, OTTO)


async def test_an_absence_beyond_the_bound_is_counted_and_told() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        first = Bench([node])
        await first.source.run_once()
        await first.close()
        second = Bench([node], walk_max=4, backfill_max=10)
        await run_to(second, chain, *range(1, 31))
    assert [each.size_micros // ONE for each in second.sink.actions] == list(range(21, 31))
    assert second.stats.counts["missed"] == 20
    [event] = outside_loop(lambda: list(GuardrailEvent.objects.filter(reason="HISTORY_MISSED")))
    assert (event.value, event.limit) == (20, 10)


async def test_an_absence_older_than_the_bound_is_missed_in_proportion() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        first = Bench([node])
        await first.source.run_once()
        await first.close()
        chain.blocks[0]["time"] -= 1_000
        second = Bench([node], walk_max=4, backfill_age_s=500)
        await run_to(second, chain, *range(1, 41))
    assert second.stats.counts["missed"] == 20


async def test_a_reorganisation_during_the_absence_withdraws_what_is_gone() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        first = Bench([node])
        await first.source.run_once()
        lost, kept = chain.fill(LENA, 5 * ONE), chain.fill(LENA, 6 * ONE)
        for transaction in (None, lost, kept, None):
            chain.mine(*[transaction] if transaction else [])
        await run_to(first, chain)
        outside_loop(seed_leaders, {LENA: "Lena"}, holdings_complete=False)
        totals = [Tally().add(action) for action in first.sink.actions]
        outside_loop(record_signals, totals, now=first.clock.now() + timedelta(seconds=1))
        chain.reorg(3, [], [kept], [], [])
        second = Bench([node])
        await run_to(second, chain)
    assert second.sink.withdrawn == [lost.hash]
    assert second.sink.traded() == chain.traded(LENA, OTTO)


async def test_a_node_that_lags_behind_the_cursor_withdraws_nothing() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        first = Bench([node])
        await first.source.run_once()
        await run_to(first, chain, 1, 2, 3, 4, 5)
        node.faults.lag = 3
        second = Bench([node])
        await second.source.run_once()
        node.faults.lag = 0
        await run_to(second, chain, 6)
    assert second.sink.withdrawn == []
    assert set(second.sink.traded().items()) <= set(chain.traded(LENA, OTTO).items())
    assert max(each.size_micros for each in second.sink.actions) == 6 * ONE


async def test_another_shards_cursor_is_a_beginning_for_a_new_one() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        first = Bench([node])
        await first.source.run_once()
        await first.close()
        second = Bench([node], cursor_key="137:1/2", other_keys=("137",))
        await run_to(second, chain, 1)
    assert second.sink.traded() == chain.traded(LENA, OTTO)
    keys = outside_loop(lambda: set(SignalCursor.objects.filter(source=CHAIN_LOGS).values_list("key", flat=True)))
    assert keys == {"137", "137:1/2"}


async def test_a_trade_of_an_unknown_token_waits_and_holds_the_cursor() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node], sockets=False, poll_s=0.02)
        async with bench.listening():
            await bench.begun()
            bench.directory.unknown.add(7001)
            chain.mine(chain.fill(LENA, ONE), chain.fill(OTTO, 2 * ONE, token=8001))
            await bench.sink.until(lambda: [each.token_id for each in bench.sink.actions] == [8001])
            held = outside_loop(lambda: SignalCursor.objects.get(source=CHAIN_LOGS).position)
            chain.mine()
            bench.directory.unknown.clear()
            await hears_the_truth(bench, chain)
        assert held.split()[0] == str(chain.blocks[0]["number"])
        assert outside_loop(lambda: SignalCursor.objects.get(source=CHAIN_LOGS).position) != held


async def test_a_token_that_nobody_ever_knows_is_given_up_with_an_event() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node], sockets=False, poll_s=0.02, resolve_max_s=0.05)
        bench.directory.unknown.add(7001)
        async with bench.listening():
            await bench.begun()
            chain.mine(chain.fill(LENA, ONE))
            await bench.sink.until(lambda: bool(bench.sink.unreadable))
        assert bench.stats.counts["missed"] == 1
        assert outside_loop(lambda: GuardrailEvent.objects.filter(reason="HISTORY_MISSED").count()) == 1


async def test_a_cursor_that_somebody_else_moved_is_not_overwritten() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node])
        await bench.source.run_once()
        outside_loop(lambda: SignalCursor.objects.update(position="moved"))
        await run_to(bench, chain, 1)
    assert outside_loop(lambda: SignalCursor.objects.get().position) == "moved"
    assert bench.sink.traded() == chain.traded(LENA, OTTO)


async def test_a_node_of_another_chain_is_never_believed() -> None:
    chain, other = ScriptedChain(), ScriptedChain(chain_id=80002)
    async with ScriptedNode(other) as wrong, ScriptedNode(chain) as right:
        bench = Bench([wrong, right])
        async with bench.listening():
            await bench.begun()
            other.mine(other.fill(LENA, 9 * ONE))
            chain.mine(chain.fill(LENA, ONE))
            await hears_the_truth(bench, chain)
        assert wrong.calls.keys() == {"eth_chainId"}
