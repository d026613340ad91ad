-- Take up the next turn. ARGV: '*', a name for this call, lease in ms, strikes that end a turn, why, as JSON.
-- Answers turn (the turn, the last four messages, the fence), busy or idle; last the message whose turn it has ended.
local name, lease_ms, strikes_max, given_up = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local lost = ''

local function answer(turn)
  return {'turn', turn, redis.call('JSON.GET', DOC, '$.messages[-4:]'), run.fence, lost}
end

if run.fence and string.find(run.fence, name, 1, true) == 1 then return answer(redis.call('JSON.GET', DOC, '.turn')) end
if lease_lives() then return {'busy'} end

local turn = current_turn()
if turn then
  -- A lease that lapsed and that no sweep has seen yet; the sweep and `release` take the lease away.
  local strikes = tonumber(run.strikes or 0) + (run.lease and 1 or 0)
  if strikes >= strikes_max then
    end_turn(turn, 'failed', given_up)
    turn, lost = nil, turn.message_id
  else
    redis.call('HSET', RUN, 'strikes', strikes)
    turn.attempt = turn.attempt + 1
    tally('recoveries')
  end
end
if not turn then
  local message = redis.call('JSON.ARRPOP', DOC, '.pending', 0)
  if not message then
    redis.call('ZREM', READY, id)
    touch()
    return {'idle', lost}
  end
  redis.call('JSON.ARRAPPEND', DOC, '.messages', message)
  local message_id = cjson.decode(message).id
  turn = {message_id = message_id, reply_id = redis.sha1hex(name .. event_id(run.n)), attempt = 1}
  local known = recall(message_id)
  local accepted = run.retrying == message_id and run.retried or known and known.at or now
  redis.call('HSET', RUN, 'accepted', accepted, 'started', now)
  redis.call('HDEL', RUN, 'retrying', 'retried')
  settle(message_id, 'running')
end
turn.started_at = iso(now)

-- What an earlier attempt wrote is dropped; `started` tells the clients to do the same.
redis.call('UNLINK', PARTIAL, DELTAS)
redis.call('HDEL', RUN, 'length', 'first_text')
-- Of one turn only: a copy of this call that comes late must not hand the next turn to who still writes this one.
run.fence = name .. '-' .. event_id(run.n)
redis.call('HSET', RUN, 'fence', run.fence)
lease(lease_ms)
redis.call('JSON.SET', DOC, '.turn', cjson.encode(turn))
append('started', cjson.encode({message_id = turn.message_id, reply_id = turn.reply_id, attempt = turn.attempt}))
return answer(cjson.encode(turn))
