-- Set the title. ARGV: viewer, title. Answers ok (the snapshot).
redis.call('JSON.SET', DOC, '.title', cjson.encode(ARGV[2]))
touch()
return {'ok', snapshot()}
