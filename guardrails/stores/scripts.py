"""The verbs of the Redis stores as Lua, one script for each, so that each is atomic. Run by `stores.redis` alone.

Time is the server's. Totals pass as text: Lua's numbers are exact only up to 2^53.
"""

# Key 1 is the stream, key 2 the set of the items in it; a room is free when its entry is deleted. If the server evicted
# one of the two keys, the stream is right.
# Answers the places, from 0, of the items that found no room: an exit (its flag is 1) has the whole bound, others less.
ADD = """
local stream, present, bound, others = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('XLEN', stream) ~= redis.call('SCARD', present) then
  redis.call('DEL', present)
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do redis.call('SADD', present, entry[2][2]) end
end
local size, refused = redis.call('XLEN', stream), {}
for i = 3, #ARGV, 2 do
  local item = ARGV[i]
  if redis.call('SISMEMBER', present, item) == 0 then
    if size >= (ARGV[i + 1] == '1' and bound or others) then
      refused[#refused + 1] = (i - 3) / 2
    else
      redis.call('XADD', stream, '*', 'item', item)
      redis.call('SADD', present, item)
      size = size + 1
    end
  end
end
return refused
"""

# Answers the newest id, behind which an arrival may be awaited, and id and item of each entry taken. All takers share
# one consumer name: an entry is given again because it idles, whoever held it. The group is missing at first and
# after a flush (NOGROUP); it begins at the beginning, so that it misses nothing.
TAKE = """
local stream, most, reclaim_ms, answer = KEYS[1], tonumber(ARGV[1]), ARGV[2], {}
local function give(entries)
  for _, entry in ipairs(entries) do
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = entry[2][2]
  end
  return most - #answer / 2
end
local left, cursor = most, '0-0'
repeat
  local idle = redis.pcall('XAUTOCLAIM', stream, 'takers', 'taker', reclaim_ms, cursor, 'COUNT', left)
  if idle.err then
    redis.call('XGROUP', 'CREATE', stream, 'takers', '0', 'MKSTREAM')
    idle = {'0-0', {}}
  end
  cursor, left = idle[1], give(idle[2])
until cursor == '0-0' or left == 0
if left > 0 then
  local waiting = redis.call('XREADGROUP', 'GROUP', 'takers', 'taker', 'COUNT', left, 'STREAMS', stream, '>')
  if waiting then give(waiting[1][2]) end
end
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
return {newest and newest[1] or '0-0', answer}
"""

DONE = """
local stream, present = KEYS[1], KEYS[2]
for _, id in ipairs(ARGV) do
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if entry then
    redis.call('XACK', stream, 'takers', id)
    redis.call('XDEL', stream, id)
    redis.call('SREM', present, entry[2][2])
  end
end
"""

# Values that end: key 1 holds them by name, key 2 when each ends. Both keys end with the last value, and when the
# server evicted one of the two, the other is worth nothing.
ENDING = """
local values, ends, time = KEYS[1], KEYS[2], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('HLEN', values) ~= redis.call('ZCARD', ends) then redis.call('DEL', values, ends) end
local function value_of(name)
  local ends_at = redis.call('ZSCORE', ends, name)
  return ends_at and tonumber(ends_at) > now and redis.call('HGET', values, name)
end
local function hold(name, value, ttl)
  redis.call('HSET', values, name, value)
  redis.call('ZADD', ends, now + ttl, name)
end
local function bound(most, ttl)
  local surplus = redis.call('ZCARD', ends) - most
  if surplus > 0 then
    local gone = redis.call('ZPOPMIN', ends, surplus)
    for i = 1, #gone, 2 do redis.call('HDEL', values, gone[i]) end
  end
  for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
  end
end
"""

VALUES = (
    ENDING
    + """
local answer = {}
for i, name in ipairs(ARGV) do answer[i] = value_of(name) end
return answer
"""
)

# Whole numbers without leading zeros compare by length, then as text.
REMEMBER = (
    ENDING
    + """
local most, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 3, #ARGV, 2 do
  local name, total = ARGV[i], ARGV[i + 1]
  local old = value_of(name)
  if old and (#old > #total or (#old == #total and old > total)) then total = old end
  hold(name, total, ttl)
end
bound(most, ttl)
"""
)

SET = (
    ENDING
    + """
hold(ARGV[2], ARGV[3], tonumber(ARGV[4]))
bound(tonumber(ARGV[1]), tonumber(ARGV[4]))
"""
)

COUNT = (
    ENDING
    + """
local name, amount, window = ARGV[2], ARGV[3], tonumber(ARGV[4])
if not value_of(name) then hold(name, '0', window) end
redis.call('HINCRBY', values, name, amount)
local total = redis.call('HGET', values, name)
bound(tonumber(ARGV[1]), window)
return total
"""
)

# A list of at most one element: one ring. The push wakes one blocked waiter, which takes the element with it.
WAKE = "if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('RPUSH', KEYS[1], '1') end"

SCRIPTS = (ADD, TAKE, DONE, VALUES, REMEMBER, SET, COUNT, WAKE)
