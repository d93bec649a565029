"""The settlement on a real chain: what each happening leaves there, and what a reorg takes back."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from execution.sandbox.happenings import Happening, Match, Move
from execution.sandbox.markets import SandboxMarket, make_markets
from execution.sandbox.on_chain import OnChain, OnChainSettings, SettlementFailed
from execution.sandbox.position_ids import condition_id, token_ids
from ledger.system import SystemClock
from tests.sandbox.chain_stage import (
    FAY,
    FRED,
    LENA,
    ONE,
    ChainStage,
    chain_stage,
    complementary,
    leg,
    match_of,
    merge,
    mint,
    move_of,
    names,
    needs_chain,
)

pytestmark = needs_chain

MATCH_EVENTS = {"OrderFilled": 2, "OrdersMatched": 1}
TOKEN_EVENTS = ("TransferSingle", "TransferBatch", "PositionSplit", "PositionsMerge", "PayoutRedemption")


def counted(stage: ChainStage, logs: list[dict[str, Any]]) -> dict[str, int]:
    """How often each event came, without the collateral's own."""
    return dict(Counter(name for name in names(stage.chain, logs) if name not in ("Transfer", "Approval")))


@pytest.mark.parametrize(
    ("make", "events"),
    [
        (complementary, {"TransferSingle": 1}),
        (mint, {"TransferSingle": 2, "TransferBatch": 1, "PositionSplit": 1}),
        (merge, {"TransferSingle": 2, "TransferBatch": 1, "PositionsMerge": 1}),
    ],
)
@pytest.mark.parametrize("neg_risk", [False, True])
async def test_a_match_leaves_the_logs_of_its_kind(make: Any, events: dict[str, int], neg_risk: bool) -> None:
    async with chain_stage() as stage:
        market = next(each for each in stage.markets if each.version == "v1" and each.neg_risk == neg_risk)
        logs = await stage.logs_of(make(market))
        assert counted(stage, logs) == events | MATCH_EVENTS
        exchange = stage.chain.caller.exchange_of(make(market)).lower()
        assert {log["address"].lower() for log in logs if len(log["topics"]) == 4 and log["data"][:2] == "0x"} >= {
            exchange
        }


async def test_a_match_of_protocol_v2_only_tells_of_itself() -> None:
    async with chain_stage() as stage:
        market = next(each for each in stage.markets if each.version == "v2")
        logs = await stage.logs_of(mint(market))
        assert names(stage.chain, logs) == ["OrderFilled", "OrderFilled", "OrdersMatched"]
        assert {log["address"].lower() for log in logs} == {"0xe3333700ca9d93003f00f0f71f8515005f6c00aa"}


async def test_filled_orders_tell_the_legs_to_the_micro() -> None:
    async with chain_stage() as stage:
        match = complementary(stage.market, fee=12_345)
        logs = await stage.logs_of(match)
        filled = [log for log, name in zip(logs, names(stage.chain, logs), strict=True) if name == "OrderFilled"]
        maker, taker = ([int(log["data"][2 + 64 * at : 66 + 64 * at], 16) for at in range(5)] for log in filled)
        yes = stage.market.token_ids[0]
        assert maker == [1, yes, 10 * ONE, 5_200_000, 0]
        assert taker == [0, yes, 5_200_000, 10 * ONE, 12_345]
        assert [log["topics"][2][-40:] for log in filled] == [FAY[2:], LENA[2:]]
        assert [log["topics"][3][-40:] for log in filled] == [LENA[2:], "e111180000d2663c0091e4f400237545b87b996b"]
        assert "FeeCharged" in names(stage.chain, logs)


