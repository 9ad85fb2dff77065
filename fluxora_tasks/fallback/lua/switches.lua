-- All switches, if anything changed.
--
-- KEYS[1] hash  as in change.lua
-- ARGV[1] version known
--
-- Returns nothing if that is still it, else {now in ms, field, value, ...}. Clock: the server's.
if (redis.call('HGET', KEYS[1], 'v') or '0') == ARGV[1] then
    return false
end
local clock = redis.call('TIME')
local answer = redis.call('HGETALL', KEYS[1])
table.insert(answer, 1, string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)))
return answer
