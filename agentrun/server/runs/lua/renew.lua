-- KEYS: a session; ARGV: the token of its run, milliseconds. Answers 'held', 'stopped' or 'lost'.
local found = redis.call('GET', KEYS[1])
-- A Redis that forgot everything gets its runs back.
if found == false then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 'held'
end
if found ~= ARGV[1] and found ~= ARGV[1] .. '!' then return 'lost' end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return found == ARGV[1] and 'held' or 'stopped'
