-- KEYS: windows; ARGV: when it was taken, how much more it is, and the seconds of each window.
local at, amount = tonumber(ARGV[1]), tonumber(ARGV[2])

local function give_back(self, slot, most)
  local counted = tonumber(redis.call('HGET', self.key, whole(slot)) or 0)
  local back = math.min(counted, most)
  if back > 0 then
    redis.call('HINCRBY', self.key, whole(slot), whole(-back))
    redis.call('HINCRBY', self.key, 'total', whole(-back))
  end
end

for i, key in ipairs(KEYS) do
  local self = window(key, tonumber(ARGV[2 + i]))
  if amount > 0 then
    add(self, amount)
  else
    give_back(self, math.floor(at / self.width), -amount)
  end
end
