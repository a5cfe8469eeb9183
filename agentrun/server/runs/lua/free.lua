-- KEYS: a session; ARGV: the token of its run.
local found = redis.call('GET', KEYS[1])
if found == ARGV[1] or found == ARGV[1] .. '!' then redis.call('DEL', KEYS[1]) end
