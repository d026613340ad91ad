-- Take in a message. ARGV: viewer, message id, text, how many may wait, the title that a first message gives.
-- Answers accepted (message, position, event id), duplicate (message, outcome, position, reply), conflict or full.
local message_id, text, pending_max = ARGV[2], ARGV[3], tonumber(ARGV[4])

local function message(at)
  return cjson.encode({id = message_id, role = 'human', text = text, at = iso(at)})
end

-- Known ids come before the full queue: a repeat must get its first outcome, however many wait by now.
local known = recall(message_id)
if known then
  if known.hash ~= redis.sha1hex(text) then return {'conflict'} end
  touch()
  local waiting, reply = waiting_index(message_id), ''
  if tonumber(known.outcome) then reply = redis.call('JSON.GET', DOC, '.messages[' .. known.outcome .. ']') end
  return {'duplicate', message(known.at), known.outcome, waiting and waiting + (current_turn() and 1 or 0) or 0, reply}
end

local waiting = count('pending')
if waiting >= pending_max then return {'full'} end
local position = waiting + (current_turn() and 1 or 0)
if position == 0 then work() end
if run.n == 0 and redis.call('JSON.GET', DOC, '.title') == 'null' then
  redis.call('JSON.SET', DOC, '.title', cjson.encode(ARGV[5]))
end
remember(message_id, text)
redis.call('JSON.ARRAPPEND', DOC, '.pending', message(now))
-- A second's grace for the ring that follows; after that the sweep rings.
if not lease_lives() then ring_in(1000) end
append('accepted', '{"message":' .. message(now) .. ',"position":' .. position .. '}')
return {'accepted', message(now), position, event_id(run.n)}
