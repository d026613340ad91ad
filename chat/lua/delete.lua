-- Delete the conversation, work and all, and tell its watchers. ARGV: viewer. Answers deleted.
each_key('UNLINK')
redis.call('ZREM', READY, id)
redis.call('ZREM', LEASED, id)
redis.call('SPUBLISH', DOC .. ':live', event_id(run.n) .. '\ngone\n{}')
return {'deleted'}
