-- KEYS: the stream of a run, who writes it; ARGV: what is said of the run, milliseconds of the writer's lease.
-- Answers 1, or 0 while the run is under way.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
