-- Renew the lease. ARGV: '*', fence, lease in ms. Answers go, stop or fenced.
if run.fence ~= ARGV[2] then return fenced() end
keep_lease(tonumber(ARGV[3]))
return {run.stop and 'stop' or 'go'}
