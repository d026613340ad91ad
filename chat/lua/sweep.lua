-- Find work that nobody does. KEYS: the bucket's ready and leased sets. ARGV: ms until a named one is named again.
-- Answers at most 100 ids to ring for.
local ready, leased, most = KEYS[1], KEYS[2], 100
local bucket = string.match(ready, '^({.*}:)')
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, most)) do
  local run = bucket .. id .. ':run'
  -- Asked first: while the slot moves to another node of a cluster this fails, and nothing must have been done.
  local there = redis.call('EXISTS', run) == 1
  redis.call('ZREM', leased, id)
  if there then
    redis.call('HINCRBY', run, 'strikes', 1)
    redis.call('HDEL', run, 'lease')
    redis.call('ZADD', ready, now, id)
  end
end
local due = redis.call('ZRANGEBYSCORE', ready, '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(due) do redis.call('ZADD', ready, now + ARGV[1], id) end
return due
