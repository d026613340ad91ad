-- Delete the conversation, work and all, and tell its watchers. ARGV: viewer. Answers deleted.
-- Not UNLINK: RedisJSON's documents share strings, which must not be freed in another thread.
each_key('DEL')
redis.call('ZREM', READY, id)
redis.call('ZREM', LEASED, id)
redis.call('SPUBLISH', DOC .. ':live', event_id(run.n) .. '\ngone\n{}')
return {'deleted'}
