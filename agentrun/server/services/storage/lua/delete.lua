-- ARGV: name, ttl. The index stays, so that a position is given once.
redis.call('DEL', entries, order)
redis.call('ZREM', index, name)
