"""What accounts have on the venue: money from memory while it is young, shares asked anew, and no wait for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from copytrading.accounts.funds import SELL_WAIT_MS, WARMED_AT_ONCE, AccountFunds, FundsDoors, FundsTerms
from execution.accounts import AccountFacts, Holding
from execution.clob.balances import Balances
from execution.models import Position
from execution.orders import ExchangeDomain
from guardrails.models import GuardrailEvent
from ledger.units import ONE, Micros
from tests.doors import InlineDatabase, VirtualClock, outside_loop
from tests.execution.clob.clob_double import ClobDouble
from tests.execution.clob.orders import SIGNER, Book, access
from tests.factories import FollowerFactory

pytestmark = pytest.mark.django_db

PATH = "GET /balance-allowance"
EXCHANGE = "0xe111180000d2663c0091e4f400237545b87b996b"
TOKEN = 5
TTL_MS = 2_000


def money(dollars: int) -> Any:
    return 200, {"balance": str(dollars * ONE), "allowances": {EXCHANGE: str(70 * ONE)}}


@dataclass
class Scene:
    clock: VirtualClock
    double: ClobDouble
    funds: AccountFunds
    fay: AccountFacts

    async def bought_by(self, **changes: Any) -> AccountFacts:
        """Fay's account as a purchase finds it."""
        fay = AccountFacts(**{**_facts(self.fay.follower_id), **changes})
        return (await self.funds.of_buyers([fay]))[fay.follower_id]

    async def sold_by(self, free: int) -> int:
        """How many of Fay's free shares may be sold."""
        holding = Holding(account=self.fay, token_id=TOKEN, version="v2", free_micros=Micros(free * ONE))
        return (await self.funds.of_sellers([holding]))[self.fay.follower_id, TOKEN] // ONE

    def asked(self) -> int:
        return len(self.double.to(PATH))


def incidents() -> list[tuple[int | None, int | None]]:
    """What was seen and what our books say, of each difference."""
    rows = GuardrailEvent.objects.filter(reason="AUDIT_DIFFERENCE").order_by("pk")
    return outside_loop(lambda: list(rows.values_list("value", "limit")))


def _facts(follower_id: int) -> dict[str, Any]:
    return {"follower_id": follower_id, "wallet": SIGNER, "signer": SIGNER}


@asynccontextmanager
async def scene(*, buy_wait_ms: int = 5_000) -> AsyncIterator[Scene]:
    clock, double, book = VirtualClock(), ClobDouble(), Book()
    follower = outside_loop(FollowerFactory)
    book.known = {follower.pk: access()}
    async with double.serving(clock) as client:
        balances = Balances(client)
        doors = FundsDoors(
            database=InlineDatabase(),
            clock=clock,
            balances=balances,
            book=book,
            exchanges={ExchangeDomain.CTF_V2: EXCHANGE},
        )
        funds = AccountFunds(doors, FundsTerms(ttl_ms=TTL_MS, buy_wait_ms=buy_wait_ms))
        yield Scene(clock, double, funds, AccountFacts(**_facts(follower.pk)))
        # Questions go on when nobody waits for them any more.
        double.answering.set()
        await asyncio.gather(*(each.task for each in balances._asking.values()), return_exceptions=True)


async def test_money_is_asked_for_once_and_believed_for_its_time() -> None:
    async with scene() as on:
        on.double.reply(PATH, money(100), money(90))
        found = await on.bought_by(reserved_micros=30 * ONE)
        assert (found.available_micros, found.allowances) == (70 * ONE, {ExchangeDomain.CTF_V2: 70 * ONE})
        on.clock.advance(1.9)
        assert ((await on.bought_by()).available_micros, on.asked()) == (100 * ONE, 1)
        on.clock.advance(0.2)
        assert ((await on.bought_by()).available_micros, on.asked()) == (90 * ONE, 2)


async def test_what_is_reserved_is_never_more_than_there_is() -> None:
    async with scene() as on:
        on.double.reply(PATH, money(10))
        assert (await on.bought_by(reserved_micros=30 * ONE)).available_micros == 0


@pytest.mark.parametrize("answer", [(500, {}), (401, {"error": "no"}), (200, {"balance": "much"})])
async def test_money_that_cannot_be_read_is_unknown(answer: Any) -> None:
    async with scene() as on:
        on.double.reply(PATH, answer)
        assert (await on.bought_by()).available_micros is None


async def test_an_account_without_access_has_no_known_money_and_is_not_asked_about() -> None:
    async with scene() as on:
        assert (await on.bought_by(follower_id=99)).available_micros is None
        assert on.asked() == 0


