-- End the turn. ARGV: '*', fence, status, the failure as JSON or '', then the last delta as in emit.
-- Answers done (how many wait) or fenced; the same again when it is repeated.
local fence, status, failure = ARGV[2], ARGV[3], ARGV[4]
if run.finished == fence then return {'done', tonumber(run.finished_waiting)} end
if run.fence ~= fence or not deliver(tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]) then return fenced() end
local waiting = end_turn(current_turn(), status, failure)
redis.call('HSET', RUN, 'finished', fence, 'finished_waiting', waiting)
return {'done', waiting}
