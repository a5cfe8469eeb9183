-- ARGV: name, ttl.
keep(name)
return redis.call('HGETALL', entries)
