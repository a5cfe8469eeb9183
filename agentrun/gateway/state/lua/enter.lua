-- KEYS: the places, a sorted set of leases by their end; ARGV: how many there are, seconds, the new lease.
local key, seconds = KEYS[1], tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', key, '-inf', exact(now))
if redis.call('ZCARD', key) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', key, exact(now + seconds), ARGV[3])
live_at_least(key, seconds)
return 1
