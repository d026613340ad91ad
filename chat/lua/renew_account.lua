-- End every session of an account by a new generation, and set its password where one is given.
-- KEYS: the account. ARGV: what is kept of the password, or ''. Answers the generation, 0 when there is no account.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[1] ~= '' then redis.call('JSON.SET', KEYS[1], '.password', cjson.encode(ARGV[1])) end
return redis.call('JSON.NUMINCRBY', KEYS[1], '.generation', 1)
