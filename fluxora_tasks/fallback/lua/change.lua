-- Set or unset one switch, note it in the history and tell everybody.
--
-- KEYS[1] hash    'v' -> version, '<kind>:<name>' -> '<since ms> <until ms, 0: no end> <value>\n<the rest, JSON>'
-- KEYS[2] stream  changes
-- ARGV[1] field                 [2] value, '' to unset it    [3] the rest
-- ARGV[4] ms it stays set, 0: without an end                 [5] actor    [6] why
-- ARGV[7] length of the stream  [8] its ttl in s             [9] channel
--
-- Returns {since ms, until ms}, or nothing where there was nothing to unset. Clock: the server's.
-- What has ended is removed. The hash outlives its last switch by a day, and stays while one has no end.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local previous, latest, endless = '', now, false

local function counts(till)
    if till == 0 then endless = true end
    latest = math.max(latest, till)
end

local all = redis.call('HGETALL', KEYS[1])
for place = 1, #all, 2 do
    local till, value = string.match(all[place + 1], '^%d+ (%d+) ([^\n]*)\n')
    till = tonumber(till)
    if till and till > 0 and till <= now then
        redis.call('HDEL', KEYS[1], all[place])
    elseif till and all[place] == ARGV[1] then
        previous = value
    elseif till then
        counts(till)
    end
end

local till = 0
if ARGV[2] ~= '' then
    if ARGV[4] ~= '0' then till = now + ARGV[4] end
    counts(till)
    redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f %s\n%s', now, till, ARGV[2], ARGV[3]))
elseif previous ~= '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
else
    return false
end

-- microseconds, so that it grows even if the server forgot everything a moment ago
local version = math.max(clock[1] * 1000000 + clock[2], (tonumber(redis.call('HGET', KEYS[1], 'v')) or 0) + 1)
version = string.format('%.0f', version)
redis.call('HSET', KEYS[1], 'v', version)
if endless then
    redis.call('PERSIST', KEYS[1])
else
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', latest + 86400000))
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '*', 'at', string.format('%.0f', now), 'id', ARGV[1],
    'previous', previous, 'current', ARGV[2], 'actor', ARGV[5], 'why', ARGV[6], 'until', string.format('%.0f', till))
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('PUBLISH', ARGV[9], version)
return {now, till}
