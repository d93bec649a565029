"""The stores on Redis: shared by processes, fast, and never trusted with truth.

Each verb is one command or one script, so that nothing happens half. The queue is a stream with a consumer
group; a hash beside it holds what is in it, for the bound and against doubles. MAXLEN is never used: it
drops entries that nobody has read (reliability.md, finding 8).
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from guardrails.stores.base import StoreDown, Stores, Taken

T = TypeVar("T")

SOCKET_TIMEOUT_S = 2.0
"""Longer than any wait asked of Redis and short enough that a dead one is noticed at once."""

CONNECT_TIMEOUT_S = 0.5
BLOCK_MS_MAX = 1_000
GROUP = "takers"
CLEAR_BATCH = 500
KEPT_MS = 60_000
"""A tap that nobody waits for is forgotten after this."""

# KEYS: stream, members. ARGV: bound, items. Returns how many leading items are in the queue now.
_ADD = """
for index = 2, #ARGV do
  if redis.call('HEXISTS', KEYS[2], ARGV[index]) == 0 then
    if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[1]) then return index - 2 end
    local id = redis.call('XADD', KEYS[1], '*', 'item', ARGV[index])
    redis.call('HSET', KEYS[2], ARGV[index], id)
  end
end
return #ARGV - 1
"""

# KEYS: stream, members. ARGV: group, then pairs of entry id and item.
_DONE = """
for index = 2, #ARGV, 2 do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[index])
  redis.call('XDEL', KEYS[1], ARGV[index])
  redis.call('HDEL', KEYS[2], ARGV[index + 1])
end
return 1
"""

# KEYS: totals. ARGV: ttl, total of each. Only ever raises.
_REMEMBER = """
for index = 1, #KEYS do
  local held = tonumber(redis.call('GET', KEYS[index]) or '-1')
  if tonumber(ARGV[index + 1]) > held then
    redis.call('SET', KEYS[index], ARGV[index + 1], 'PX', ARGV[1])
  else
    redis.call('PEXPIRE', KEYS[index], ARGV[1])
  end
end
return 1
"""

_COUNT = """
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return total
"""


async def _ask(answer: Awaitable[T]) -> T:
    """Await a command and translate its trouble once; a script's own error is a bug and passes through."""
    try:
        return await answer
    except ResponseError:
        raise
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreDown(f"Redis did not answer ({type(error).__name__})") from None


class RedisQueue:
    """`QueueStore` on a stream."""

    def __init__(self, redis: "Redis", prefix: str, *, queue_max: int, reclaim_ms: int, taker: str) -> None:
        self._redis, self._queue_max, self._reclaim_ms, self._taker = redis, queue_max, reclaim_ms, taker
        self._stream, self._members = f"{prefix}:queue", f"{prefix}:queued"
        self._add, self._done = redis.register_script(_ADD), redis.register_script(_DONE)

    async def add(self, items: Sequence[str]) -> int:
        """Add in order while there is room."""
        if not items:
            return 0
        return int(await _ask(self._add(keys=[self._stream, self._members], args=[self._queue_max, *items])))

    async def take(self, items_max: int, *, wait_ms: int) -> list[Taken]:
        """What a dead taker left first, then new items."""
        try:
            return await self._take(items_max, wait_ms)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # A flushed server: make the group again; what was in the queue is open in the database.
            await self._make_group()
            return []

    async def done(self, receipts: Sequence[str]) -> None:
        """Acknowledge and delete."""
        if receipts:
            pairs = [part for receipt in receipts for part in receipt.split("|", 1)]
            await _ask(self._done(keys=[self._stream, self._members], args=[GROUP, *pairs]))

    async def size(self) -> int:
        """Items that wait or are taken."""
        return int(await _ask(self._redis.hlen(self._members)))

    async def _take(self, items_max: int, wait_ms: int) -> list[Taken]:
        claimed: Any = await _ask(
            self._redis.xautoclaim(self._stream, GROUP, self._taker, self._reclaim_ms, "0-0", count=items_max)
        )
        found = _taken(claimed[1])
        if found:
            return found
        block_ms = max(1, min(wait_ms, BLOCK_MS_MAX))
        answer: Any = await _ask(
            self._redis.xreadgroup(GROUP, self._taker, {self._stream: ">"}, count=items_max, block=block_ms)
        )
        return [taken for _stream, entries in _pairs(answer) for taken in _taken(entries)]

    async def _make_group(self) -> None:
        try:
            await _ask(self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True))
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise


