-- KEYS: who is left out. Answers targets, each followed by its seconds.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', exact(now))
local answer = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #answer, 2 do answer[i] = exact(tonumber(answer[i]) - now) end
return answer
