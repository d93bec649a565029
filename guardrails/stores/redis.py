"""The stores on Redis 6.2 or later, shared by processes: each verb is one command or one script, so it is atomic.

Time is the server's, one clock for all processes. The scripts themselves stand in `stores.scripts`.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from guardrails.stores.base import DEFAULT_BOUNDS, Bounds, StoreDown, Stores, Taken
from guardrails.stores.scripts import ADD, COUNT, DONE, REMEMBER, SCRIPTS, SET, TAKE, VALUES, WAKE

T = TypeVar("T")

SOCKET_TIMEOUT_MS = 1_000
"""Redis gone costs the engine a second at most; a verb takes well under a millisecond."""

BLOCK_MS_MAX = 200
"""Longest wait in one command: far below the socket timeout, which must not end a wait; longer waits ask again."""

CONNECTIONS_MAX = 32
"""Per process: a few waits that hold one each, and the verbs of tasks in between; others wait for their turn."""

VERB_KEYS_MAX = 1_000
"""Keys in one script, which holds up everybody else on the server for about a millisecond."""

SCAN_COUNT = 500
"""Keys looked at in one step of clearing; a larger step would hold up the server."""

DOWN = (
    *(exceptions.ConnectionError, exceptions.TimeoutError, exceptions.InvalidResponse, OSError),
    *(exceptions.OutOfMemoryError, exceptions.ReadOnlyError, exceptions.MasterDownError),
)
DOWN_CODES = frozenset(
    {
        *("MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED", "OOM", "READONLY", "MASTERDOWN", "LOADING"),
        *("WRONGTYPE", "NOAUTH", "NOPERM"),
    }
)
"""Refusals that redis-py has no class for: the disk is full, a replica is missing, a script hangs, roles changed; and
what a person has to put right, a foreign key under our prefix or a right that was taken away.
"""

IN_SCRIPT = re.compile(r" -([A-Z]+) ")
"""Before Redis 7 a refusal inside a script has a code of its own, ERR, and names the real one behind a dash."""

QUEUE_KEYS = ("queue", "queue:present")
DEDUP_KEYS = ("dedup", "dedup:ends")
CACHE_KEYS = ("cache", "cache:ends")
COUNTER_KEYS = ("counters", "counters:ends")


def connect(url: str) -> Redis:
    """A client over one bounded pool; connects at the first verb. Timeouts written in the address win over ours.

    Raises ValueError when the address cannot be read, without quoting it: it may carry a password.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=SOCKET_TIMEOUT_MS / 1000,
            socket_timeout=SOCKET_TIMEOUT_MS / 1000,
            socket_connect_timeout=SOCKET_TIMEOUT_MS / 1000,
            # No verb is repeated behind the caller's back: an amount would count twice, a failure would take longer.
            retry=Retry(NoBackoff(), 0),
            # Under RESP3 redis-py 8 no longer notices that the server has closed an idle connection.
            protocol=2,
        )
    except ValueError:
        raise ValueError("The address of Redis cannot be read; expected redis://[user:password@]host:port/0.") from None
    return Redis.from_pool(pool)