async def test_one_taker_hits_a_seller_and_a_minting_buyer() -> None:
    async with chain_stage() as stage:
        yes, no = stage.market.token_ids
        match = match_of(
            stage.market,
            leg(LENA, "BUY", yes, 5_200_000, maker=False),
            leg(FAY, "BUY", no, 1_920_000, 4 * ONE),
            leg(FRED, "SELL", yes, 3_120_000, 6 * ONE),
        )
        logs = await stage.logs_of(match)
        assert counted(stage, logs)["OrderFilled"] == 3
        assert await stage.chain.balances([(LENA, yes), (FAY, no)]) == {(LENA, yes): 10 * ONE, (FAY, no): 4 * ONE}


def moves(market: SandboxMarket, question: SandboxMarket) -> list[tuple[Move, dict[str, int]]]:
    yes, _ = market.token_ids
    return [
        (move_of("SPLIT", market), {"TransferBatch": 1, "PositionSplit": 1}),
        (move_of("MERGE", market), {"TransferBatch": 1, "PositionsMerge": 1}),
        (move_of("TRANSFER", market, token_id=yes, other_wallet=FRED), {"TransferSingle": 1}),
        (
            move_of("CONVERSION", question, token_id=question.token_ids[1]),
            {"TransferBatch": 4, "PositionSplit": 2, "PositionsConverted": 1},
        ),
    ]


async def test_each_move_leaves_its_logs() -> None:
    async with chain_stage() as stage:
        question = next(each for each in stage.markets if each.neg_risk)
        for move, events in moves(stage.market, question):
            assert counted(stage, await stage.logs_of(move)) == events, move.kind


async def test_a_redemption_burns_and_pays_exactly_what_the_world_says() -> None:
    async with chain_stage() as stage:
        yes, _ = stage.market.token_ids
        await stage.settled(complementary(stage.market))
        await stage.chain.resolve(stage.market, yes)
        logs = await stage.logs_of(move_of("REDEEM", stage.market, 3 * ONE, token_id=yes))
        assert counted(stage, logs) == {"TransferSingle": 1, "PayoutRedemption": 1}
        assert int(logs[-1]["data"][-192:-128], 16) == 3 * ONE or f"{3 * ONE:064x}" in logs[-1]["data"]


async def test_a_settlement_is_known_before_its_block_and_waits_in_the_open() -> None:
    async with chain_stage() as stage:
        settled = await stage.chain.settle(complementary(stage.market))
        waiting = await stage.ask("eth_getTransactionByHash", settled.tx_hash)
        assert waiting["blockNumber"] is None and waiting["input"].startswith("0x3c2b4399")
        number = await stage.chain.mine()
        block = await stage.block(hex(number))
        assert (settled.block_number, settled.block_time_s) == (number, int(block["timestamp"], 16))
        assert settled.tx_hash in block["transactions"]


async def test_many_matches_of_all_operators_settle_in_one_block() -> None:
    async with chain_stage() as stage:
        happenings: list[Happening] = [mint(stage.market) for _ in range(60)]
        settled = await stage.settled(*happenings)
        assert {each.block_number for each in settled} == {stage.chain.head}
        block = await stage.block("latest", full=True)
        assert len({each["from"] for each in block["transactions"]}) > 1
        assert [each["hash"] for each in block["transactions"]] == [each.tx_hash for each in settled]


async def test_an_impossible_happening_is_told_by_the_next_call() -> None:
    async with chain_stage() as stage:
        yes, no = stage.market.token_ids
        impossible = match_of(
            stage.market, leg(LENA, "BUY", yes, 1_000_000, maker=False), leg(FAY, "BUY", no, 1_000_000)
        )
        (settled,) = await stage.settled(impossible)
        with pytest.raises(SettlementFailed, match=settled.tx_hash):
            await stage.chain.settle(complementary(stage.market))


@pytest.mark.parametrize("fate", ["fails", "vanishes"])
async def test_a_waiting_match_may_fail_or_vanish(fate: str) -> None:
    async with chain_stage() as stage:
        tx_hash = await stage.chain.broadcast_failing(complementary(stage.market))
        assert (await stage.ask("eth_getTransactionByHash", tx_hash))["input"].startswith("0x3c2b4399")
        if fate == "vanishes":
            await stage.chain.withdraw_pending(tx_hash)
        await stage.chain.mine()
        receipt = await stage.ask("eth_getTransactionReceipt", tx_hash)
        assert receipt is None if fate == "vanishes" else receipt["status"] == "0x0"


