-- Stands before every other script. The time is the server's, so the clocks of the gateways do not matter.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local SLOTS = 240

-- Numbers travel as text: Redis would cut off their fraction, and Lua writes large ones with an exponent.
local function whole(number) return string.format('%.0f', number) end
local function exact(number) return string.format('%.17g', number) end

local function live_at_least(key, seconds)
  local milliseconds = math.ceil(seconds * 1000)
  if redis.call('PTTL', key) < milliseconds then
    redis.call('PEXPIRE', key, whole(milliseconds))
  end
end

-- The counts of the slots from `first` to `last`, as numbers, 0 for those without.
local function counts(key, first, last)
  local names = {}
  for slot = first, last do names[#names + 1] = whole(slot) end
  local found = #names > 0 and redis.call('HMGET', key, unpack(names)) or {}
  for i = 1, #names do found[i] = tonumber(found[i] or 0) end
  return found, names
end

-- A window is a hash: a count by slot number, and `total`, `first` and `last` of the slots in it.
local function window(key, seconds)
  local width = seconds / SLOTS
  local slot = math.floor(now / width)
  local known = redis.call('HMGET', key, 'total', 'first', 'last')
  local self = {key = key, width = width, seconds = seconds, slot = slot}
  self.total, self.first, self.last = tonumber(known[1] or 0), tonumber(known[2] or slot), tonumber(known[3] or slot)
  if self.last < slot - SLOTS then
    redis.call('DEL', key)
    self.total, self.first, self.last = 0, slot, slot
  elseif self.first < slot - SLOTS then
    local found, names = counts(key, self.first, slot - SLOTS - 1)
    for _, count in ipairs(found) do self.total = self.total - count end
    redis.call('HDEL', key, unpack(names))
    self.first = slot - SLOTS
    redis.call('HSET', key, 'total', whole(self.total), 'first', whole(self.first))
  end
  return self
end

local function ends(self, slot) return (slot + SLOTS + 1) * self.width end

local function add(self, amount)
  -- A clock that was set back counts into a slot before the last one, even before the first.
  self.total, self.first, self.last = self.total + amount, math.min(self.first, self.slot), math.max(self.last, self.slot)
  redis.call('HINCRBY', self.key, whole(self.slot), whole(amount))
  redis.call('HSET', self.key, 'total', whole(self.total), 'first', whole(self.first), 'last', whole(self.last))
  redis.call('PEXPIRE', self.key, whole(math.ceil((ends(self, self.last) - now) * 1000)))
end