class RedisDedup:
    """`DedupStore` on plain keys."""

    def __init__(self, redis: "Redis", prefix: str, *, ttl_ms: int) -> None:
        self._redis, self._prefix, self._ttl_ms = redis, f"{prefix}:seen:", ttl_ms
        self._remember = redis.register_script(_REMEMBER)

    async def known(self, keys: Sequence[str]) -> list[int | None]:
        """Totals that have not expired."""
        if not keys:
            return []
        found = await _ask(self._redis.mget([self._prefix + key for key in keys]))
        return [None if value is None else int(value) for value in found]

    async def remember(self, totals: Mapping[str, int]) -> None:
        """Raise and renew totals."""
        if totals:
            keys = [self._prefix + key for key in totals]
            await _ask(self._remember(keys=keys, args=[self._ttl_ms, *totals.values()]))


class RedisCache:
    """`CacheStore` on plain keys; the server's memory limit is the bound."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis, self._prefix = redis, f"{prefix}:cache:"

    async def get(self, key: str) -> bytes | None:
        """The bytes while they last."""
        found: Any = await _ask(self._redis.get(self._prefix + key))
        return None if found is None else bytes(found)

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        """Keep the bytes."""
        await _ask(self._redis.set(self._prefix + key, value, px=ttl_ms))


class RedisCounters:
    """`CounterStore` on plain keys."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis, self._prefix = redis, f"{prefix}:count:"
        self._count = redis.register_script(_COUNT)

    async def add(self, name: str, amount: int, *, window_ms: int) -> int:
        """Add to the window, or begin one."""
        return int(await _ask(self._count(keys=[self._prefix + name], args=[amount, window_ms])))

    async def read(self, name: str) -> int:
        """The window's sum."""
        return int(await _ask(self._redis.get(self._prefix + name)) or 0)


class RedisWakeUp:
    """`WakeUp` on lists of at most one element."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis, self._prefix = redis, f"{prefix}:wake:"

    async def wake(self, name: str) -> None:
        """Wake the name; a second tap before anybody woke is the same tap."""
        key = self._prefix + name
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            pipe.rpush(key, "1")
            pipe.pexpire(key, KEPT_MS)
            await _ask(pipe.execute())

    async def wait(self, name: str, *, timeout_ms: int) -> bool:
        """Wait for the name."""
        seconds = min(timeout_ms, BLOCK_MS_MAX) / 1_000
        found: Any = await _ask(self._redis.blpop([self._prefix + name], timeout=seconds))
        return found is not None


def redis_stores(
    url: str, prefix: str, *, queue_max: int, reclaim_ms: int, taker: str = "taker", dedup_ttl_ms: int = 600_000
) -> Stores:
    """Stores on one Redis under one key prefix. Nothing is connected before the first verb."""
    redis = Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),  # a write whose answer was lost is not repeated behind our back
    )

    async def clear() -> None:
        keys = [key async for key in redis.scan_iter(match=f"{prefix}:*", count=CLEAR_BATCH)]
        if keys:
            await _ask(redis.delete(*keys))

    return Stores(
        queue=RedisQueue(redis, prefix, queue_max=queue_max, reclaim_ms=reclaim_ms, taker=taker),
        dedup=RedisDedup(redis, prefix, ttl_ms=dedup_ttl_ms),
        cache=RedisCache(redis, prefix),
        counters=RedisCounters(redis, prefix),
        wake_up=RedisWakeUp(redis, prefix),
        close=redis.aclose,
        clear=clear,
    )


def _pairs(answer: Any) -> Sequence[tuple[Any, Any]]:
    # A list of pairs in protocol 2, a mapping to lists of batches in protocol 3.
    if isinstance(answer, dict):
        return [(stream, entries) for stream, batches in answer.items() for entries in batches]
    return answer or []


def _taken(entries: Any) -> list[Taken]:
    found = []
    for entry_id, fields in entries:
        item = fields[b"item"].decode()
        found.append(Taken(item, f"{entry_id.decode()}|{item}"))
    return found
