-- ARGV: name, ttl, and a key, which is empty for the last one.
local key = ARGV[3]
if key == '' then key = redis.call('ZREVRANGE', order, 0, 0)[1] end
keep(name)
local value = key and redis.call('HGET', entries, key)
return value and {key, value}
