-- KEYS: what was spent; ARGV: amount and seconds of each, 'inf' for ever.
for i, key in ipairs(KEYS) do
  redis.call('INCRBY', key, ARGV[2 * i - 1])
  local seconds = tonumber(ARGV[2 * i])
  if seconds < math.huge then redis.call('PEXPIRE', key, whole(math.ceil(seconds * 1000))) end
end
