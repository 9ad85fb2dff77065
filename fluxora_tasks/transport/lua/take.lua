-- Settle what is done and take messages, in one step: whatever leaves a list is filed in the same moment.
--
-- KEYS[1] hash  unacknowledged messages: tag -> '[message,"","queue"]', the form in which kombu files them
-- KEYS[2] hash  what this consumer holds: tag -> list it came from
-- KEYS[3] zset  consumers by their last sign of life, in ms
-- KEYS[4] zset  delayed messages by due time, in ms: '<list>\0<message>'
-- KEYS[5..]     lists to take from, ordered by priority, then by queue
-- ARGV[1] this consumer, or '' where nothing is filed   [2] messages to take at most    [3] number of the first tag
-- ARGV[4] queues                     [5] 1: one of each queue in turn, 0: earlier queues first
-- ARGV[6] due messages to look at    [7] tags that are done, followed by them
-- then for every queue the end of its filed form, or '' where messages need no acknowledgement
--
-- Returns {ms until the next delayed message is due or -1, lists of those that are due now,
--          place of a list, message, place of a list, message, ...}.
-- Files before it pops: a server out of memory refuses the first and allows the second.
-- Clock: the server's.
local consumer, limit, number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local width, fair, done = tonumber(ARGV[4]), ARGV[5] == '1', tonumber(ARGV[7])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

if done > 0 then
    redis.call('HDEL', KEYS[1], unpack(ARGV, 8, 7 + done))
    redis.call('HDEL', KEYS[2], unpack(ARGV, 8, 7 + done))
end
if consumer ~= '' then
    redis.call('ZADD', KEYS[3], now, consumer)
end

local answer, filed, held, popped = {-1, {}}, {}, {}, {}

local function choose(place, message)
    local ending = ARGV[8 + done + (place - 5) % width]
    if ending ~= '' then
        local tag = consumer .. ':' .. number
        filed[#filed + 1], filed[#filed + 2] = tag, '[' .. message .. ending
        held[#held + 1], held[#held + 2] = tag, KEYS[place]
    end
    number, limit = number + 1, limit - 1
    popped[place] = (popped[place] or 0) + 1
    answer[#answer + 1], answer[#answer + 2] = place - 5, message
end

-- without a queue the step would be 0, and the loop without an end
for first = 5, #KEYS, math.max(width, 1) do
    if limit <= 0 then break end
    local waiting = {}
    for place = first, first + width - 1 do
        waiting[place] = redis.call('LRANGE', KEYS[place], -limit, -1)
    end
    repeat
        local any = false
        for place = first, first + width - 1 do
            while limit > 0 and #waiting[place] > 0 do
                choose(place, table.remove(waiting[place]))
                any = true
                if fair then break end
            end
        end
    until limit <= 0 or not any
end

if #filed > 0 then
    redis.call('HSET', KEYS[1], unpack(filed))
    redis.call('HSET', KEYS[2], unpack(held))
end
for place, count in pairs(popped) do
    redis.call('RPOP', KEYS[place], count)
end

local next_due = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
if next_due then
    answer[1] = math.max(0, next_due - now)
end
if answer[1] == 0 then
    local seen = {}
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, ARGV[6])) do
        local list = string.sub(member, 1, string.find(member, '\0', 1, true) - 1)
        if not seen[list] then
            seen[list] = true
            table.insert(answer[2], list)
        end
    end
end
return answer
