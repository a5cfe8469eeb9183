-- ARGV: name, ttl, whether to replace, and keys with their values.
local is_new_index = make()
for place = 4, #ARGV, 2 do
    if ARGV[3] == '1' or redis.call('HEXISTS', entries, ARGV[place]) == 0 then set(ARGV[place], ARGV[place + 1]) end
end
made(is_new_index)
