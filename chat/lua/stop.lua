-- Stop the turn of a message. ARGV: viewer, message id. Answers stopping, stopped, finished or unknown.
local message_id = ARGV[2]
local turn = current_turn()
if turn and turn.message_id == message_id then
  if lease_lives() then
    redis.call('HSET', RUN, 'stop', message_id)
    return {'stopping'}
  end
  end_turn(turn, 'stopped', '')
  return {'stopped'}
end

local index = waiting_index(message_id)
if not index then
  local known = recall(message_id)
  if not known then return {'unknown'} end
  local stopped = known.outcome == 'withdrawn' or tonumber(known.outcome)
    and redis.call('JSON.GET', DOC, '.messages[' .. known.outcome .. '].status') == '"stopped"'
  return {stopped and 'stopped' or 'finished'}
end

local message = redis.call('JSON.ARRPOP', DOC, '.pending', index)
local restored = ''
if run.retrying == message_id then
  -- A retry that is withdrawn puts message and reply back where they were.
  local reply = redis.call('JSON.ARRPOP', DOC, '.replaced')
  redis.call('JSON.ARRAPPEND', DOC, '.messages', message, reply)
  settle(message_id, count('messages') - 1)
  redis.call('HDEL', RUN, 'retrying', 'retried')
  restored = ',"restored":' .. reply
else
  settle(message_id, 'withdrawn')
end
append('stopped', '{"message_id":' .. cjson.encode(message_id) .. ',"withdrawn":true' .. restored .. '}')
if not turn and count('pending') == 0 then
  redis.call('ZREM', READY, id)
  rest()
end
return {'stopped'}
