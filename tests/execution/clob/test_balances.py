"""A balance is asked for once however many want it at a time, and is newer than the question."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from execution.clob.balances import Balances
from execution.hosts import HostDown
from ledger.units import MAX_MICROS
from tests.doors import VirtualClock
from tests.execution.clob.clob_double import ClobDouble
from tests.execution.clob.orders import WALLET, access

PATH = "GET /balance-allowance"
EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B"


@dataclass
class Scene:
    clock: VirtualClock
    double: ClobDouble
    balances: Balances


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    clock, double = VirtualClock(), ClobDouble()
    double.reply(PATH, (200, {"balance": "5200000", "allowances": {EXCHANGE: str(2**256 - 1)}}))
    async with double.serving(clock) as client:
        yield Scene(clock, double, Balances(client))


async def test_a_hundred_askers_are_two_questions() -> None:
    """The first one's, and one for all who came after that was asked."""
    async with scene() as on:
        found = await asyncio.gather(*(on.balances.collateral(access()) for _ in range(100)))
    assert {each.micros for each in found} == {5_200_000}
    assert found[0].allowances == {EXCHANGE.lower(): MAX_MICROS}
    asked = [each.query for each in on.double.to(PATH)]
    assert asked == [{"asset_type": "COLLATERAL", "signature_type": "0"}] * 2


async def test_nothing_is_remembered() -> None:
    async with scene() as on:
        for questions in (1, 2):
            await on.balances.collateral(access())
            assert len(on.double.to(PATH)) == questions


@pytest.mark.parametrize(("version", "kind"), [("v1", "CONDITIONAL"), ("v2", "CONDITIONAL-V2")])
async def test_shares_are_asked_where_the_version_keeps_them(version: str, kind: str) -> None:
    async with scene() as on:
        await on.balances.shares(access(signature_type=3, wallet=WALLET), 5, version=version)
    assert on.double.to(PATH)[0].query == {"asset_type": kind, "token_id": "5", "signature_type": "3"}


async def test_wallets_and_tokens_are_kept_apart() -> None:
    async with scene() as on:
        await on.balances.collateral(access())
        await on.balances.collateral(access(wallet=WALLET))
        await on.balances.shares(access(), 5, version="v1")
        await on.balances.shares(access(), 6, version="v1")
    assert len(on.double.to(PATH)) == 4


async def test_a_balance_waits_out_an_older_question_and_asks_again_once() -> None:
    async with scene() as on:
        on.double.silent.add(PATH)
        older = asyncio.create_task(on.balances.shares(access(), 5, version="v1"))
        await on.double.arrived.wait()
        later = [asyncio.create_task(on.balances.shares(access(), 5, version="v1")) for _ in range(10)]
        await asyncio.sleep(0)
        on.double.answering.set()
        await asyncio.gather(older, *later)
        assert len(on.double.to(PATH)) == 2


async def test_one_who_gives_up_takes_the_answer_from_nobody() -> None:
    async with scene() as on:
        on.double.silent.add(PATH)
        before, first, second = (asyncio.create_task(on.balances.collateral(access())) for _ in range(3))
        await on.double.arrived.wait()
        for each in (before, first):
            each.cancel()
        on.double.answering.set()
        assert (await second).micros == 5_200_000
        assert len(on.double.to(PATH)) == 2


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", {"balance": "-1"}, {"balance": "1.5"}, {}, {"balance": "5", "allowances": [1]}]
)
async def test_a_balance_that_cannot_be_read_is_unknown(body: object) -> None:
    async with scene() as on:
        on.double.reply(PATH, (200, body), (200, {"balance": "7"}))
        with pytest.raises(HostDown):
            await on.balances.collateral(access())
        on.clock.advance(60)
        assert (await on.balances.collateral(access())).micros == 7
