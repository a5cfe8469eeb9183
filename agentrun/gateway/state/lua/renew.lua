-- KEYS: the places; ARGV: seconds, and the leases.
local key, seconds = KEYS[1], tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', key, exact(now + seconds), ARGV[i]) end
live_at_least(key, seconds)
