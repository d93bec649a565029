"""What `verify lock-claims` proves on the sandbox: an order that many rescuers find is settled by one of them."""

import asyncio
from collections.abc import Iterable
from functools import partial

from copytrading.states import Status
from copytrading.verification.exchange import Pointed, RealScene, Who, real_scene
from copytrading.verification.steps import Step, Wrong, same
from ledger.models import LedgerEntry

ORDERS = 6
RESCUERS = 4
"""Beside the one that the engine runs by itself."""

TAKEN_AND_CUT = f"clob-orders:accept_then_cut={ORDERS}"
NOBODY_TELLS = {"CLOB_USER_WS_URL": "ws://127.0.0.1:9/ws/user"}
"""The discard port: without the accounts' sockets whoever wants to know must ask."""


def rescued_steps(pointed: Pointed) -> Iterable[Step]:
    """The one step, on a sandbox of its own and before there are other copies: it waits until none is open."""
    promise = f"{RESCUERS + 1} rescuers that find the same {ORDERS} lost orders on the venue book each of them once"
    return [Step(promise, partial(_played, pointed))]


def _played(pointed: Pointed) -> str:
    return asyncio.run(_rescued(pointed))


async def _rescued(pointed: Pointed) -> str:
    people = [Who(name=f"Follower {number}") for number in range(ORDERS)]
    async with real_scene(pointed, people, settings=NOBODY_TELLS) as scene:
        await scene.box.faults.apply(TAKEN_AND_CUT)
        await scene.leader_trades()
        await scene.decided(ORDERS)
        rounds = await _race(scene)
        rows = await scene.settled(ORDERS)
        same("What became of the copies", {row.status for row in rows}, {Status.EXECUTED.value})
        stand = sorted(order.order_hash for order in scene.box.exchange.orders())
        same("Orders on the venue", stand, sorted(str(row.order_hash) for row in rows))
        asked = [sum(each.endswith(str(row.order_hash)) for each in scene.http.asked) for row in rows]
        # The first attempt was the sending.
        same("Questions about each order, by the claims of its row", asked, [row.attempts - 1 for row in rows])
        if not all(asked):
            raise Wrong(f"Of {ORDERS} orders {asked.count(0)} were booked and nobody had asked about them.")
        booked = await scene.database.run(_bookings, [row.pk for row in rows])
        same("Bookings of shares", booked, ORDERS)
        wrong = await scene.differs()
        if wrong:
            raise Wrong(wrong)
    return (
        f"{ORDERS} answers lost; {rounds} times {RESCUERS} rescuers at once: {sum(asked)} claims, as many questions, "
        f"{booked} bookings."
    )


async def _race(scene: RealScene) -> int:
    """Have the rescuers look, all at once, until nothing is open; how many times."""
    rounds = 0

    async def all_known() -> bool:
        nonlocal rounds
        rounds += 1
        await asyncio.gather(*(scene.engine.rescue.run_once() for _rescuer in range(RESCUERS)))
        return all(row.status == Status.EXECUTED for row in await scene.copies())

    await scene.until(all_known, "the lost orders were not found")
    return rounds


def _bookings(trade_ids: list[int]) -> int:
    return LedgerEntry.objects.filter(trade_id__in=trade_ids, kind=LedgerEntry.Kind.SHARES).count()
