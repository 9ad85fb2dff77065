-- Put filed messages back into the lists they were taken from.
--
-- KEYS[1] hash  unacknowledged messages by tag
-- KEYS[2] hash  what the consumer holds: tag -> list
-- KEYS[3] zset  consumers by their last sign of life, in ms
-- KEYS[4..]     lists to put them back into
-- ARGV[1] the consumer
-- ARGV[2] latest sign of life, in ms, that still counts as silence; '+inf' whatever it is
-- ARGV[3] RPUSH: they are the next to be taken, LPUSH: the last
-- then for each message its tag, the place of its list in KEYS, and itself, or '' where nothing is filed under the tag
--
-- Returns how many were put back, or -1 if the consumer is not silent. A consumer that holds nothing more is forgotten.
local seen = redis.call('ZSCORE', KEYS[3], ARGV[1])
if seen and ARGV[2] ~= '+inf' and tonumber(seen) > tonumber(ARGV[2]) then
    return -1
end
local restored = 0
for place = 4, #ARGV, 3 do
    local tag, list, message = ARGV[place], KEYS[tonumber(ARGV[place + 1])], ARGV[place + 2]
    if message ~= '' and redis.call('HEXISTS', KEYS[1], tag) == 1 then
        redis.call(ARGV[3], list, message)
        restored = restored + 1
    end
    redis.call('HDEL', KEYS[1], tag)
    redis.call('HDEL', KEYS[2], tag)
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('ZREM', KEYS[3], ARGV[1])
end
return restored
