-- Move messages that are due into their lists.
--
-- KEYS[1] zset  delayed messages by due time, in ms: '<list>\0<message>'
-- KEYS[2..]     lists to move to; messages for others stay
-- ARGV[1] due messages to look at
--
-- Returns how many were moved. Clock: the server's.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local wanted, moved = {}, 0
for place = 2, #KEYS do
    wanted[KEYS[place]] = true
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
    local cut = string.find(member, '\0', 1, true)
    local list = string.sub(member, 1, cut - 1)
    if wanted[list] then
        redis.call('LPUSH', list, string.sub(member, cut + 1))
        redis.call('ZREM', KEYS[1], member)
        moved = moved + 1
    end
end
return moved
