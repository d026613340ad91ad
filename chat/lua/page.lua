-- A page of history. ARGV: viewer, index that it ends before ('' for the end), how many at the most.
-- Answers ok (messages, index of the first, how many there are in all).
local total = count('messages')
local before = math.min(tonumber(ARGV[2]) or total, total)
local first = math.max(before - tonumber(ARGV[3]), 0)
touch()
if before == first then return {'ok', '[]', first, total} end
return {'ok', redis.call('JSON.GET', DOC, '$.messages[' .. first .. ':' .. before .. ']'), first, total}
