-- Keep a message until it is due.
--
-- KEYS[1] zset  delayed messages by due time, in ms: '<list>\0<message>'
-- ARGV[1] ms from now   [2] '<list>\0<message>'
--
-- Returns 1. Clock: the server's, so that those of producers and workers may differ.
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[1], clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1], ARGV[2])
return 1
