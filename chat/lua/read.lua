-- What came after a position. ARGV: viewer, epoch, n, how many at the most.
-- Answers events (epoch, newest n, milestones, deltas), or reset (snapshot, its event id).
local epoch, n, limit = ARGV[2], tonumber(ARGV[3]), ARGV[4]
touch()
if epoch ~= run.epoch or n > run.n or n < tonumber(run.trimmed) then return {'reset', snapshot(), event_id(run.n)} end
local after = function(stream) return redis.call('XRANGE', stream, '(0-' .. ARGV[3], '+', 'COUNT', limit) end
return {'events', run.epoch, run.n, after(LOG), after(DELTAS)}
