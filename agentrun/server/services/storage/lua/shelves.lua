-- ARGV: nothing, ttl, the position to begin behind, and how many. Answers with positions and names.
local after, limit = ARGV[3], tonumber(ARGV[4])
local found = {}
while #found < 2 * limit do
    local some = redis.call('ZRANGEBYSCORE', index, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, 2 * limit)
    if #some == 0 then break end
    for place = 1, #some, 2 do
        local shelf = some[place]
        after = some[place + 1]
        if shelf ~= '' and #found < 2 * limit then
            if redis.call('EXISTS', entries_of(shelf)) == 1 then
                found[#found + 1] = after
                found[#found + 1] = shelf
            else
                redis.call('ZREM', index, shelf)
            end
        end
    end
end
return found
