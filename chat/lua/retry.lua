-- Answer the last message again. ARGV: viewer, message id, id of the reply to replace.
-- Answers accepted, duplicate, not_last_turn or busy.
local message_id, reply_id = ARGV[2], ARGV[3]
local retry_of = function(path)
  for _, reply in ipairs(cjson.decode(redis.call('JSON.GET', DOC, path))) do
    if reply.id == reply_id and reply.reply_to == message_id then return reply end
  end
end

if retry_of('$.replaced[*]') then return {'duplicate'} end
if not retry_of('$.messages[-1:]') then return {'not_last_turn'} end
if current_turn() or count('pending') > 0 then return {'busy'} end

work()
redis.call('JSON.ARRAPPEND', DOC, '.replaced', redis.call('JSON.ARRPOP', DOC, '.messages'))
redis.call('JSON.ARRTRIM', DOC, '.replaced', -REPLACED_MAX, -1)
local message = redis.call('JSON.ARRPOP', DOC, '.messages')
redis.call('JSON.ARRAPPEND', DOC, '.pending', message)
-- Its waiting time counts from now on.
if recall(message_id) then settle(message_id, 'waiting') else remember(message_id, cjson.decode(message).text) end
redis.call('HSET', RUN, 'retrying', message_id, 'retried', now)
ring_in(1000)
append('accepted', '{"message":' .. message .. ',"position":0,"retry":true}')
return {'accepted'}
