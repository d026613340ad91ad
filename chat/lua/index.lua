-- Keep what is searched of a conversation. KEYS: the account's chats, changed ones, where it is kept.
-- ARGV: conversation id, its account, text, '1' while a reply is on its way. Answers when it was used last, or nothing.
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not at then return at end
redis.call('HSET', KEYS[3], 'owner', ARGV[2], 'at', at, 'text', ARGV[3])
if ARGV[4] == '1' then redis.call('SADD', KEYS[2], ARGV[1]) end
return at
