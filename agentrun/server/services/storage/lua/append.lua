-- ARGV: name, ttl, how many stay or -1, and the values. Answers with the number of the last one.
local is_new_index = make()
local most = tonumber(ARGV[3])
local number = tonumber(redis.call('ZREVRANGE', order, 0, 0)[1] or 0)
for place = 4, #ARGV do
    number = number + 1
    set(string.format('%020d', number), ARGV[place])
end
local over = most >= 0 and redis.call('ZCARD', order) - most or 0
if over > 0 then
    for _, key in ipairs(redis.call('ZRANGE', order, 0, over - 1)) do redis.call('HDEL', entries, key) end
    redis.call('ZREMRANGEBYRANK', order, 0, over - 1)
end
made(is_new_index)
return number