class Server:
    """The verbs' way to Redis: keys under one prefix, foreign errors translated here and nowhere else."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self.client, self._prefix = client, prefix
        self._scripts: dict[str, AsyncScript] = {text: client.register_script(text) for text in SCRIPTS}

    def key(self, name: str) -> str:
        """The key of this name."""
        return f"{self._prefix}:{name}"

    async def run(self, script: str, names: Sequence[str], args: Sequence[str | int | bytes] = ()) -> Any:
        """The answer of one of the scripts, in bytes and integers. Raises StoreDown."""
        with answering():
            return await self._scripts[script](keys=[self.key(name) for name in names], args=args)

    async def clear(self) -> None:
        """Delete every key under the prefix."""
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", self.key("")) + "*"
        with answering():
            keys = [key async for key in self.client.scan_iter(match=pattern, count=SCAN_COUNT)]
            if keys:
                await self.client.unlink(*keys)

    async def close(self) -> None:
        """Close the pool."""
        with answering():
            await self.client.aclose()


class RedisQueue:
    """`QueueStore`: a stream with a consumer group. Lists longer than VERB_KEYS_MAX go in several steps."""

    def __init__(self, server: Server, *, queue_max: int, exits_reserved: int, reclaim_ms: int) -> None:
        self._server, self._queue_max, self._reclaim_ms = server, queue_max, reclaim_ms
        self._others_max = queue_max - exits_reserved

    async def add(self, items: Sequence[str], *, exits: Collection[str] = ()) -> list[str]:
        """Those that found no room."""
        refused: list[str] = []
        among = frozenset(exits)
        for some in _portions(items, VERB_KEYS_MAX):
            # Room that somebody freed between two steps is not for what stands behind one that was refused.
            others_max = 0 if refused else self._others_max
            pairs = [text for item in some for text in (item, int(item in among))]
            places = await self._server.run(ADD, QUEUE_KEYS, [self._queue_max, others_max, *pairs])
            refused += [some[int(place)] for place in places]
        return refused

    async def take(self, max_items: int, *, wait_ms: int) -> list[Taken]:
        """Reclaimed items first, then waiting ones in their order."""
        for block_ms in _blocks(wait_ms):
            taken, newest = await self._ready(max_items)
            if taken:
                return taken
            # Reading without the group takes nothing: a wait that is cancelled or cut off strands nothing.
            with answering():
                await self._server.client.xread({self._server.key("queue"): newest}, count=1, block=block_ms)
        taken, _ = await self._ready(max_items)
        return taken

    async def done(self, receipts: Sequence[str]) -> None:
        """End them; unknown receipts are passed over."""
        for some in _portions(receipts, VERB_KEYS_MAX):
            await self._server.run(DONE, QUEUE_KEYS, some)

    async def size(self) -> int:
        """Waiting plus taken: an entry is deleted when it is done."""
        with answering():
            return int(await self._server.client.xlen(self._server.key("queue")))

    async def _ready(self, max_items: int) -> tuple[list[Taken], str]:
        most = min(max_items, VERB_KEYS_MAX)
        newest, given = await self._server.run(TAKE, QUEUE_KEYS, [most, self._reclaim_ms])
        pairs = zip(given[::2], given[1::2], strict=True)
        return [Taken(item=item.decode(), receipt=receipt.decode()) for receipt, item in pairs], newest.decode()


class RedisDedup:
    """`DedupStore`: totals and their ends."""

    def __init__(self, server: Server, *, dedup_max: int, ttl_ms: int) -> None:
        self._server, self._dedup_max, self._ttl_ms = server, dedup_max, ttl_ms

    async def known(self, keys: Sequence[str]) -> list[int | None]:
        """In the order of the keys."""
        found: list[bytes | None] = []
        for some in _portions(keys, VERB_KEYS_MAX):
            found += await self._server.run(VALUES, DEDUP_KEYS, some)
        return [None if total is None else int(total) for total in found]

    async def remember(self, totals: Mapping[str, int]) -> None:
        """Only ever raises."""
        assert all(total >= 0 for total in totals.values()), "a total is never below zero"
        for some in _portions(list(totals.items()), VERB_KEYS_MAX):
            pairs = [text for key, total in some for text in (key, str(total))]
            await self._server.run(REMEMBER, DEDUP_KEYS, [self._dedup_max, self._ttl_ms, *pairs])


class RedisCache:
    """`CacheStore`: values and their ends."""

    def __init__(self, server: Server, *, cache_max: int) -> None:
        self._server, self._cache_max = server, cache_max

    async def get(self, key: str) -> bytes | None:
        """The value while it lasts."""
        found: list[bytes | None] = await self._server.run(VALUES, CACHE_KEYS, [key])
        return found[0]

    async def set(self, key: str, value: bytes, ttl_ms: int) -> None:
        """Keep the value."""
        await self._server.run(SET, CACHE_KEYS, [self._cache_max, key, value, ttl_ms])


class RedisWakeUp:
    """`WakeUp`: a list by name."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def wake(self, name: str) -> None:
        """Ring."""
        await self._server.run(WAKE, [f"wake:{name}"])

    async def wait(self, name: str, timeout_ms: int) -> bool:
        """Whether it rang."""
        key = self._server.key(f"wake:{name}")
        with answering():
            for block_ms in _blocks(timeout_ms):
                if await self._server.client.blpop([key], timeout=block_ms / 1000):
                    return True
            return await self._server.client.lpop(key) is not None


class RedisCounters:
    """`CounterStore`: totals and the ends of their windows."""

    def __init__(self, server: Server, *, counters_max: int) -> None:
        self._server, self._counters_max = server, counters_max

    async def add(self, name: str, amount: int, window_ms: int) -> int:
        """The window's total."""
        return int(await self._server.run(COUNT, COUNTER_KEYS, [self._counters_max, name, amount, window_ms]))

    async def read(self, name: str) -> int:
        """The window's total, or 0."""
        found = await self._server.run(VALUES, COUNTER_KEYS, [name])
        return int(found[0] or 0)


def redis_stores(
    url: str,
    prefix: str,
    *,
    queue_max: int,
    reclaim_ms: int,
    exits_reserved: int = 0,
    bounds: Bounds = DEFAULT_BOUNDS,
) -> Stores:
    """One store of each kind, shared by all processes with this prefix. Raises ValueError for an unreadable address."""
    server = Server(connect(url), prefix)
    return Stores(
        queue=RedisQueue(server, queue_max=queue_max, exits_reserved=exits_reserved, reclaim_ms=reclaim_ms),
        dedup=RedisDedup(server, dedup_max=bounds.dedup_max, ttl_ms=bounds.dedup_ttl_ms),
        cache=RedisCache(server, cache_max=bounds.cache_max),
        wake_up=RedisWakeUp(server),
        counters=RedisCounters(server, counters_max=bounds.counters_max),
        shelf=server,
    )


@contextmanager
def answering() -> Iterator[None]:
    """Every way in which the server does not serve becomes StoreDown; a refusal that is our mistake stays."""
    try:
        yield
    except DOWN as error:
        raise StoreDown(f"Redis does not serve: {type(error).__name__}") from error
    except exceptions.ResponseError as error:
        code = next((code for code in _codes(str(error)) if code in DOWN_CODES), None)
        if code is None:
            raise
        raise StoreDown(f"Redis does not serve: {code}") from error


def _codes(text: str) -> list[str]:
    code, _space, rest = text.partition(" ")
    return [code, *IN_SCRIPT.findall(rest)]


def _blocks(wait_ms: int) -> Iterator[int]:
    """The wait in portions that one command may block; never 0, which would mean for ever."""
    for begun_ms in range(0, wait_ms, BLOCK_MS_MAX):
        yield min(BLOCK_MS_MAX, wait_ms - begun_ms)


def _portions(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
