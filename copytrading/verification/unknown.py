"""What `verify unknown-outcomes` proves: an order whose answer is lost stands once at the venue or not at all, is never
sent again, and ends in the right row with the right money.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial

from django.db.models import F

from copytrading.models import CopyTrade, Leader
from copytrading.states import Status
from copytrading.verification.exchange import Pointed, RealScene, Who, real_scene
from copytrading.verification.steps import Step, Wrong, same
from guardrails.models import Budget
from ledger.models import CashBalance
from ledger.system import SystemClock
from ledger.units import ONE, cost_up

ORDERS = "clob-orders"

LOST = ("accept_then_timeout=1,30s", "accept_then_cut=1", "accept_then_500=1")
"""Taken, and then the time-out, a reset, an error 500."""

SWALLOWED = "error_500=1"
"""An error 500 that took nothing, which looks the same from here."""

FAULTS = (*LOST, SWALLOWED)

ORDER_TIMEOUT_MS = 500
DAY_LIMIT = 1_000 * ONE
CONFIGS_KNOWN_S = 1.0
"""A changed limit counts from then on: configs in memory are never older."""

LONG_AGO = timedelta(minutes=2)
"""An order that is two minutes old and cannot be found has not arrived."""

SETTINGS = {"CLOB_ORDER_TIMEOUT_MS": ORDER_TIMEOUT_MS}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """One copy at its end, and what the venue knows of its order."""

    status: str
    why: str
    filled_micros: int
    used_micros: int
    budget_micros: int
    arrived: int
    taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What came of it. `held_micros` was reserved while nobody knew; the rest is of the end."""

    copies: tuple[_Copy, ...]
    foreign: int
    held_micros: int
    reserved_micros: int
    spent_micros: int
    differs: str


def unknown_steps(pointed: Pointed) -> Iterable[Step]:
    """The steps in their order; the first that is proved plays the scene that all of them look at."""
    seen = cache(partial(_play, pointed))
    steps: tuple[tuple[str, Callable[[_Seen], str]], ...] = (
        ("an order that was taken and whose answer was lost (time-out, reset, error 500) is found and booked", _found),
        ("an order that an error 500 swallowed holds its money until its time is over, and fails then", _given_up),
        ("every order arrived at the venue once, and the venue has no other", _sent_once),
        ("budget, reservations, cash and shares are those of what was filled", _money),
    )
    return [Step(promise, partial(_prove, prove, seen)) for promise, prove in steps]


def _prove(prove: Callable[[_Seen], str], seen: Callable[[], _Seen]) -> str:
    return prove(seen())


def _found(seen: _Seen) -> str:
    taken = [each for each in seen.copies if each.taken]
    same("Orders that the venue took", len(taken), len(LOST))
    same("What became of their copies", {each.status for each in taken}, {"EXECUTED"})
    same("Copies of these without a fill", [each for each in taken if not each.filled_micros], [])
    return f"{len(taken)} answers lost, {len(taken)} orders found by their hash and booked."


def _given_up(seen: _Seen) -> str:
    left = [each for each in seen.copies if not each.taken]
    same("Why what was never taken ended", [(each.status, each.why) for each in left], [("FAILED", "EXPIRED")])
    if not seen.held_micros:
        raise Wrong("No money was held while the order might still have stood.")
    return "It was UNKNOWN with its money held, and FAILED (EXPIRED) after its time; nothing was sent again."


def _sent_once(seen: _Seen) -> str:
    same("How often each order arrived", [each.arrived for each in seen.copies], [1] * len(FAULTS))
    same("Orders of the venue that no copy knows", seen.foreign, 0)
    return f"{len(FAULTS)} copies, {len(FAULTS)} requests, {len(LOST)} orders."


def _money(seen: _Seen) -> str:
    used = sum(each.used_micros for each in seen.copies)
    same("What the leader's budget says, in micros", seen.spent_micros, used)
    rows = [(each.budget_micros, each.used_micros) for each in seen.copies]
    same("Copies whose own budget is not what they used", [row for row in rows if row[0] != row[1]], [])
    same("Money that is still reserved, in micros", seen.reserved_micros, 0)
    same("Differences between books and venue", seen.differs, "")
    return f"The budget says {used} micros, nothing is reserved, and the venue's balances are the books'."


def _play(pointed: Pointed) -> _Seen:
    return asyncio.run(_lose(pointed))


async def _lose(pointed: Pointed) -> _Seen:
    people = [Who(name=f"Follower {number}") for number in range(len(FAULTS))]
    async with real_scene(pointed, people, settings=SETTINGS) as scene:
        run = scene.database.run
        await run(_limit_leaders)
        await scene.clock.sleep(CONFIGS_KNOWN_S)
        for fault in FAULTS:
            await scene.box.faults.apply(f"{ORDERS}:{fault}")
        await scene.leader_trades()
        await scene.until(partial(_found_out, scene), "the answers that were lost were not found out")
        held = await run(_reserved)
        await run(_grow_old)
        rows = await scene.settled(len(FAULTS))
        return _Seen(
            copies=tuple(_copy(scene, row) for row in rows),
            foreign=len({each.order_hash for each in scene.box.exchange.orders()} - {row.order_hash for row in rows}),
            held_micros=held,
            reserved_micros=await run(_reserved),
            spent_micros=await run(_spent),
            differs=await scene.differs(),
        )


async def _found_out(scene: RealScene) -> bool:
    statuses = sorted(row.status for row in await scene.copies())
    return statuses == [*(["EXECUTED"] * len(LOST)), "UNKNOWN"]


def _copy(scene: RealScene, row: CopyTrade) -> _Copy:
    order_hash, exchange = str(row.order_hash), scene.box.exchange
    return _Copy(
        status=row.status,
        why=row.reasons[-1]["reason"] if row.reasons else "",
        filled_micros=row.fill_size_micros,
        used_micros=cost_up(row.fill_size_micros, row.limit_micros),
        budget_micros=row.budget_micros,
        arrived=exchange.received[order_hash],
        taken=exchange.order(order_hash) is not None,
    )


def _limit_leaders() -> None:
    Leader.objects.update(daily_limit_micros=DAY_LIMIT)


def _grow_old() -> None:
    """As if the time of what is unknown were over: its order is two minutes old and may be given up."""
    now = SystemClock().now()
    rows = CopyTrade.objects.filter(status=Status.UNKNOWN)
    rows.update(decided_at=F("decided_at") - LONG_AGO, expires_at=now, next_retry_at=now)


def _spent() -> int:
    return sum(Budget.objects.filter(scope="LEADER").values_list("spent_micros", flat=True))


def _reserved() -> int:
    return sum(CashBalance.objects.values_list("reserved_micros", flat=True))
