-- In front of every script that works on one conversation: it must exist and be open to the caller.
-- KEYS come in the order of chat/keys.py. ARGV[1] is who asks: an account, '' for a guest, '*' for a worker.
local SCHEMA, LOG_MAX, IDS_MAX, REPLACED_MAX = 1, 256, 1000, 20
local DOC, RUN, PARTIAL, IDS, LOG, DELTAS, READY, LEASED, COUNTS = unpack(KEYS)
local id = string.match(DOC, '}:(.*)$')

local run = {}
local fields = redis.call('HGETALL', RUN)
for i = 1, #fields, 2 do run[fields[i]] = fields[i + 1] end

if not run.epoch or redis.call('EXISTS', DOC) == 0 then
  redis.call('ZREM', READY, id)
  redis.call('ZREM', LEASED, id)
  return {'gone'}
end
if tonumber(run.schema) > SCHEMA then
  -- Its work is left to newer workers: to us it is named once a minute.
  if ARGV[1] == '*' then redis.call('ZADD', READY, 'XX', now + 60000, id) end
  return {'schema_too_new'}
end
if run.owner ~= '' and run.owner ~= ARGV[1] and ARGV[1] ~= '*' then return {'gone'} end

run.n = tonumber(run.n)
local server = history()
if run.server ~= server then
  -- A restart may have lost the last second, a promoted replica may have lagged: old positions prove nothing.
  run.epoch = new_epoch(server, id)
  redis.call('HSET', RUN, 'server', server, 'epoch', run.epoch)
end

-- What /metrics tells of turns is counted where it happens: nothing that dies takes a count with it.
local function tally(name, by) redis.call('HINCRBY', COUNTS, name, by or 1) end
local function observe(name, ms)
  local limit = 50
  while limit < ms and limit < 102400 do limit = limit * 2 end
  tally(name .. ':' .. (limit < ms and 'inf' or limit))
  tally(name .. ':sum', ms)
end
-- A renewal that comes just after its turn was finished is no lost one.
local function fenced()
  if run.finished ~= ARGV[2] then tally('fenced') end
  return {'fenced'}
end

local function event_id(n) return run.epoch .. '-' .. n end

-- Store an event and tell of it, in this order and in one script: nothing is published that is not stored.
local function append(kind, data)
  run.n = run.n + 1
  redis.call('HSET', RUN, 'n', run.n)
  if kind == 'delta' then
    redis.call('XADD', DELTAS, '0-' .. run.n, 'type', kind, 'data', data)
  else
    if redis.call('XLEN', LOG) >= LOG_MAX then
      local oldest = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1][1]
      redis.call('HSET', RUN, 'trimmed', string.sub(oldest, 3))
    end
    redis.call('XADD', LOG, 'MAXLEN', LOG_MAX, '0-' .. run.n, 'type', kind, 'data', data)
  end
  redis.call('SPUBLISH', DOC .. ':live', event_id(run.n) .. '\n' .. kind .. '\n' .. data)
end

-- A guest's conversation lives for its time to live after its last use; while work waits or runs it has none.
local function each_key(command, ...)
  for _, key in ipairs({DOC, RUN, PARTIAL, IDS, LOG, DELTAS}) do redis.call(command, key, ...) end
end
local function rest() if run.ttl ~= '0' then each_key('EXPIRE', run.ttl) end end
local function work() if run.ttl ~= '0' then each_key('PERSIST') end end
local function touch()
  local left = redis.call('PTTL', RUN)
  if left >= 0 and left < run.ttl * 1000 - 1000 then rest() end
end

-- The accepted ids, newest IDS_MAX: id -> "sha1 of the text, when, outcome"; '#' counts them, '#<n>' is the n-th.
-- An outcome is waiting, running, withdrawn, or the index of the reply in messages.
local function remember(message_id, text)
  local seq = redis.call('HINCRBY', IDS, '#', 1)
  redis.call('HSET', IDS, '#' .. seq, message_id, message_id, redis.sha1hex(text) .. ' ' .. now .. ' waiting')
  local oldest = redis.call('HGET', IDS, '#' .. (seq - IDS_MAX))
  if oldest then redis.call('HDEL', IDS, oldest, '#' .. (seq - IDS_MAX)) end
end
local function recall(message_id)
  local known = redis.call('HGET', IDS, message_id)
  if not known then return nil end
  local hash, at, outcome = string.match(known, '^(%S+) (%S+) (%S+)$')
  return {hash = hash, at = tonumber(at), outcome = outcome}
