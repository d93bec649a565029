"""A pause that is pressed while an order's connection is being made holds the order here."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from copytrading.verification.exchange import RealScene, real_scene
from copytrading.verification.timed_venue import TimedHttp
from execution.http import Answer, MayLeave, SharedHttp
from execution.venues.clob import LEAVES_MS_MAX
from guardrails.models import Scope, Switch
from guardrails.operations import set_switch
from tests.exchange.stage import FAY, pointed
from tests.slow_connections import SlowConnections, slow_connections

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class OrdersApart(TimedHttp):
    """Orders have connections of their own, none of them made yet."""

    def __init__(self, connections: SlowConnections) -> None:
        super().__init__()
        self._connections, self._orders = connections, SharedHttp()

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        may_leave: MayLeave | None = None,
    ) -> Answer:
        if may_leave is None:
            return await super().post(url, body=body, headers=headers, timeout_s=timeout_s)
        self._connections.slow = not self._connections.open.is_set()
        return await self._orders.post(url, body=body, headers=headers, timeout_s=timeout_s, may_leave=may_leave)

    async def close(self) -> None:
        await self._orders.close()
        await super().close()


@asynccontextmanager
async def waiting_for_a_connection() -> AsyncIterator[tuple[RealScene, SlowConnections]]:
    """A scene whose first order has passed the gate and waits for its connection."""
    async with slow_connections() as connections:
        connections.slow = False
        async with real_scene(pointed, [FAY], http=OrdersApart(connections)) as scene:
            await scene.leader_trades()
            await connections.asked.wait()
            connections.slow = False
            yield scene, connections


async def test_an_order_that_was_paused_while_its_connection_was_made_is_not_sent() -> None:
    async with waiting_for_a_connection() as (scene, connections):
        await scene.database.run(_pause, scene)
        await scene.clock.sleep(LEAVES_MS_MAX / 1_000)
        connections.open.set()
        (row,) = await scene.settled(1)
        assert (row.status, row.reasons[0]["reason"]) == ("FAILED", "PAUSED_BEFORE_SEND")
        assert scene.box.exchange.requests["POST /order"] == 0
        assert await scene.differs() == ""


async def test_an_order_whose_connection_came_late_leaves_once_after_a_new_look() -> None:
    async with waiting_for_a_connection() as (scene, connections):
        await scene.clock.sleep(LEAVES_MS_MAX / 1_000)
        connections.open.set()
        (row,) = await scene.settled(1)
        assert row.status == "EXECUTED"
        assert scene.box.exchange.requests["POST /order"] == 1
        assert await scene.differs() == ""


def _pause(scene: RealScene) -> None:
    now = scene.clock.now()
    set_switch(kind=Switch.Kind.PAUSE, scope=Scope.GLOBAL, key="", on=True, who="olga", why="stop", now=now)
