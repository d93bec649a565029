"""The users' connections and the keeper of the accounts together: what becomes of accounts whose channel closes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from copytrading.tracking.user_streams import StreamDoors, _Stream
from execution.sockets import WebSockets
from guardrails.models import GuardrailEvent
from ledger.system import SeededRandomness, SystemClock
from tests.exchange.stage import AccountStage, account_stage

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

BOTH = {"Fay": "ACTIVE", "Sam": "ACTIVE"}
WAIT_S = 20.0


class HurriedClock(SystemClock):
    """Pauses between connections pass at once; all else is the system's."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.01))


@pytest.fixture
async def stage() -> AsyncIterator[AccountStage]:
    async with account_stage() as made:
        await made.accounts.keeper.run_once()
        yield made


@asynccontextmanager
async def connected(stage: AccountStage, url: str) -> AsyncIterator[None]:
    """Every account has its connection, and the keeper hears what they doubt."""
    nothing: Any = None
    doors = StreamDoors(
        database=stage.database,
        clock=HurriedClock(),
        randomness=SeededRandomness(1),
        sockets=WebSockets(),
        access=stage.accounts.book,
        trades=nothing,
        fills=nothing,
        doubt=stage.accounts.keeper.doubt,
    )
    streams = [_Stream(doors, url, follower_id=trader.follower_id).run() for trader in stage.traders.values()]
    tasks = [asyncio.create_task(each) for each in streams]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    for _try in range(int(WAIT_S / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


def _revocations() -> int:
    return GuardrailEvent.objects.filter(reason="SESSION_REVOKED").count()


async def test_a_channel_that_restarts_stops_nobody_and_costs_no_credentials(stage: AccountStage) -> None:
    async def restarting(socket: ServerConnection) -> None:
        await asyncio.sleep(0.02)  # the subscription is on its way
        await socket.close(1012, "service restart")

    asked, keeper = stage.box.exchange.requests, stage.accounts.keeper
    before = asked["POST /auth/api-key"] + asked["GET /auth/derive-api-key"]
    async with serve(restarting, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connected(stage, f"ws://127.0.0.1:{port}"):
            await until(lambda: len(keeper._doubts) == 2)
            balances = asked["GET /balance-allowance"]
            await keeper.run_once()
            assert asked["GET /balance-allowance"] > balances
            await until(lambda: len(keeper._doubts) == 2)
            balances = asked["GET /balance-allowance"]
            await keeper.run_once()
            assert asked["GET /balance-allowance"] == balances
    assert await stage.states() == BOTH
    assert asked["POST /auth/api-key"] + asked["GET /auth/derive-api-key"] == before


async def test_credentials_that_the_channel_refuses_are_renewed_and_it_is_open_again(stage: AccountStage) -> None:
    fay, exchange = stage.traders["Fay"], stage.box.exchange
    for known in exchange.keys.of(fay.signer):
        exchange.keys.delete(known)
    async with connected(stage, stage.box.urls.user):
        await until(lambda: fay.follower_id in stage.accounts.keeper._doubts)
        assert exchange.users.connected(fay.signer) == 0
        await stage.accounts.keeper.run_once()
        await until(lambda: exchange.users.connected(fay.signer) == 1)
    assert await stage.states() == BOTH


async def test_an_account_whose_key_the_venue_takes_no_longer_is_stopped_by_what_it_answers(
    stage: AccountStage,
) -> None:
    sam = stage.traders["Sam"]
    stage.box.exchange.revoke_session(sam.wallet, sam.signer)
    async with connected(stage, stage.box.urls.user):
        await until(lambda: sam.follower_id in stage.accounts.keeper._doubts)
        await stage.accounts.keeper.run_once()
    assert await stage.states() == {"Fay": "ACTIVE", "Sam": "STOPPED"}
    assert await stage.database.run(_revocations) == 1