end
local function settle(message_id, outcome)
  local known = recall(message_id)
  if known then redis.call('HSET', IDS, message_id, known.hash .. ' ' .. known.at .. ' ' .. outcome) end
end

local function current_turn()
  local raw = redis.call('JSON.GET', DOC, '.turn')
  return raw ~= 'null' and cjson.decode(raw) or nil
end
local function count(list) return redis.call('JSON.ARRLEN', DOC, '.' .. list) end
local function waiting_index(message_id)
  for i, other in ipairs(cjson.decode(redis.call('JSON.GET', DOC, '$.pending[*].id'))) do
    if other == message_id then return i - 1 end
  end
end

-- Work with a living lease is in LEASED only, work without one in READY only.
local function lease_lives() return tonumber(run.lease or 0) > now end
local function lease(ms)
  redis.call('HSET', RUN, 'lease', now + ms)
  redis.call('ZADD', LEASED, now + ms, id)
  redis.call('ZREM', READY, id)
end
-- The holder of the fence goes on: if a sweep has counted its silence as a strike, it was none.
local function keep_lease(ms)
  if not run.lease then redis.call('HINCRBY', RUN, 'strikes', -1) end
  lease(ms)
end
local function ring_in(ms)
  redis.call('ZREM', LEASED, id)
  redis.call('ZADD', READY, 'LT', now + ms, id)
end

-- Add a piece of the running reply. False when it begins beyond the end: then the store has lost what came before.
local function deliver(offset, units, text, data)
  local length = tonumber(run.length or 0)
  if offset > length then return false end
  if offset == length and units > 0 then
    redis.call('APPEND', PARTIAL, text)
    redis.call('HSET', RUN, 'length', length + units)
    if not run.first_text then
      run.first_text = now
      redis.call('HSET', RUN, 'first_text', now)
    end
    append('delta', data)
  end
  return true
end

-- The one end of a turn: its reply is stored and told of. `failure` is '' or a JSON object, kept with the reply too, so
-- that who comes later learns why as well. Returns how many wait.
local function end_turn(turn, status, failure)
  local accepted, started = tonumber(run.accepted or now), tonumber(run.started or now)
  tally('turns:' .. status .. ':' .. (failure ~= '' and cjson.decode(failure).code or ''))
  observe('waited', started - accepted)
  if run.first_text then observe('first_text', run.first_text - accepted) end
  local reply = cjson.encode({
    id = turn.reply_id, role = 'bot', text = redis.call('GET', PARTIAL) or '', at = iso(now),
    reply_to = turn.message_id, status = status,
    timing = {
      waited_ms = started - accepted, total_ms = now - accepted,
      first_text_ms = run.first_text and tonumber(run.first_text) - accepted or nil,
    },
  })
  if failure ~= '' then reply = string.sub(reply, 1, -2) .. ',"failure":' .. failure .. '}' end
  settle(turn.message_id, redis.call('JSON.ARRAPPEND', DOC, '.messages', reply) - 1)
  redis.call('JSON.SET', DOC, '.turn', 'null')
  redis.call('UNLINK', PARTIAL, DELTAS)
  redis.call('HDEL', RUN, 'fence', 'lease', 'strikes', 'stop', 'length', 'accepted', 'started', 'first_text')
  run.fence, run.lease, run.strikes, run.stop, run.length, run.first_text = nil, nil, nil, nil, nil, nil
  append(status, '{"message":' .. reply .. (failure ~= '' and ',' .. string.sub(failure, 2) or '}'))
  local waiting = count('pending')
  if waiting > 0 then
    ring_in(0)
  else
    redis.call('ZREM', READY, id)
    redis.call('ZREM', LEASED, id)
    rest()
  end
  return waiting
end

-- The conversation as a client needs it to draw the page and to go on from here, all of one moment.
local function snapshot()
  local get = function(path) return redis.call('JSON.GET', DOC, path) end
  local turn = current_turn()
  if turn then turn.text = redis.call('GET', PARTIAL) or '' end
  return '{"id":' .. get('.id') .. ',"name":' .. get('.name') .. ',"title":' .. get('.title')
    .. ',"started_at":' .. get('.started_at') .. ',"messages":' .. get('$.messages[-50:]')
    .. ',"total":' .. count('messages') .. ',"pending":' .. get('.pending')
    .. ',"turn":' .. (turn and cjson.encode(turn) or 'null') .. ',"position":"' .. event_id(run.n) .. '"}'
end

-- A stop whose worker has died meanwhile is carried out by whoever comes next.
if run.stop and not lease_lives() then end_turn(current_turn(), 'stopped', '') end
