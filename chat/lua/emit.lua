-- Add a delta to the reply. ARGV: '*', fence, lease in ms, offset, units, text, the event's data.
-- Answers go, stop or fenced.
local fence, lease_ms, offset, units = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if run.fence ~= fence or not deliver(offset, units, ARGV[6], ARGV[7]) then return fenced() end
keep_lease(lease_ms)
return {run.stop and 'stop' or 'go'}
