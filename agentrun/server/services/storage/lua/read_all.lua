-- ARGV: nothing, ttl. Answers with the name and the entries of each shelf.
local found = {}
for _, shelf in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    if shelf ~= '' then
        keep(shelf)
        found[#found + 1] = shelf
        found[#found + 1] = redis.call('HGETALL', entries_of(shelf))
    end
end
return found
