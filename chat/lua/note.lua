-- Note that an account's conversation has changed. KEYS: account, its chats, changed ones. ARGV: conversation id,
-- '1' if that was a use of it, '1' for a new one. Answers 1, or 0 where account or entry are gone: what was deleted is
-- not brought back.
local id, used, new = unpack(ARGV)
if new == '1' then
  if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
elseif not redis.call('ZSCORE', KEYS[2], id) then
  return 0
end
if used == '1' then redis.call('ZADD', KEYS[2], string.format('%.0f', clock[1] * 1000000 + clock[2]), id) end
redis.call('SADD', KEYS[3], id)
return 1
