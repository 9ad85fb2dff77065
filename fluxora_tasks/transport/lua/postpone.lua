-- Give a message back that came before its time: it waits among the delayed ones.
--
-- KEYS[1] hash  unacknowledged messages by tag
-- KEYS[2] hash  what the consumer holds: tag -> list
-- KEYS[3] zset  delayed messages by due time, in ms: '<list>\0<message>'
-- ARGV[1] tag   [2] ms from now   [3] '<list>\0<message>'
--
-- Returns 1, or 0 where nothing is filed under the tag. Clock: the server's.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    return 0
end
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[3], clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2], ARGV[3])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
