-- What every step shares; each script is this file and its own (see scripts.py).
--
-- KEYS[1] hash    s  the circuit at rest, see FIELDS
-- KEYS[2] hash    w  ring of buckets: slot -> 'number:calls:failures:slow', 'r:<worker>' -> number of the bucket of its
--                    last failure or slow call, g -> 'ms of a bucket:buckets:number:calls:failures:slow' of the last
--                    report: how it looked at the window, its bucket, and the sums of the window with it
-- KEYS[3] zset    l  probes under way: lease -> when it runs out, in ms
-- KEYS[4] stream  e  history
-- ARGV[1] name          [2] now in ms, or '' for the server's clock    [3] chance, 0 to below 1
-- ARGV[4] who asks, '' in an operator's order                          [5] channel of changes
-- ARGV[6] ms of a bucket       [7] buckets            [8] calls below which no rate counts
-- ARGV[9] failure rate         [10] slow rate         [11] failures without success, or 0   [12] reporters needed
-- ARGV[13] cooldown in ms      [14] multiplier        [15] longest cooldown in ms           [16] jitter
-- ARGV[17] ms that take one opening off               [18] probes                           [19] successes needed
-- ARGV[20] probes at once      [21] ms of a lease     [22] ms of a round, or 0              [23] digest of all this
-- ARGV[24..] as each script says
--
-- Answers with a list: what the script says, then the fields of a snapshot (see snapshot() below).
-- machine.py is the same rules; the conformance tests play the same histories on both.
local FIELDS = {
    'sv', 'gen', 'since', 'until', 'closed_since', 'att', 'issued', 'ok', 'bad', 'lost', 'ovr_until', 'failed',
    'late', 'refused', 'soft', 'exceeded', 'st', 'reason', 'ovr', 'ovr_by', 'ovr_why', 'cfg', 'cfg_other',
}
local SCHEMA, NUMBERS, DAY, MONTH, LOST_AT_LEAST = 1, 16, 86400000, 2592000000, 3
local floor = math.floor

local now = tonumber(ARGV[2])
if not now then
    local clock = redis.call('TIME')
    now = clock[1] * 1000 + floor(clock[2] / 1000)
end
local reporter, actor, why = ARGV[4], '', ''

local function whole(number)
    return string.format('%.0f', number)
end

-- ------------------------------------------------------------------------------------------------ at rest

local c, changed, kept, moved = {}, {}, false, false

