-- What every script begins with: the index of an owner, and of one shelf its entries and their keys in order.
-- An index has the shelves by position, and under an empty name the position given last. Entries have their position
-- under an empty key, so that an empty shelf is there too.
local index, entries, order = KEYS[1], KEYS[2], KEYS[3]
local name, ttl = ARGV[1], tonumber(ARGV[2])

local function entries_of(shelf) return index .. ':e:' .. shelf end

-- Keeps a shelf for so long from now; its index lives as long as the shelf in it that lives longest.
local function keep(shelf, is_new_index)
    local keys = {entries_of(shelf), index .. ':o:' .. shelf}
    if ttl == 0 then return end
    for _, key in ipairs(keys) do redis.call('PEXPIRE', key, ttl) end
    local left = redis.call('PTTL', index)
    if is_new_index or (left >= 0 and left < ttl) then redis.call('PEXPIRE', index, ttl) end
end

-- Makes the shelf when it is missing.
local function make()
    local is_new_index = redis.call('EXISTS', index) == 0
    if redis.call('EXISTS', entries) == 0 then
        local position = redis.call('ZINCRBY', index, 1, '')
        redis.call('ZADD', index, position, name)
        redis.call('HSET', entries, '', position)
        redis.call('DEL', order)
    end
    return is_new_index
end

-- To be called when the writing is done: what was new has no time to live before.
local function made(is_new_index)
    if ttl == 0 then
        for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end
    end
    keep(name, is_new_index)
end

local function set(key, value)
    redis.call('HSET', entries, key, value)
    redis.call('ZADD', order, 0, key)
end
