-- KEYS: a session; ARGV: the channel of stops. Answers the token of its run. The mark ! is for who misses the message.
local found = redis.call('GET', KEYS[1])
if found == false then return false end
local token = string.gsub(found, '!', '')
if found == token then
  redis.call('SET', KEYS[1], token .. '!', 'PX', math.max(1, redis.call('PTTL', KEYS[1])))
end
redis.call('PUBLISH', ARGV[1], token)
return token
