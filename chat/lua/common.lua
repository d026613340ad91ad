-- In front of every script: the clock. Scripts take the time from Redis, never from a client.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Names this history of the data: another one begins with each restart and each time that a replica takes over. Not the
-- server's run_id: a primary that has lost its place and got it back would pass for one that has lost nothing.
-- Where a host hides it, what is lost goes unnoticed. A first replica, be it `redis-cli --rdb`, changes it for nothing.
local function history()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or 'hidden'
end

-- Not math.random: its sequence is the same in every run of a script.
local function new_epoch(server, id)
  return string.sub(redis.sha1hex(server .. id .. clock[1] .. clock[2]), 1, 8)
end

-- ISO 8601 in UTC. The sandbox has no os.date; days to date after Howard Hinnant's civil_from_days.
local function iso(ms)
  local div = function(a, b) return math.floor(a / b) end
  local z = div(ms, 86400000) + 719468
  local era = div(z, 146097)
  local doe = z - era * 146097
  local yoe = div(doe - div(doe, 1460) + div(doe, 36524) - div(doe, 146096), 365)
  local doy = doe - (365 * yoe + div(yoe, 4) - div(yoe, 100))
  local mp = div(5 * doy + 2, 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local s = div(ms, 1000) % 86400
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, doy - div(153 * mp + 2, 5) + 1,
    div(s, 3600), div(s, 60) % 60, s % 60, ms % 1000)
end
