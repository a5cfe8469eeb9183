-- KEYS: who is left out, a sorted set by the end of it; ARGV: the target, seconds.
local key, seconds = KEYS[1], tonumber(ARGV[2])
if seconds <= 0 then
  redis.call('ZREM', key, ARGV[1])
  return
end
redis.call('ZADD', key, exact(now + seconds), ARGV[1])
live_at_least(key, seconds)