async def test_a_purchase_waits_for_a_bound_and_the_answer_serves_the_next() -> None:
    async with scene(buy_wait_ms=50) as on:
        on.double.reply(PATH, money(100))
        on.double.silent.add(PATH)
        assert (await on.bought_by()).available_micros is None
        (asking,) = on.funds._asking
        on.double.answering.set()
        await asking
        assert ((await on.bought_by()).available_micros, on.asked(), on.funds._asking) == (100 * ONE, 1, set())


async def test_what_the_venue_refused_for_want_of_money_is_not_believed_any_more() -> None:
    async with scene() as on:
        on.double.reply(PATH, money(100), money(5))
        await on.bought_by()
        on.funds.forget(on.fay.follower_id)
        assert ((await on.bought_by()).available_micros, on.asked()) == (5 * ONE, 2)


async def test_the_service_reads_again_what_moved_and_what_grows_old_and_a_purchase_does_not_wait() -> None:
    async with scene() as on:
        on.double.reply(PATH, money(100), money(80), money(60))
        on.funds.keep([on.fay.follower_id])
        assert [await on.funds.run_once() for _ in range(2)] == [1, 0]
        on.funds.changed(on.fay.follower_id)
        assert ((await on.bought_by()).available_micros, on.asked()) == (100 * ONE, 1)
        assert [await on.funds.run_once() for _ in range(2)] == [1, 0]
        on.clock.advance(1.1)
        assert await on.funds.run_once() == 1
        assert ((await on.bought_by()).available_micros, on.asked()) == (60 * ONE, 3)


async def test_so_many_are_read_again_at_once_those_that_moved_first() -> None:
    async with scene() as on:
        on.double.reply(PATH, money(1))
        on.funds.keep([*range(1_000, 1_000 + WARMED_AT_ONCE), on.fay.follower_id])
        assert [await on.funds.run_once() for _ in range(2)] == [WARMED_AT_ONCE, 1]
        on.clock.advance(TTL_MS / 1_000)
        on.funds.changed(on.fay.follower_id)
        assert (await on.funds.run_once(), on.asked()) == (WARMED_AT_ONCE, 2)


async def test_money_that_moves_all_the_time_does_not_let_the_others_grow_too_old() -> None:
    async with scene() as on:
        on.double.reply(PATH, money(1))
        others = range(1_000, 1_000 + WARMED_AT_ONCE)
        on.funds.keep(others)
        assert await on.funds.run_once() == WARMED_AT_ONCE
        on.clock.advance(0.8 * TTL_MS / 1_000)
        await on.bought_by()
        on.funds.keep([*others, on.fay.follower_id])
        on.funds.changed(on.fay.follower_id)
        assert (await on.funds.run_once(), on.asked()) == (WARMED_AT_ONCE, 1)


async def test_shares_are_asked_for_anew_before_every_sale() -> None:
    async with scene() as on:
        on.double.reply(PATH, money(60), money(100))
        assert [await on.sold_by(100), await on.sold_by(100), on.asked()] == [60, 100, 2]


async def test_shares_that_went_another_way_are_told_once_for_each_number() -> None:
    async with scene() as on:
        on.double.reply(PATH, money(60), money(60), money(40))
        for _sale in range(3):
            await on.sold_by(100)
    assert incidents() == [(60 * ONE, 100 * ONE), (40 * ONE, 100 * ONE)]


async def test_shares_that_an_open_sale_has_taken_are_not_missed_twice() -> None:
    async with scene() as on:
        taken = {"size_micros": 100 * ONE, "cost_micros": 50 * ONE, "reserved_micros": 40 * ONE}
        where = {"follower_id": on.fay.follower_id, "token_id": TOKEN, "condition_id": "0x" + "c0" * 32}
        outside_loop(lambda: Position.objects.create(**where, **taken))
        on.double.reply(PATH, money(60))
        assert await on.sold_by(60) == 60
    assert incidents() == []


@pytest.mark.parametrize("silent", [False, True], ids=["an error", "no answer"])
async def test_a_sale_goes_by_our_books_when_the_venue_does_not_say(
    silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copytrading.accounts.funds.SELL_WAIT_MS", SELL_WAIT_MS / 40)
    async with scene() as on:
        on.double.reply(PATH, (500, {}))
        if silent:
            on.double.silent.add(PATH)
        assert await on.sold_by(100) == 100


async def test_nobody_sells_nothing() -> None:
    async with scene() as on:
        assert (await on.funds.of_sellers([]), on.asked()) == ({}, 0)
