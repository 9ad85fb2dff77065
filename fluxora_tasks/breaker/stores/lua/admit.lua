-- Ask for a permit: one without a lease where everybody may call, a probe's, or none.
--
-- ARGV[24] lease
--
-- Says {granted 0 or 1, a lease 0 or 1, refused: the earliest time at which asking again makes sense}.
-- A refused request makes no key live longer.
local lease, probes, longest = ARGV[24], tonumber(ARGV[18]), tonumber(ARGV[22])

-- Leases that ran out, and those that the server forgot: their slots come back, each counts as lost.
local function reap()
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', whole(now))
    local live = redis.call('ZCARD', KEYS[3])
    local gone = c.issued - c.ok - c.bad - live
    if gone > 0 then
        put('issued', c.issued - gone)
        put('lost', c.lost + gone)
        tell('probe_lost', c.st, c.st, c.reason, {'count', whole(gone), 'lost', whole(c.lost)})
    end
    decide()
end

local function grant()
    local asked_before = redis.call('ZSCORE', KEYS[3], lease)
    if not asked_before then
        if c.issued >= probes or redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[20]) then
            return false
        end
        put('issued', c.issued + 1)
    end
    redis.call('ZADD', KEYS[3], whole(now + ARGV[21]), lease)
    redis.call('PEXPIRE', KEYS[3], whole(math.max(2 * ARGV[21], redis.call('PTTL', KEYS[3]))))
    return true
end

local function ask_again()
    local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
    local time = tonumber(first[2]) or now
    if longest > 0 then
        time = first[2] and math.min(time, c.since + longest) or c.since + longest
    end
    return time
end

local function answer()
    if c.ovr == 'FORCED_OPEN' then
        return {0, 0, c.ovr_until > 0 and c.ovr_until or now + ARGV[13]}
    end
    if c.ovr == 'NONE' and c.st == 'HALF_OPEN' then
        reap()
    end
    if c.ovr ~= 'NONE' or c.st == 'CLOSED' then
        return {1, 0, 0}
    elseif c.st == 'OPEN' then
        return {0, 0, c['until']}
    elseif grant() then
        return {1, 1, 0}
    end
    return {0, 0, ask_again()}
end

take_up()
note_policy()
awaken()
return finish(answer())
