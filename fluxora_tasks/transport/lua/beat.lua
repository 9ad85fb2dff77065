-- A consumer's sign of life; whoever may look and is the first to do so is told which others are silent.
--
-- KEYS[1] zset    consumers by their last sign of life, in ms
-- KEYS[2] string  taken by the one who looks, for the time of one look
-- ARGV[1] this consumer         [2] ms without a sign that count as silence
-- ARGV[3] 1: it may look        [4] ms until somebody may look again
--
-- Returns {now in ms, consumer, its last sign in ms, ...}. Clock: the server's.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
local answer = {now}
if ARGV[3] == '1' and redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[4]) then
    local silent = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2], 'WITHSCORES', 'LIMIT', 0, 100)
    for place = 1, #silent, 2 do
        answer[#answer + 1], answer[#answer + 2] = silent[place], tonumber(silent[place + 1])
    end
end
return answer
