-- KEYS: the value, its group as a sorted set by age, the sizes of the values of the group; ARGV: the value, seconds,
-- the most bytes of the group. The size of the whole group is the field '' of the sizes.
local key, order, sizes = KEYS[1], KEYS[2], KEYS[3]
local value, seconds, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local function forget(name)
  if redis.call('ZREM', order, name) == 0 then return end
  local size = tonumber(redis.call('HGET', sizes, name) or 0)
  redis.call('HDEL', sizes, name)
  redis.call('HINCRBY', sizes, '', whole(-size))
end

local function total() return tonumber(redis.call('HGET', sizes, '') or 0) end

local function oldest() return redis.call('ZRANGE', order, 0, 0)[1] end

forget(key)
redis.call('DEL', key)
if #value > most then return end
redis.call('SET', key, value, 'PX', whole(math.ceil(seconds * 1000)))
redis.call('ZADD', order, exact(now), key)
redis.call('HSET', sizes, key, #value)
redis.call('HINCRBY', sizes, '', #value)
-- Those whose time is over are the oldest ones, so they make room before any other.
while total() > most do
  local name = oldest()
  redis.call('DEL', name)
  forget(name)
end
live_at_least(order, seconds)
live_at_least(sizes, seconds)
