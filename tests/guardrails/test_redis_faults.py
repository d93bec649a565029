"""Redis gone, flushed, full, demoted or robbed of a key: one typed error, nothing stuck, nothing doubled."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import redis

from guardrails.stores.base import Bounds, StoreDown, Stores, Taken
from guardrails.stores.redis import Server, answering, connect, redis_stores
from tests.services import Services

pytestmark = pytest.mark.redis

PREFIX = "faults"
SECRET = "hunter2"

RECLAIM_MS = 30_000
MINUTE_MS = 60_000
ROOMY = Bounds(dedup_ttl_ms=MINUTE_MS)
LONG_MS = 20_000
"""A wait that only a wake-up can end in time."""

POLLS_MAX = 10_000

Verb = Callable[[Stores], Awaitable[object]]

VERBS: dict[str, Verb] = {
    "queue.add": lambda stores: stores.queue.add(["1"]),
    "queue.take": lambda stores: stores.queue.take(1, wait_ms=0),
    "queue.take waiting": lambda stores: stores.queue.take(1, wait_ms=LONG_MS),
    "queue.done": lambda stores: stores.queue.done(["1-1"]),
    "queue.size": lambda stores: stores.queue.size(),
    "dedup.known": lambda stores: stores.dedup.known(["a"]),
    "dedup.remember": lambda stores: stores.dedup.remember({"a": 1}),
    "cache.get": lambda stores: stores.cache.get("a"),
    "cache.set": lambda stores: stores.cache.set("a", b"1", MINUTE_MS),
    "wake_up.wake": lambda stores: stores.wake_up.wake("a"),
    "wake_up.wait": lambda stores: stores.wake_up.wait("a", LONG_MS),
    "counters.add": lambda stores: stores.counters.add("a", 1, MINUTE_MS),
    "counters.read": lambda stores: stores.counters.read("a"),
    "clear": lambda stores: stores.clear(),
}
WRITES = ["queue.add", "dedup.remember", "cache.set", "wake_up.wake", "counters.add"]

every_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())


class OnRedis:
    """Redis stores under one prefix. Its clock is the server's, so what is stored is made older instead."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url, self.prefix = url, prefix
        self.client = connect(url)
        self._opened: list[Stores] = []

    def stores(self, *, queue_max: int = 10, exits_reserved: int = 0, bounds: Bounds = ROOMY) -> Stores:
        stores = redis_stores(
            self.url,
            self.prefix,
            queue_max=queue_max,
            exits_reserved=exits_reserved,
            reclaim_ms=RECLAIM_MS,
            bounds=bounds,
        )
        self._opened.append(stores)
        return stores

    async def pass_ms(self, ms: int) -> None:
        for key in await self.client.keys("*"):
            if not key.decode().startswith(f"{self.prefix}:"):
                continue
            kind = await self.client.type(key)
            if kind == b"zset":
                for member in await self.client.zrange(key, 0, -1):
                    await self.client.zincrby(key, -ms, member)
            if kind == b"stream" and await self.client.xinfo_groups(key):
                await self._let_idle(key, ms)
            if (left_ms := await self.client.pttl(key)) > 0:
                await self.client.pexpire(key, left_ms - ms)

    async def until_waiting(self) -> None:
        for _ in range(POLLS_MAX):
            if (await self.client.info("clients"))["blocked_clients"]:
                return
        raise AssertionError("nobody waits")

    async def let_wait_end(self, ms: int) -> None:
        """The server's clock goes by itself."""

    async def close(self) -> None:
        await Server(self.client, self.prefix).clear()
        for stores in self._opened:
            await stores.close()
        await self.client.aclose()

    async def _let_idle(self, key: bytes, ms: int) -> None:
        for entry in await self.client.xpending_range(key, "takers", "-", "+", POLLS_MAX):
            place, idle_ms = [entry["message_id"]], entry["time_since_delivered"] + ms
            await self.client.xclaim(key, "takers", "taker", 0, place, idle=idle_ms, justid=True)


