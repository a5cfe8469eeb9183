-- KEYS: windows; ARGV: limit, seconds and amount of each. Answers when, and of each: what is left, how long until it
-- is empty, and how long until there is room ('0' when it was taken, 'inf' when never).
local windows, waits, fits = {}, {}, true

local function wait(self, limit, amount)
  local missing = self.total + amount - limit
  if missing <= 0 then return '0' end
  for i, count in ipairs((counts(self.key, self.first, self.last))) do
    missing = missing - count
    if missing <= 0 then return exact(ends(self, self.first + i - 1) - now) end
  end
  return 'inf'
end

for i, key in ipairs(KEYS) do
  windows[i] = window(key, tonumber(ARGV[3 * i - 1]))
  waits[i] = wait(windows[i], tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i]))
  fits = fits and waits[i] == '0'
end

local answer = {exact(now)}
for i, self in ipairs(windows) do
  if fits then add(self, tonumber(ARGV[3 * i])) end
  answer[#answer + 1] = whole(math.max(0, tonumber(ARGV[3 * i - 2]) - self.total))
  answer[#answer + 1] = self.total > 0 and exact(ends(self, self.last) - now) or '0'
  answer[#answer + 1] = waits[i]
end
return answer
