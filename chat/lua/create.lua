-- Make a conversation. ARGV: id, name, owner ('' for a guest), time to live in seconds (0 for none).
local doc, run = KEYS[1], KEYS[2]
local id, name, owner, ttl = unpack(ARGV)
if redis.call('EXISTS', doc, run) > 0 then return {'exists'} end
redis.call('JSON.SET', doc, '$', '{"id":' .. cjson.encode(id) .. ',"name":' .. cjson.encode(name)
  .. ',"owner":' .. (owner == '' and 'null' or cjson.encode(owner)) .. ',"title":null,"started_at":"' .. iso(now)
  .. '","messages":[],"pending":[],"turn":null,"replaced":[]}')
local server = history()
redis.call('HSET', run, 'schema', 1, 'server', server, 'epoch', new_epoch(server, id), 'n', 0, 'trimmed', 0,
  'owner', owner, 'ttl', ttl)
if ttl ~= '0' then
  redis.call('EXPIRE', doc, ttl)
  redis.call('EXPIRE', run, ttl)
end
return {'created'}
