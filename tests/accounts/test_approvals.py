"""Whether exchanges may move an account's shares: asked with any token of theirs, seldom, and never guessed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from copytrading.accounts.approvals import REMEMBERED_MS, TOKENS_AGAIN_MS, TOKENS_MS, ApprovalDoors, ShareApprovals
from execution.clob.balances import Balances
from execution.gamma import MarketDescription
from execution.hosts import HostDown
from execution.models import Market
from execution.orders import ExchangeDomain
from tests.doors import BEGINNING, InlineDatabase, VirtualClock, outside_loop
from tests.execution.clob.clob_double import ClobDouble
from tests.execution.clob.orders import access
from tests.world import SAID

pytestmark = pytest.mark.django_db

PATH = "GET /balance-allowance"
OLDER, NEG_RISK, NEWER = ExchangeDomain.CTF_V2, ExchangeDomain.NEG_RISK_V2, ExchangeDomain.V3
ADDRESSES = {OLDER: "0x" + "a1" * 20, NEG_RISK: "0x" + "a2" * 20, NEWER: "0x" + "a3" * 20}


def said(**allowances: int) -> Any:
    """What the venue answers, by the name of the exchange; what is left out it does not name."""
    named = {ADDRESSES[ExchangeDomain[name]]: str(amount) for name, amount in allowances.items()}
    return 200, {"balance": "0", "allowances": named}


ALL = said(CTF_V2=2**256 - 1, NEG_RISK_V2=1, V3=1)


@dataclass
class Scene:
    clock: VirtualClock
    double: ClobDouble
    approvals: ShareApprovals
    listed: dict[str, list[MarketDescription]] = field(default_factory=dict)
    asked_for: list[str] = field(default_factory=list)
    down: bool = False

    async def found(self) -> dict[ExchangeDomain, bool]:
        return dict(await self.approvals.of(access()))

    def asked(self) -> list[tuple[str, str]]:
        return [(each.query["asset_type"], each.query["token_id"]) for each in self.double.to(PATH)]


@asynccontextmanager
async def scene(*, known: bool = True) -> AsyncIterator[Scene]:
    clock, double = VirtualClock(), ClobDouble()
    if known:
        outside_loop(lambda: Market.objects.bulk_create(_markets()))
    double.reply(PATH, ALL)
    async with double.serving(clock) as client:

        async def listed(version: str) -> list[MarketDescription]:
            on.asked_for.append(version)
            if on.down:
                raise HostDown("it is away")
            return on.listed.get(version, [])

        doors = ApprovalDoors(
            database=InlineDatabase(),
            clock=clock,
            balances=Balances(client),
            exchanges=ADDRESSES,
            listed=listed,
        )
        on = Scene(clock, double, ShareApprovals(doors))
        yield on


def _markets() -> list[Market]:
    kinds: list[dict[str, Any]] = [SAID, {**SAID, "neg_risk": True}, {**SAID, "version": "v2"}]
    rows = [
        Market(condition_id=f"0x{n}", first_token_id=n, second_token_id=n + 50, loaded_at=BEGINNING, **kind)
        for n, kind in enumerate(kinds, 11)
    ]
    # Terms that were guessed, and a market that is over: neither says where its shares are traded.
    guessed = Market(condition_id="0x8", first_token_id=8, second_token_id=9)
    over = Market(condition_id="0x6", first_token_id=6, second_token_id=7, loaded_at=BEGINNING, closed=True)
    return [*rows, guessed, over]


async def test_each_exchange_is_asked_about_with_a_token_that_is_traded_there_and_remembered() -> None:
    async with scene() as on:
        assert await on.found() == dict.fromkeys(ExchangeDomain, True)
        assert on.asked() == [("CONDITIONAL", "11"), ("CONDITIONAL", "12"), ("CONDITIONAL-V2", "13")]
        on.clock.advance(REMEMBERED_MS / 1_000 - 1)
        await on.found()
        assert len(on.asked()) == 3
        on.clock.advance(1)
        await on.found()
        assert (len(on.asked()), on.asked_for) == (6, [])


async def test_a_missing_leave_is_asked_about_at_every_look() -> None:
    async with scene() as on:
        on.double.reply(PATH, said(CTF_V2=0, NEG_RISK_V2=0, V3=0), said(CTF_V2=0, NEG_RISK_V2=0, V3=0), ALL)
        assert await on.found() == {OLDER: False, NEG_RISK: False, NEWER: True}
        assert await on.found() == dict.fromkeys(ExchangeDomain, True)


@pytest.mark.parametrize("answer", [said(), (500, {}), (400, {"error": "no such token"}), (200, {"balance": "much"})])
async def test_what_the_venue_does_not_say_is_unknown(answer: Any) -> None:
    async with scene() as on:
        on.double.reply(PATH, answer)
        assert await on.found() == {}


async def test_the_last_word_stands_while_the_venue_is_away() -> None:
    async with scene() as on:
        on.double.reply(PATH, said(CTF_V2=0), (200, {"balance": "0"}), (200, {"balance": "0"}), (400, {}))
        assert await on.found() == {OLDER: False}
        assert await on.found() == {OLDER: False}


async def test_a_refused_sale_has_it_asked_anew() -> None:
    async with scene() as on:
        await on.found()
        on.approvals.forget(access().wallet)
        on.double.reply(PATH, said(CTF_V2=0, NEG_RISK_V2=0, V3=0))
        assert await on.found() == dict.fromkeys(ExchangeDomain, False)


async def test_while_no_market_is_known_the_venue_lists_some() -> None:
    async with scene(known=False) as on:
        on.listed = {
            "v1": [
                MarketDescription(condition_id="0x1", tokens=(21, 22), neg_risk=False),
                MarketDescription(condition_id="0x2", tokens=(23, 24), neg_risk=None),
                MarketDescription(condition_id="0x3", tokens=(25, 26), neg_risk=True),
            ]
        }
        assert await on.found() == {OLDER: True, NEG_RISK: True}
        assert on.asked() == [("CONDITIONAL", "21"), ("CONDITIONAL", "25")]
        on.clock.advance(TOKENS_MS / 1_000 - 1)
        await on.found()
        assert on.asked_for == ["v1", "v2"]


async def test_a_venue_that_lists_nothing_is_asked_again_in_a_minute() -> None:
    async with scene(known=False) as on:
        on.down = True
        assert (await on.found(), await on.found(), on.asked_for) == ({}, {}, ["v1"])
        on.down = False
        on.clock.advance(TOKENS_AGAIN_MS / 1_000)
        assert (await on.found(), on.asked_for) == ({}, ["v1", "v1", "v2"])
