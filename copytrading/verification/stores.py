"""What `verify dedup-shared` and `verify queue-backpressure` prove: shared speed, while the database stays right."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from django.db import connection
from django.db.models import Sum

from copytrading.groups import Tally
from copytrading.models import Signal
from copytrading.operations.signals import record_signals
from copytrading.queries import Shard
from copytrading.signalqueue import Refused, SignalQueue, SignalQueueSettings
from copytrading.sweeper import Sweeper
from copytrading.verification.bench import Bench, Cast, clear_stores
from copytrading.verification.steps import Step, same
from copytrading.wiring import build_stores
from guardrails.models import GuardrailEvent
from guardrails.stores.base import Stores
from guardrails.stores.memory import MemoryQueue
from ledger.db import ThreadedDatabase
from ledger.system import SystemClock
from ledger.units import ONE

QUEUE_MAX, EXITS_BPS = 5_000, 1_000
BUYS, SELLS = 4_600, 600
REFUSED = {Refused.FULL: 100, Refused.FULL_FOR_EXITS: 100}
RACED = 3_000
RECORDED_AT_ONCE = 500
FREED = 300
TOTALS = 50
FOLLOWERS = 3
RECLAIM_MS = 60_000


def dedup_steps(bench: Bench) -> Iterable[Step]:
    """The steps in their order."""
    return _steps(
        bench,
        ("what one process has seen another knows", _known_to_another),
        ("a lower total that comes later takes nothing back", _only_rises),
        ("two processes that record one trade at once make one signal of it", _recorded_at_once),
        ("when the fast memory has forgotten it, the database still refuses what was copied", _forgotten),
    )


def backpressure_steps(bench: Bench) -> Iterable[Step]:
    """The steps in their order."""
    return _steps(
        bench,
        (f"of {BUYS + SELLS} signals offered {QUEUE_MAX} are kept, the rest refused and counted", _overfilled),
        ("what was refused is offered again as soon as there is room", _offered_again),
        ("two processes that fill the queue at once do not pass its bound", _filled_at_once),
    )


def _steps(bench: Bench, *proofs: tuple[str, Callable[[Bench], str]]) -> list[Step]:
    return [Step(promise, partial(prove, bench)) for promise, prove in proofs]


def _known_to_another(_bench: Bench) -> str:
    where: list[str] = []

    async def work(one: Stores, other: Stores) -> list[int | None]:
        where.append("memory (without Redis processes share nothing)" if _in_memory(one) else "Redis")
        await one.dedup.remember({"trade": 7 * ONE})
        return await other.dedup.known(["trade", "another"])

    same("What the other process knows", _with_two(work), [7 * ONE, None])
    return f"Seen by one, known to the other, on {where[0]}."


def _only_rises(_bench: Bench) -> str:
    async def work(one: Stores, other: Stores) -> list[int | None]:
        await one.dedup.remember({"trade": TOTALS})
        raised = range(TOTALS)
        await asyncio.gather(*((one, other)[total % 2].dedup.remember({"trade": total}) for total in raised))
        return await other.dedup.known(["trade"])

    same("The total after lower ones", _with_two(work), [TOTALS])
    return f"{TOTALS} lower totals by two processes took nothing back."


def _recorded_at_once(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    total = Tally().add(cast.action())
    now = SystemClock().now()
    written = bench.race(*[lambda: len(record_signals([total], now=now).signals)] * 2)
    same("Signals written by the two", sum(written), 1)
    size = Signal.objects.filter(leader=cast.leader).aggregate(size=Sum("size_micros"))["size"]
    same("Shares of all signals, in micros", size, total.size_micros)
    return "One of two that recorded it at the same moment wrote its signal, of the whole size."


def _forgotten(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    action = cast.action()
    bench.copy(action)
    asyncio.run(clear_stores())
    bench.copy(action)
    same("Signals of the trade", Signal.objects.filter(leader=cast.leader).count(), 1)
    same("Copies of the trade", cast.trades().count(), FOLLOWERS)
    return f"Read again with empty stores: one signal and {FOLLOWERS} copies, as before."


def _overfilled(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    buys, sells = _record(cast, "BUY", BUYS), _record(cast, "SELL", SELLS)

    async def work(queue: SignalQueue, _sweeper: Sweeper) -> int:
        await queue.add(buys)
        await queue.add(sells, exits=set(sells))
        same("Refused, by why", dict(queue.refused), REFUSED)
        return await queue.size()

    same("Signals in the queue", _with_queue(work), QUEUE_MAX)
    same("Open signals in the database", _open(cast), BUYS + SELLS)
    told = GuardrailEvent.objects.filter(reason="QUEUE_FULL").values_list("value", "limit")
    same("Events of the first minute", list(told), [(REFUSED[Refused.FULL], QUEUE_MAX)])
    sells_kept = SELLS - REFUSED[Refused.FULL_FOR_EXITS]
    return (
        f"{BUYS} buys and {SELLS} sells offered: {QUEUE_MAX} kept, {sum(REFUSED.values())} refused and counted; "
        f"{sells_kept} sells found room after the first buy was refused; one event."
    )


def _offered_again(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    Signal.objects.update(done_at=SystemClock().now())
    ids = _record(cast, "BUY", QUEUE_MAX)
    Signal.objects.filter(leader=cast.leader).update(detected_at=SystemClock().now() - timedelta(minutes=1))

    async def work(queue: SignalQueue, sweeper: Sweeper) -> tuple[int, int, int]:
        refused = await queue.add(ids)
        taken = await queue.take(FREED, wait_ms=0)
        await queue.done([each.receipt for each in taken])
        swept = await sweeper.run_once()
        return len(refused), swept, await queue.size()

    others_max = QUEUE_MAX - QUEUE_MAX * EXITS_BPS // 10_000
    found = _with_queue(work)
    same("Refused, swept into the queue, and queued then", found, (QUEUE_MAX - others_max, others_max, others_max))
    return f"{FREED} places were freed and taken at the next sweep; {QUEUE_MAX} signals are open, none is lost."


def _filled_at_once(_bench: Bench) -> str:
    async def work(one: Stores, other: Stores) -> tuple[int, int]:
        offers = (one.queue.add([f"{name}{n}" for n in range(RACED)]) for name in "ab")
        first, second = await asyncio.gather(*offers)
        third = await other.queue.add(["c"])
        return len(first) + len(second) + len(third), await other.queue.size()

    others_max = QUEUE_MAX - QUEUE_MAX * EXITS_BPS // 10_000
    same("Refused and queued", _with_two(work), (2 * RACED + 1 - others_max, others_max))
    return f"{2 * RACED + 1} offered by two, {others_max} kept; the rest of {QUEUE_MAX} places is for exits."


def _record(cast: Cast, side: str, number: int) -> list[str]:
    """Write so many signals of the leader; their ids."""
    ids: list[str] = []
    while len(ids) < number:
        totals = [Tally().add(cast.action(side)) for _ in range(min(RECORDED_AT_ONCE, number - len(ids)))]
        ids += [str(each.signal_id) for each in record_signals(totals, now=SystemClock().now()).signals]
    return ids


def _open(cast: Cast) -> int:
    return Signal.objects.filter(leader=cast.leader, done_at__isnull=True).count()


def _with_two(work: Callable[..., object]) -> object:
    """What the work answers on the stores of two processes, emptied afterwards; in memory both are one."""

    async def run() -> object:
        one = build_stores(SystemClock(), shard=0, of=1)
        other = one if _in_memory(one) else build_stores(SystemClock(), shard=0, of=1)
        async with _emptied(one, other):
            return await work(one, other)  # type: ignore[misc]  # every work here is a coroutine function

    return asyncio.run(run())


def _in_memory(stores: Stores) -> bool:
    return isinstance(stores.queue, MemoryQueue)


def _with_queue(work: Callable[..., object]) -> object:
    """What the work answers on a shard's queue and sweeper."""

    async def run() -> object:
        clock, stores = SystemClock(), build_stores(SystemClock(), shard=0, of=1)
        database = ThreadedDatabase(2 if connection.vendor == "postgresql" else 1)
        bounds = SignalQueueSettings(queue_max=QUEUE_MAX, reclaim_ms=RECLAIM_MS)
        queue = SignalQueue(stores.queue, database, clock, shard=Shard(), settings=bounds)
        try:
            async with _emptied(stores):
                sweeper = Sweeper(database, queue, clock, shard=Shard())
                return await work(queue, sweeper)  # type: ignore[misc]  # every work here is a coroutine function
        finally:
            database.close()

    return asyncio.run(run())


@asynccontextmanager
async def _emptied(*opened: Stores) -> AsyncIterator[Sequence[Stores]]:
    try:
        await opened[0].clear()
        yield opened
    finally:
        await opened[0].clear()
        for each in dict.fromkeys(opened):
            await each.close()
