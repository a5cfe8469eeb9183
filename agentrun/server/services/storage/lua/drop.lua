-- ARGV: name, ttl, and the keys.
keep(name)
for place = 3, #ARGV do
    redis.call('HDEL', entries, ARGV[place])
    redis.call('ZREM', order, ARGV[place])
end
