-- Give a probe's lease back with its result. Done twice, it is done once.
--
-- ARGV[24] generation   [25] lease   [26] success, failure or excluded   [27] 1: it was slow
--
-- Says nothing beside the snapshot.
local generation, lease, result, slow = tonumber(ARGV[24]), ARGV[25], ARGV[26], ARGV[27] == '1'

-- An excluded result decides nothing and gives the slot back.
local function tally()
    if result == 'excluded' then
        put('issued', c.issued - 1)
        put('lost', c.lost + 1)
    elseif result == 'failure' or slow then
        put('bad', c.bad + 1)
    else
        put('ok', c.ok + 1)
    end
    if result == 'failure' then
        put('failed', now)
    end
    decide()
end

local known = load()
if known then
    pass()
    if generation ~= c.gen then
        if result ~= 'excluded' then
            put('late', c.late + 1)
        end
    elseif redis.call('ZREM', KEYS[3], lease) == 1 then
        tally()
    end
end
return finish({})
