-- Fold in what a worker saw.
--
-- ARGV[24] generation, 0: of a worker that has not heard of the circuit yet   [25] calls   [26] failures   [27] slow
-- ARGV[28] ms that a failure opens for at once, 0: a cooldown, '': none does  [29] calls it refused
--
-- Says nothing beside the snapshot.
local generation, calls, failures, slow = tonumber(ARGV[24]), tonumber(ARGV[25]), tonumber(ARGV[26]), tonumber(ARGV[27])
local trip, refused = tonumber(ARGV[28]), tonumber(ARGV[29])
local w

local function packed(of, ...)
    return string.format('%s:%.0f:%.0f:%.0f', of, ...)
end

-- The counts in the bucket of now, and the reporter among those who failed; a glance is enough for no verdict.
local function add(bad, is_judged)
    local width, current = tonumber(ARGV[7]), current_bucket()
    w = not is_judged and glance() or look()
    local here = {0, 0, 0}
    local is_new = not (w.here and w.here.is_now)
    if not is_new then
        here = w.here
    elseif w.here then
        w.calls, w.failures, w.slow = w.calls - w.here[1], w.failures - w.here[2], w.slow - w.here[3]
    end
    w.calls, w.failures, w.slow = w.calls + calls, w.failures + failures, w.slow + slow
    local fields = {
        current % width, packed(whole(current), here[1] + calls, here[2] + failures, here[3] + slow),
        'g', packed(shape(), w.calls, w.failures, w.slow),
    }
    if bad then
        if #w.old > 0 then
            redis.call('HDEL', KEYS[2], unpack(w.old))
        end
        if not w.seen[reporter] and w.reporters < 32 then
            w.seen[reporter], w.reporters = true, w.reporters + 1
        end
        if w.seen[reporter] then
            fields[#fields + 1], fields[#fields + 2] = 'r:' .. reporter, whole(current)
        end
    end
    redis.call('HSET', KEYS[2], unpack(fields))
    if is_new then
        redis.call('PEXPIRE', KEYS[2], whole(ARGV[6] * (width + 2)))
        kept = true
    end
end

-- The rule that the window breaks, or ''; reaching a threshold is enough.
local function exceeded()
    if w.reporters < tonumber(ARGV[12]) then return '' end
    if trip then return 'tripped' end
    if w.calls >= tonumber(ARGV[8]) then
        if w.failures / w.calls >= tonumber(ARGV[9]) then return 'failure_rate' end
        if w.slow / w.calls >= tonumber(ARGV[10]) then return 'slow_rate' end
    end
    local all_failed = tonumber(ARGV[11])
    if all_failed > 0 and w.failures >= w.calls and w.failures >= all_failed then return 'all_failed' end
    return ''
end

local function window_tally()
    return {'calls', whole(w.calls), 'failures', whole(w.failures), 'slow', whole(w.slow)}
end

-- FORCED_CLOSED: a threshold that is reached is told, once until the counts are below it again.
local function watch(bad, reason)
    if not bad or reason == '' or c.exceeded == 1 then
        if reason == '' then put('exceeded', 0) end
        return
    end
    put('exceeded', 1)
    tell('threshold_exceeded', c.ovr, c.ovr, reason, window_tally())
end

local function count()
    local bad = failures > 0 or slow > 0 or trip ~= nil
    local is_judged = bad or c.ovr == 'FORCED_CLOSED'
    add(bad, is_judged)
    if not is_judged then return end
    local reason = exceeded()
    if c.ovr == 'FORCED_CLOSED' then
        watch(bad, reason)
    elseif reason ~= '' then
        local length
        if reason == 'tripped' and trip > 0 then
            length = math.min(trip, tonumber(ARGV[15]))
        end
        open_by_itself(reason, length, window_tally())
    end
end

-- METRICS_ONLY beyond CLOSED: calls that would have been refused, or been probes (see probing.shadow_counted).
local function shadow()
    if calls == 0 then return end
    if c.st == 'OPEN' then
        put('refused', c.refused + calls)
        awaken()
        return
    end
    local bad = math.min(calls, math.max(failures, slow))
    local probes = math.min(calls, math.max(0, ARGV[18] - c.issued))
    local failed = floor((2 * probes * bad + calls) / (2 * calls))
    put('issued', c.issued + probes)
    put('ok', c.ok + probes - failed)
    put('bad', c.bad + failed)
    put('refused', c.refused + calls - probes)
    decide()
end

local function is_late()
    if c.st == 'CLOSED' then
        return generation ~= 0 and generation ~= c.gen
    end
    return generation ~= c.gen or c.ovr ~= 'METRICS_ONLY'
end

local function fold()
    if c.ovr == 'DISABLED' then return end
    put('refused', c.refused + refused)
    if c.ovr == 'FORCED_OPEN' or (calls == 0 and failures == 0 and slow == 0 and not trip) then return end
    if is_late() then
        put('late', c.late + calls)
        return
    end
    if failures > 0 then
        put('failed', now)
    end
    if c.st == 'CLOSED' then
        count()
    else
        shadow()
    end
end

take_up()
note_policy()
fold()
return finish({}, w)
