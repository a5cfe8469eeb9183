-- KEYS: the stream of a run, who writes it, who reads it; ARGV: what is said of the run, milliseconds of the writer's
-- lease, milliseconds for which the stream is kept, how many entries at most, '1' at the end, then ids and frames.
-- Answers the number that a reader elsewhere has, or nothing.
-- What was added before, and not heard of, is refused a second time.
for i = 6, #ARGV, 2 do redis.pcall('XADD', KEYS[1], ARGV[i], 'f', ARGV[i + 1]) end
redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[5] == '1' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return redis.call('GET', KEYS[3])
