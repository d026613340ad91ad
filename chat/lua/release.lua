-- Give the turn back at once. ARGV: '*', fence, strikes to add (0 or 1), ms until it is rung for.
-- Answers released or fenced.
if run.fence ~= ARGV[2] then return fenced() end
if run.stop then
  end_turn(current_turn(), 'stopped', '')
  return {'released'}
end
redis.call('HDEL', RUN, 'fence', 'lease')
-- As in keep_lease: what a sweep took for a death was none.
redis.call('HINCRBY', RUN, 'strikes', ARGV[3] - (run.lease and 0 or 1))
ring_in(tonumber(ARGV[4]))
return {'released'}