async def test_a_reorg_mines_the_same_transactions_in_other_blocks() -> None:
    async with chain_stage() as stage:
        before = await stage.settled(complementary(stage.market), move_of("SPLIT", stage.market))
        old = await stage.block(hex(stage.chain.head))
        reorg = await stage.chain.reorg(3)
        new = await stage.block(old["number"])
        assert new["hash"] != old["hash"] and new["timestamp"] == old["timestamp"]
        assert new["transactions"] == old["transactions"] == [each.tx_hash for each in before]
        assert (reorg.dropped, reorg.renamed) == ((), {})
        assert all(log["removed"] for log in reorg.removal.logs)


async def test_a_reorg_drops_what_it_is_asked_to_and_the_rest_still_succeeds() -> None:
    async with chain_stage() as stage:
        yes, _ = stage.market.token_ids
        sale = match_of(stage.market, leg(LENA, "SELL", yes, 5 * ONE, maker=False), leg(FRED, "BUY", yes, 5 * ONE))
        first, second = await stage.settled(complementary(stage.market), sale)
        reorg = await stage.chain.reorg(2, drop={first.tx_hash})
        assert reorg.dropped == (first.tx_hash,) and reorg.mined_again == (second.tx_hash,)
        assert await stage.ask("eth_getTransactionReceipt", first.tx_hash) is None
        assert (await stage.ask("eth_getTransactionReceipt", second.tx_hash))["status"] == "0x1"
        (after,) = await stage.settled(complementary(stage.market))
        assert (await stage.ask("eth_getTransactionReceipt", after.tx_hash))["status"] == "0x1"


async def test_a_reorg_beyond_the_beginning_is_refused() -> None:
    async with chain_stage() as stage:
        with pytest.raises(ValueError, match="not possible"):
            await stage.chain.reorg(200)


async def test_ids_are_those_that_the_real_contract_computes() -> None:
    async with chain_stage() as stage:
        tokens, money = stage.chain.contracts.conditional_tokens, stage.chain.addresses.collateral
        at = stage.chain.addresses.conditional_tokens

        async def asked(function: str, *arguments: object) -> str:
            return str(await stage.ask("eth_call", {"to": at, "data": tokens.call(function, *arguments)}, "latest"))

        for number in range(12):
            question = bytes([number]) * 32
            condition = condition_id(LENA, "0x" + question.hex())
            assert condition == await asked("getConditionId", LENA, question, 2)
            for outcome, token in enumerate(token_ids(money, condition)):
                collection = await asked("getCollectionId", bytes(32), bytes.fromhex(condition[2:]), outcome + 1)
                assert token == int(await asked("getPositionId", money, bytes.fromhex(collection[2:])), 16)


async def test_balances_on_the_chain_are_those_of_the_matches() -> None:
    async with chain_stage() as stage:
        yes, no = stage.market.token_ids
        plays: list[Match] = [complementary(stage.market), mint(stage.market), merge(stage.market)]
        await stage.settled(*plays)
        assert await stage.chain.balances([(LENA, yes), (FAY, yes), (FAY, no)]) == {
            (LENA, yes): 10 * ONE,
            (FAY, yes): 0,
            (FAY, no): 0,
        }


async def test_a_later_run_has_higher_blocks_and_hashes_of_its_own() -> None:
    class Later(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(minutes=5)

    split = []
    for clock in (SystemClock(), Later()):
        chain = OnChain(clock, OnChainSettings(block_ms=0))
        await chain.start()
        market, *_ = await chain.prepare(make_markets(1))
        split.append(await chain.settle(move_of("SPLIT", market)))
        await chain.close()
    assert split[0].tx_hash != split[1].tx_hash
    assert 290 < split[1].block_number - split[0].block_number < 330
