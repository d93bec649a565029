"""What `verify worker-pool` and `verify shard-ownership` prove: a bound on what is under way, one owner of a leader."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial

from django.db import connection, transaction

from copytrading.models import ShardLease, ShardStandby
from copytrading.operations.cast import wallet_named
from copytrading.operations.leases import Lease, LeaseLost, acquire, hold, newer_count, renew, stand_by
from copytrading.queries import Shard
from copytrading.shards import shard_of
from copytrading.signalqueue import SignalQueue, SignalQueueSettings
from copytrading.supervisor import Engine
from copytrading.sweeper import Sweeper
from copytrading.verification.bench import Bench, Outside, decide_queued
from copytrading.verification.doors import fill_at_limit
from copytrading.verification.steps import Step, Wrong, same
from copytrading.wiring import build_stores
from execution.orders import OrderPlan
from execution.ports import Filled, NotFound, OrderRef, OrderState, Outcome
from ledger.db import ThreadedDatabase
from ledger.sql import database_now
from ledger.system import SystemClock

POOL, FAN_OUT = 8, 4
FOLLOWERS, SIGNALS = 30, 3
ANSWER_S = 0.01
LEADERS, WALLETS = 8, 1_000
COUNTS = (1, 2, 3, 7, 16)
TTL_S = 60


class CrowdedVenue:
    """`Venue` that counts how many orders are with it at once, and remembers in which order they came."""

    name = "verify"

    def __init__(self) -> None:
        self._clock, self._here = SystemClock(), 0
        self.most = 0
        self.tokens: list[int] = []

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:  # noqa: ARG002
        """Fill the whole size at the limit after a moment."""
        self._here += 1
        self.most = max(self.most, self._here)
        self.tokens.append(plan.token_id)
        await self._clock.sleep(ANSWER_S)
        self._here -= 1
        return Filled(fill=fill_at_limit(plan.size_micros, plan.limit_micros))

    async def look_up(self, order: OrderRef) -> OrderState:  # noqa: ARG002  # the port's name
        """It remembers nothing."""
        return NotFound()

    async def cancel(self, order: OrderRef) -> bool:  # noqa: ARG002  # the port's name
        """Nothing ever rests here."""
        return True


def pool_steps(bench: Bench) -> Iterable[Step]:
    """The steps in their order."""
    return _steps(
        bench,
        (f"with a pool of {POOL} never more copies are under way, and everybody is copied", _bounded),
        ("a leader with many followers and signals does not keep another waiting", _fair),
    )


def ownership_steps(bench: Bench) -> Iterable[Step]:
    """The steps in their order."""
    return _steps(
        bench,
        ("every leader belongs to one shard, whatever their number", _one_shard_each),
        ("a shard offers the signals of its own leaders only, and together they offer all", _own_signals),
        ("of two processes that ask for a shard at once one gets it", _one_holder),
        ("a dead holder's shard is taken over, and when it wakes up it changes nothing", _taken_over),
        ("a shard of another number is given only when nobody holds one of the present number", _another_number),
        ("a holder hands over to a whole newer set of shards, and to nothing less", _handed_over),
    )


def _steps(bench: Bench, *proofs: tuple[str, Callable[[Bench], str]]) -> list[Step]:
    return [Step(promise, partial(prove, bench)) for promise, prove in proofs]


def _bounded(bench: Bench) -> str:
    cast, venue = bench.cast(FOLLOWERS), CrowdedVenue()
    bench.copy(cast.action(), outside=Outside(clock=SystemClock(), venue=venue))
    same("The most copies under way at once", venue.most, POOL)
    same("Copies executed", cast.trades().filter(status="EXECUTED").count(), FOLLOWERS)
    return f"{FOLLOWERS} followers: {venue.most} under way at most, all of them executed."


def _fair(bench: Bench) -> str:
    crowd, single, venue = bench.cast(FOLLOWERS), bench.cast(1), CrowdedVenue()
    actions = [*(crowd.action() for _ in range(SIGNALS)), single.action()]

    async def work(engine: Engine) -> None:
        await engine.intake.offer("reading", actions, complete=True)
        await decide_queued(engine)

    bench.play(work, Outside(clock=SystemClock(), venue=venue))
    same("Orders", len(venue.tokens), FOLLOWERS * SIGNALS + 1)
    place = venue.tokens.index(single.token_id)
    if place >= POOL:
        raise Wrong(f"The single follower's order came after {place} of the crowd's, though it fits the first batch.")
    return f"The single follower's order was number {place + 1} of {len(venue.tokens)}, behind {SIGNALS} signals."


def _one_shard_each(_bench: Bench) -> str:
    wallets = [wallet_named(f"verify shard {number}") for number in range(WALLETS)]
    for of in COUNTS:
        owners = [shard_of(wallet, of) for wallet in wallets]
        same(f"Shards of {of} that own a leader", sorted(set(owners)), list(range(of)))
        same("Owners, asked again", [shard_of(wallet, of) for wallet in wallets], owners)
    return f"{WALLETS} leaders, each with one owner of {', '.join(map(str, COUNTS))}."


def _own_signals(bench: Bench) -> str:
    casts = [bench.cast(1) for _ in range(LEADERS)]
    ids = {str(bench.record(cast.action())): shard_of(cast.leader.wallet, 2) for cast in casts}
    offered = [asyncio.run(_offered(index)) for index in range(2)]
    for index in range(2):
        wanted = sorted(each for each, owner in ids.items() if owner == index)
        same(f"Signals offered by shard {index}/2", sorted(each for each in offered[index] if each in ids), wanted)
    return f"{LEADERS} leaders' signals: {len(offered[0])} offered by one shard and {len(offered[1])} by the other."


async def _offered(index: int) -> list[str]:
    clock, stores = SystemClock(), build_stores(SystemClock(), shard=index, of=2)
    database = ThreadedDatabase(1)
    bounds = SignalQueueSettings(queue_max=1_000, reclaim_ms=TTL_S * 1_000)
    queue = SignalQueue(stores.queue, database, clock, shard=Shard(index, 2), settings=bounds)
    try:
        sweeper = Sweeper(database, queue, clock, shard=Shard(index, 2))
        await sweeper.run_once(older_than=timedelta(seconds=-1))
        return [each.item for each in await queue.take(1_000, wait_ms=0)]
    finally:
        await stores.clear()
        await stores.close()
        database.close()


def _one_holder(bench: Bench) -> str:
    _free_all()
    asks = [partial(acquire, shard=0, of=2, holder=name, ttl_s=TTL_S) for name in ("one", "other")]
    won = [lease for lease in bench.race(*asks) if lease is not None]
    same("Holders of the shard", len(won), 1)
    same("The row's holder", ShardLease.objects.get(shard=0, of=2).holder, won[0].holder)
    return f"{won[0].holder} holds it under term {won[0].term}; the row says so."


def _taken_over(_bench: Bench) -> str:
    _free_all()
    old = _taken(0, 2, "old")
    ShardLease.objects.filter(shard=0, of=2).update(expires_at=database_now() - timedelta(seconds=1))
    new = _taken(0, 2, "new")
    same("The new term", new.term, old.term + 1)
    _must_be_lost(old)
    renew(new, TTL_S)
    return f"Term {old.term} can neither renew nor write; term {new.term} can."


def _another_number(bench: Bench) -> str:
    _free_all()
    old = _taken(1, 2, "old")
    same("A shard of three while one of two is held", acquire(shard=0, of=3, holder="new", ttl_s=TTL_S), None)
    ShardLease.objects.filter(shard=1, of=2).update(expires_at=database_now() - timedelta(seconds=1))
    asks = [partial(acquire, shard=0, of=of, holder=f"of {of}", ttl_s=TTL_S) for of in (3, 4)]
    won = [lease for lease in bench.race(*asks) if lease is not None]
    same("Numbers of shards that are held", len({lease.of for lease in won}), 1)
    _must_be_lost(old)
    return f"Refused while one was held; then {won[0].of} shards won of two numbers that asked at once."


def _handed_over(_bench: Bench) -> str:
    _free_all()
    since = database_now()
    later = since + timedelta(seconds=1)
    wanted = partial(newer_count, of=2, since=since, seen_within_s=TTL_S)
    for index in range(3):
        same(f"To whom it hands over while {index} of three stand by", wanted(), None)
        stand_by(shard=index, of=3, holder=f"{index} of 3", since=later)
    same("To whom it hands over when all three stand by", wanted(), 3)
    same("To whom those hand over", newer_count(of=3, since=later, seen_within_s=TTL_S), None)
    _free_all()
    return "With two of three standing by it stays; with all three it goes."


def _must_be_lost(lease: Lease) -> None:
    for what, write in (("renewed", partial(renew, lease, TTL_S)), ("wrote", partial(_hold, lease))):
        try:
            write()
        except LeaseLost:
            continue
        raise Wrong(f"A holder that was taken over {what} under term {lease.term}.")


def _hold(lease: Lease) -> None:
    with transaction.atomic():
        hold(lease)


def _taken(shard: int, of: int, holder: str) -> Lease:
    lease = acquire(shard=shard, of=of, holder=holder, ttl_s=TTL_S)
    if lease is None:
        raise Wrong(f"Shard {shard}/{of}, which nobody holds, could not be taken.")
    return lease


def _free_all() -> None:
    """Nobody holds or waits for anything in this database of our own."""
    ShardStandby.objects.all().delete()
    ShardLease.objects.update(holder="", expires_at=database_now())
    assert connection.in_atomic_block is False, "a step commits what it does"
