-- Keep a probe's lease alive.
--
-- KEYS[1] zset  l  probes under way: lease -> when it runs out, in ms
-- ARGV[1] now in ms, or '' for the server's clock    [2] lease    [3] ms of a lease
--
-- Returns 1, or 0 if the lease is gone.
local now = tonumber(ARGV[1])
if not now then
    local clock = redis.call('TIME')
    now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
if not redis.call('ZSCORE', KEYS[1], ARGV[2]) then
    return 0
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3]), ARGV[2])
local left = math.max(2 * ARGV[3], redis.call('PTTL', KEYS[1]))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left))
return 1