@pytest.fixture
def admin(redis_url: str) -> Iterator["redis.Redis"]:
    """The operator's own connection to the server."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
        client.flushall()


@pytest.fixture
async def world(redis_url: str, admin: "redis.Redis") -> AsyncIterator[OnRedis]:
    """Stores on the server; what a test did to it is undone."""
    made = OnRedis(redis_url, PREFIX)
    yield made
    admin.replicaof("NO", "ONE")
    admin.config_set("maxmemory", 0)
    await made.close()


@every_verb
async def test_nobody_listening_is_store_down(verb: Verb, services: Services) -> None:
    async with _silent_server() as port:
        pass
    stores = _stores_at(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(StoreDown):
        await verb(stores)
    await stores.close()


@every_verb
async def test_silence_is_store_down(verb: Verb) -> None:
    async with _silent_server() as port:
        stores = _stores_at(f"redis://127.0.0.1:{port}/0?socket_timeout=0.05")
        with pytest.raises(StoreDown):
            await verb(stores)
        await stores.close()


@pytest.mark.parametrize("verb", ["queue.take waiting", "wake_up.wait"])
async def test_waiter_whose_connection_breaks_learns_it_and_may_ask_again(
    world: OnRedis, admin: "redis.Redis", verb: str
) -> None:
    stores = world.stores()
    waiter = asyncio.ensure_future(VERBS[verb](stores))
    await world.until_waiting()
    admin.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(StoreDown):
        await waiter
    await stores.queue.add(["1"])
    assert items(await stores.queue.take(1, wait_ms=0)) == ["1"]


async def test_connection_that_broke_while_idle_is_replaced_unseen(world: OnRedis, admin: "redis.Redis") -> None:
    stores = world.stores()
    await stores.queue.add(["1"])
    admin.client_kill_filter(_type="normal", skipme=True)
    async with _silent_server() as port:
        # A connection made in the meantime: until it stands, the loop has read all that came before.
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    assert items(await stores.queue.take(1, wait_ms=0)) == ["1"]


@pytest.mark.parametrize("name", WRITES)
async def test_demoted_server_is_store_down(world: OnRedis, admin: "redis.Redis", name: str) -> None:
    stores = world.stores()
    admin.replicaof("127.0.0.1", 1)
    with pytest.raises(StoreDown, match="ReadOnly"):
        await VERBS[name](stores)


@pytest.mark.parametrize("name", ["queue.take waiting", "wake_up.wait"])
async def test_waiter_on_a_server_that_is_demoted_learns_it(world: OnRedis, admin: "redis.Redis", name: str) -> None:
    waiter = asyncio.ensure_future(VERBS[name](world.stores()))
    await world.until_waiting()
    admin.replicaof("127.0.0.1", 1)
    with pytest.raises(StoreDown):
        await waiter


@pytest.mark.parametrize("name", WRITES)
async def test_full_server_is_store_down(world: OnRedis, admin: "redis.Redis", name: str) -> None:
    stores = world.stores()
    admin.config_set("maxmemory", 1)
    with pytest.raises(StoreDown, match="OutOfMemory"):
        await VERBS[name](stores)


async def test_full_server_still_frees_room(world: OnRedis, admin: "redis.Redis") -> None:
    queue = world.stores().queue
    await queue.add(["1"])
    taken = await queue.take(1, wait_ms=0)
    admin.config_set("maxmemory", 1)
    await queue.done(receipts(taken))
    assert await queue.size() == 0


async def test_flushed_queue_works_on_and_takes_items_again(world: OnRedis, admin: "redis.Redis") -> None:
    queue = world.stores().queue
    await queue.add(["1", "2"])
    lost = await queue.take(1, wait_ms=0)
    admin.flushall()
    await queue.done(receipts(lost))
    assert await queue.take(1, wait_ms=0) == []
    assert await queue.add(["1", "2"]) == []
    assert items(await queue.take(9, wait_ms=0)) == ["1", "2"]
    assert await queue.size() == 2


async def test_group_is_made_again_whether_adder_or_taker_comes_first(world: OnRedis, admin: "redis.Redis") -> None:
    queue = world.stores().queue
    for _ in range(2):
        await queue.add(["1"])
        taken = await queue.take(1, wait_ms=0)
        assert items(taken) == ["1"]
        admin.flushall()
        await queue.done(receipts(taken))


async def test_taker_that_waits_through_a_flush_gets_what_arrives_after_it(
    world: OnRedis, admin: "redis.Redis"
) -> None:
    queue = world.stores().queue
    await queue.add(["1"])
    await queue.done(receipts(await queue.take(1, wait_ms=0)))
    taker = asyncio.create_task(queue.take(1, wait_ms=LONG_MS))
    await world.until_waiting()
    admin.flushall()
    await queue.add(["2"])
    assert items(await taker) == ["2"]


async def test_everything_is_forgotten_and_nothing_breaks_after_a_flush(world: OnRedis, admin: "redis.Redis") -> None:
    stores = world.stores()
    await stores.dedup.remember({"a": 5})
    await stores.cache.set("a", b"1", MINUTE_MS)
    await stores.counters.add("a", 5, MINUTE_MS)
    admin.flushall()
    admin.script_flush()
    assert (await stores.dedup.known(["a"]), await stores.cache.get("a")) == ([None], None)
    assert await stores.counters.add("a", 1, MINUTE_MS) == 1


async def test_item_of_a_process_that_died_is_given_to_another(world: OnRedis) -> None:
    dead, heir = world.stores(), world.stores()
    await dead.queue.add(["1", "2"])
    await dead.queue.take(1, wait_ms=0)
    await dead.close()
    assert items(await heir.queue.take(9, wait_ms=0)) == ["2"]
    await world.pass_ms(RECLAIM_MS)
    again = await heir.queue.take(9, wait_ms=0)
    assert items(again) == ["1", "2"]
    await heir.queue.done(receipts(again))
    assert await heir.queue.size() == 0


@pytest.mark.parametrize("evicted", ["queue", "queue:present"])
async def test_half_evicted_queue_neither_swallows_nor_doubles(
    world: OnRedis, admin: "redis.Redis", evicted: str
) -> None:
    queue = world.stores().queue
    await queue.add(["1", "2"])
    admin.delete(f"{PREFIX}:{evicted}")
    assert await queue.add(["2", "1"]) == []
    assert sorted(items(await queue.take(9, wait_ms=0))) == ["1", "2"]
    assert await queue.size() == 2


@pytest.mark.parametrize("evicted", ["counters", "counters:ends"])
async def test_half_evicted_counters_begin_again(world: OnRedis, admin: "redis.Redis", evicted: str) -> None:
    counters = world.stores().counters
    await counters.add("a", 5, MINUTE_MS)
    admin.delete(f"{PREFIX}:{evicted}")
    assert await counters.read("a") == 0
    assert await counters.add("a", 1, MINUTE_MS) == 1


async def test_half_evicted_cache_leaves_no_orphans(world: OnRedis, admin: "redis.Redis") -> None:
    cache = world.stores().cache
    await cache.set("a", b"1", MINUTE_MS)
    admin.delete(f"{PREFIX}:cache:ends")
    await cache.set("b", b"1", MINUTE_MS)
    assert admin.hkeys(f"{PREFIX}:cache") == ["b"]


async def test_done_item_leaves_nothing_behind(world: OnRedis, admin: "redis.Redis") -> None:
    queue = world.stores().queue
    await queue.add(["1"])
    await queue.done(receipts(await queue.take(1, wait_ms=0)))
    pending = admin.xpending(f"{PREFIX}:queue", "takers")["pending"]
    assert (pending, admin.xlen(f"{PREFIX}:queue"), admin.scard(f"{PREFIX}:queue:present")) == (0, 0, 0)


async def test_processes_share_queue_counters_and_bell(world: OnRedis) -> None:
    one, other = world.stores(queue_max=1), world.stores(queue_max=1)
    assert (await one.queue.add(["1"]), await other.queue.add(["2"])) == ([], ["2"])
    assert (await one.counters.add("a", 1, MINUTE_MS), await other.counters.add("a", 1, MINUTE_MS)) == (1, 2)
    waiter = asyncio.create_task(one.wake_up.wait("a", LONG_MS))
    await world.until_waiting()
    await other.wake_up.wake("a")
    assert await waiter


async def test_clear_leaves_other_prefixes_alone(redis_url: str, admin: "redis.Redis") -> None:
    ours, theirs = (_stores_at(redis_url, prefix=prefix) for prefix in ("a*", "ab"))
    for stores in (ours, theirs):
        await stores.queue.add(["1"])
    await ours.clear()
    assert (await ours.queue.size(), await theirs.queue.size()) == (0, 1)
    for stores in (ours, theirs):
        await stores.close()


async def test_nothing_outlives_its_time_but_the_queue(world: OnRedis, admin: "redis.Redis") -> None:
    stores = world.stores()
    await stores.dedup.remember({"a": 5})
    await stores.cache.set("long", b"1", MINUTE_MS)
    await stores.cache.set("short", b"1", 1)
    await stores.counters.add("a", 5, MINUTE_MS)
    ends_ms = [admin.pttl(key) for key in admin.scan_iter(match=f"{PREFIX}:*")]
    assert len(ends_ms) == 6
    assert all(MINUTE_MS // 2 < end <= MINUTE_MS for end in ends_ms)


@pytest.mark.parametrize("url", [f"redis://:{SECRET}/x@127.0.0.1:6379/0", f"reddis://:{SECRET}@127.0.0.1/0"])
async def test_unreadable_address_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="address of Redis") as refused:
        _stores_at(url)
    # Without its source lines: they are this test's own.
    assert SECRET not in "".join(traceback.format_exception_only(refused.value))
    assert refused.value.__suppress_context__


async def test_wrong_password_is_store_down_and_stays_secret(redis_url: str) -> None:
    stores = _stores_at(redis_url.replace("redis://", f"redis://:{SECRET}@"))
    with pytest.raises(StoreDown) as down:
        await stores.queue.size()
    await stores.close()
    assert SECRET not in f"{down.value!r} {down.value.__cause__!r} {down.value.__cause__} {stores!r}"


def items(taken: list[Taken]) -> list[str]:
    return [each.item for each in taken]


def receipts(taken: list[Taken]) -> list[str]:
    return [each.receipt for each in taken]


def _stores_at(url: str, prefix: str = PREFIX) -> Stores:
    return redis_stores(url, prefix, queue_max=10, reclaim_ms=RECLAIM_MS)


@asynccontextmanager
async def _silent_server() -> AsyncIterator[int]:
    """A port that takes connections and never answers; afterwards nobody listens there."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: writers.append(writer), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("verb", ["queue.add", "queue.take", "queue.take waiting", "queue.done", "queue.size"])
async def test_foreign_key_under_our_name_is_store_down_until_it_is_cleared(
    world: OnRedis, admin: "redis.Redis", verb: str
) -> None:
    stores = world.stores()
    admin.set(f"{PREFIX}:queue", "somebody else's")
    with pytest.raises(StoreDown, match="WRONGTYPE"):
        await VERBS[verb](stores)
    await stores.clear()
    assert await stores.queue.add(["1"]) == []


@pytest.mark.parametrize(
    "text",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "ERR Error running script (call to f_1): @user_script:8: -READONLY You can't write against a replica.",
        "ERR Error running script (call to f_1): @user_script:8: -OOM command not allowed: memory is full.",
    ],
)
def test_refusal_to_serve_is_store_down_also_from_inside_a_script(text: str) -> None:
    with pytest.raises(StoreDown), answering():
        raise redis.ResponseError(text)


def test_refusal_that_is_our_mistake_stays() -> None:
    with pytest.raises(redis.ResponseError, match="nil value"), answering():
        raise redis.ResponseError("ERR user_script:3: attempt to index a nil value")