local function put(field, value)
    if c[field] ~= value then
        c[field] = value
        changed[#changed + 1] = field
        changed[#changed + 1] = type(value) == 'number' and whole(value) or value
    end
end

local function load()
    local stored = redis.call('HMGET', KEYS[1], unpack(FIELDS))
    local ours = tonumber(stored[1]) == SCHEMA
    for place, field in ipairs(FIELDS) do
        local value = ours and stored[place]
        if place <= NUMBERS then
            c[field] = value and tonumber(value) or 0
        else
            c[field] = value or ''
        end
    end
    if not ours then
        c.st, c.ovr, c.gen = 'CLOSED', 'NONE', 0
    end
    return ours, tonumber(stored[2]) or 0
end

-- kept: a day after the last change or report, longer while something is due; an override without end stays.
local function keep()
    if c.ovr ~= 'NONE' and c.ovr_until == 0 then
        redis.call('PERSIST', KEYS[1])
    else
        local due = math.max(now, c['until'], c.ovr_until)
        redis.call('PEXPIRE', KEYS[1], whole(due - now + DAY + tonumber(ARGV[6])))
    end
end

local function effective()
    return c.ovr == 'NONE' and c.st or c.ovr
end

-- ------------------------------------------------------------------------------------------------- window

local function current_bucket()
    return floor(now / tonumber(ARGV[6]))
end

-- What g begins with if the last report was of the bucket of now, and looked at the window as this policy does.
local function shape()
    return ARGV[6] .. ':' .. ARGV[7] .. ':' .. whole(current_bucket())
end

-- The sums of the window and the bucket of now as the last report left them, without a look at all buckets; nil if it
-- was of another bucket or policy.
local function glance()
    local stored = redis.call('HMGET', KEYS[2], 'g', current_bucket() % tonumber(ARGV[7]))
    local of, calls, failures, slow = string.match(stored[1] or '', '^(%d+:%d+:%d+):(%d+):(%d+):(%d+)$')
    if of ~= shape() then return nil end
    local here = {string.match(stored[2], '^%d+:(%d+):(%d+):(%d+)$')}
    here.is_now = true
    return {calls = tonumber(calls), failures = tonumber(failures), slow = tonumber(slow), here = here}
end

-- Sums of the window, who failed in it, and what is where the bucket of now belongs: that bucket, or one that a policy
-- with more buckets put there.
local function look()
    local width, current = tonumber(ARGV[7]), current_bucket()
    local w = {calls = 0, failures = 0, slow = 0, reporters = 0, seen = {}, old = {}, here = false}
    local all = redis.call('HGETALL', KEYS[2])
    for i = 1, #all, 2 do
        local number, calls, failures, slow = string.match(all[i + 1], '^(%d+):(%d+):(%d+):(%d+)$')
        number = tonumber(number or all[i + 1])
        local held = number and current - width < number and number <= current
        if calls and held then
            w.calls, w.failures, w.slow = w.calls + calls, w.failures + failures, w.slow + slow
            if tonumber(all[i]) == current % width then
                w.here = {calls, failures, slow, is_now = number == current}
            end
        elseif number and not calls and held then
            w.reporters = w.reporters + 1
            w.seen[string.sub(all[i], 3)] = true
        elseif number and not calls then
            w.old[#w.old + 1] = all[i]
        end
    end
    return w
end

-- ------------------------------------------------------------------------------------------------ history

local function tell(event, previous, current, reason, facts)
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', 256, '*', 'at', whole(now), 'event', event, 'previous', previous,
        'current', current, 'gen', whole(c.gen), 'reason', reason, 'reporter', reporter, 'actor', actor, 'why', why,
        unpack(facts))
    redis.call('PEXPIRE', KEYS[4], whole(MONTH))
end

local function with_override(facts)
    if c.ovr ~= 'NONE' then
        facts[#facts + 1], facts[#facts + 2] = 'override', c.ovr
    end
    return facts
end

-- ------------------------------------------------------------------------------------------------ changes

local function renumber()
    put('gen', math.max(c.gen + 1, now))
    kept, moved = true, true
end

local function no_round()
    put('issued', 0)
    put('ok', 0)
    put('bad', 0)
    put('lost', 0)
    redis.call('DEL', KEYS[3])
end

-- A new life in this state.
local function begin(state, reason, keep_window)
    renumber()
    put('st', state)
    put('reason', reason)
    put('since', now)
    put('closed_since', now)
    put('until', 0)
    no_round()
    if not keep_window then
        redis.call('DEL', KEYS[2])
    end
end

local function no_override()
    put('ovr', 'NONE')
    put('ovr_until', 0)
    put('ovr_by', '')
    put('ovr_why', '')
    put('soft', 0)
    put('exceeded', 0)
end

-- By repeated multiplication, to the last bit what cooldown.py computes.
local function curve(attempt)
    local length, multiplier, longest = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
    for _ = 1, attempt - 1 do
        if length == 0 or length >= longest or multiplier == 1 then break end
        length = length * multiplier
    end
    return math.min(length, longest)
end

local function next_attempt()
    if c.att > 0 and curve(c.att) >= tonumber(ARGV[15]) then
        return c.att
    end
    return math.min(c.att + 1, 1000)
end

-- OPEN for so many ms, or for the cooldown of the next attempt.
local function open(reason, length, tally)
    local previous, attempt = c.st, next_attempt()
    length = length or floor(curve(attempt) * (1 + ARGV[16] * ARGV[3]) + 0.5)
    begin('OPEN', reason)
    put('att', attempt)
    put('until', now + length)
    local facts = tally
    for _, fact in ipairs({'attempts', whole(attempt), 'until_ms', whole(c['until'])}) do
        facts[#facts + 1] = fact
    end
    return previous, facts
end

local function open_by_itself(reason, length, tally)
    local previous, facts = open(reason, length, tally)
    tell('opened', previous, 'OPEN', reason, with_override(facts))
end

local function half_open()
    begin('HALF_OPEN', 'cooldown_over')
    tell('half_opened', 'OPEN', 'HALF_OPEN', c.reason, with_override({'attempts', whole(c.att)}))
end

local function round_tally()
    return {'ok', whole(c.ok), 'bad', whole(c.bad), 'lost', whole(c.lost)}
end

-- CLOSED or OPEN as soon as the results, the losses or the time of a round are enough for it.
local function decide()
    local probes, required, longest = tonumber(ARGV[18]), tonumber(ARGV[19]), tonumber(ARGV[22])
    if c.bad > probes - required then
        open_by_itself('probes_failed', nil, round_tally())
    elseif c.ok >= required then
        local tally = round_tally()
        begin('CLOSED', 'probes_succeeded')
        tell('closed', 'HALF_OPEN', 'CLOSED', c.reason, with_override(tally))
    elseif c.lost >= math.max(probes, LOST_AT_LEAST) then
        open_by_itself('probes_lost', nil, round_tally())
    elseif longest > 0 and now >= c.since + longest then
        open_by_itself('half_open_max', nil, round_tally())
    end
end

-- The end of an override; FORCED_CLOSED alone keeps the window, FORCED_OPEN may lead to probing.
local function release(soft)
    local previous = c.ovr
    local state = soft and previous == 'FORCED_OPEN' and 'HALF_OPEN' or 'CLOSED'
    no_override()
    put('att', 0)
    begin(state, 'override_ended', previous == 'FORCED_CLOSED')
    tell('override_ended', previous, state, c.reason, {})
end

-- ------------------------------------------------------------------------------------- what time does

-- An override that is over ends; time CLOSED takes openings off.
local function pass()
    if c.ovr ~= 'NONE' and c.ovr_until > 0 and c.ovr_until <= now then
        local asking = {reporter, actor, why}
        reporter, actor, why = '', '', ''
        release(c.soft == 1)
        reporter, actor, why = unpack(asking)
    end
    if c.st == 'CLOSED' and c.att > 0 then
        local length = tonumber(ARGV[17])
        local steps = math.min(c.att, floor((now - c.closed_since) / length))
        if steps > 0 then
            put('att', c.att - steps)
            put('closed_since', c.closed_since + steps * length)
        end
    end
end

-- The circuit as it is now; one that nobody knows, or that the server forgot, begins now.
local function take_up()
    local known, generation = load()
    if not known then
        if generation > 0 then -- of another version, whose fields mean nothing
            redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
        end
        put('sv', SCHEMA)
        put('gen', math.max(generation + 1, now))
        put('since', now)
        put('closed_since', now)
        kept = true
        changed[#changed + 1], changed[#changed + 2] = 'st', c.st
        changed[#changed + 1], changed[#changed + 2] = 'ovr', c.ovr
    end
    pass()
end

-- The policy of whoever asks is in force; two that take turns are told once, not with each report.
local function note_policy()
    local ours, theirs = ARGV[23], c.cfg
    if ours == theirs then return end
    local known = theirs == '' or ours == c.cfg_other
    put('cfg', ours)
    put('cfg_other', theirs)
    if not known then
        tell('policy_mismatch', theirs, ours, c.reason, {})
    end
end

local function awaken()
    local frozen = c.ovr == 'FORCED_OPEN' or c.ovr == 'DISABLED'
    if not frozen and c.st == 'OPEN' and now >= c['until'] then
        half_open()
    end
end

-- ------------------------------------------------------------------------------------------- the answer

local function announce()
    redis.call('PUBLISH', ARGV[5], cjson.encode({
        name = ARGV[1], state = c.st, generation = c.gen, since_ms = c.since, until_ms = c['until'],
        attempts = c.att, reason = c.reason, override = c.ovr, override_until_ms = c.ovr_until,
        override_by = c.ovr_by, override_why = c.ovr_why, digest = c.cfg, now_ms = now,
    }))
end

local function save()
    if #changed > 0 then
        redis.call('HSET', KEYS[1], unpack(changed))
    end
    if kept then
        keep()
    end
    if moved then
        announce()
    end
end

local function finish(answer, w)
    save()
    local counts = {calls = 0, failures = 0, slow = 0}
    if c.st == 'CLOSED' then
        counts = w or glance() or look()
    end
    for _, value in ipairs({
        c.st, c.gen, now, c.since, c['until'], c.att, c.reason, c.ovr, c.ovr_until, c.ovr_by, c.ovr_why,
        counts.calls, counts.failures, counts.slow, c.failed, c.cfg, c.issued, c.ok, c.bad, c.lost,
    }) do
        answer[#answer + 1] = value
    end
    return answer
end
