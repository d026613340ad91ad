-- Make a guest's conversation an account's. ARGV: viewer. Answers adopted; the same again when it is repeated.
if run.owner == '' then
  redis.call('HSET', RUN, 'owner', ARGV[1], 'ttl', 0)
  redis.call('JSON.SET', DOC, '.owner', cjson.encode(ARGV[1]))
  each_key('PERSIST')
  -- Whoever watches as a guest has to come back as its owner.
  redis.call('SPUBLISH', DOC .. ':live', event_id(run.n) .. '\nlogin\n{}')
end
return {'adopted'}
