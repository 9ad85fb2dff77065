-- Note that circuits are in use.
--
-- KEYS[1] zset  name -> when it was last heard of, in ms
-- ARGV[1] now in ms, or '' for the server's clock   [2] ms after which a name is forgotten   [3..] names
local now = tonumber(ARGV[1])
if not now then
    local clock = redis.call('TIME')
    now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
for place = 3, #ARGV do
    redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[place])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.status_reply('OK')
