"""The user's websocket and the audit against a CLOB that does both by its own code."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from copytrading.accounts.doubts import About
from copytrading.queries import Shard
from copytrading.tracking.audit import Audit, AuditDoors
from copytrading.tracking.user_streams import StreamDoors, StreamSettings, UserStreams
from execution.clob.credentials import Access
from execution.sockets import WebSockets
from guardrails.models import GuardrailEvent
from ledger.system import SeededRandomness
from ledger.units import ONE
from tests.doors import outside_loop
from tests.execution.clob.sandbox_trader import KEY
from tests.tracking.desk import SHARES, Desk, open_desk

pytestmark = pytest.mark.django_db

WAIT_S = 10.0


def streams(desk: Desk, doubts: list[About], *, access: Any = None) -> UserStreams:
    doors = StreamDoors(
        database=desk.engine.database,
        clock=desk.clock,
        randomness=SeededRandomness(1),
        sockets=WebSockets(),
        access=access or desk.venue._doors.access,
        trades=desk.venue,
        fills=desk.engine.rescue.fills,
        doubt=lambda _follower, doubt: doubts.append(doubt.about),
    )
    return UserStreams(doors, StreamSettings(url=desk.trader.box.urls.user), shard=Shard())


class _Revoked:
    """`CredentialBook` with what the venue takes no longer, whoever asks."""

    def __init__(self, desk: Desk) -> None:
        self._access = desk.trader.access

    async def of(self, follower_id: int) -> Access | None:
        return self._access


async def until(desk: Desk, condition: Callable[[], Any]) -> None:
    """Wait in real time, which the sandbox lives in."""
    for _try in range(int(WAIT_S / 0.02)):
        if condition():
            return
        await desk.trader.box.world.clock.sleep(0.02)
    raise AssertionError("it did not come to that")


async def test_a_copy_is_settled_by_what_the_users_websocket_tells() -> None:
    async with open_desk(slow=True) as desk:
        service = streams(desk, [])
        row = await desk.copy()
        assert row.status == "MATCHED"
        await service.run_once()
        exchange = desk.trader.box.exchange
        try:
            await until(desk, lambda: exchange.users.connected(KEY))
            exchange.configure(factor=0.0, limited=False)
            second = await desk.copy()
            await until(desk, lambda: desk.row().status == "EXECUTED")
        finally:
            await service._end(list(service.connections))
        assert (desk.row().pk, desk.row().fill_size_micros) == (second.pk, SHARES * ONE)


async def test_a_key_that_the_venue_takes_no_longer_raises_a_doubt() -> None:
    async with open_desk() as desk:
        doubts: list[About] = []
        await desk.copy()
        access = desk.trader.access
        desk.trader.access = replace(access, credentials=replace(access.credentials, passphrase="revoked"))
        service = streams(desk, doubts, access=_Revoked(desk))
        await service.run_once()
        try:
            await until(desk, lambda: bool(doubts))
        finally:
            await service._end(list(service.connections))
        assert doubts == [About.CREDENTIALS]


async def test_the_audit_agrees_with_the_venue_and_finds_what_was_traded_past_us() -> None:
    async with open_desk() as desk:
        await desk.copy()
        await desk.end()
        audit = Audit(AuditDoors(database=desk.engine.database, clock=desk.clock, history=desk.venue), shard=Shard())
        desk.clock.ahead_s += 200
        assert await audit.run_once() == 0
        await desk.trader.submit(desk.trader.plan())
        await desk.trader.box.exchange.settled()
        desk.clock.ahead_s += 200
        assert (await audit.run_once(), await audit.run_once()) == (1, 0)
        (event,) = outside_loop(lambda: list(GuardrailEvent.objects.filter(reason="AUDIT_DIFFERENCE")))
        assert event.subject.endswith("of an order that nobody here sent") and event.value == 10 * ONE
