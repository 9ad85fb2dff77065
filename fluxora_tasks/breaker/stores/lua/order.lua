-- What an operator wants of a circuit.
--
-- ARGV[24] who   [25] why   [26] generation that the circuit must have, or ''   [27] override, open_for or reset
-- override: [28] which, NONE ends the one there is   [29] ms, 0: without end   [30] 1: FORCED_OPEN ends in HALF_OPEN
-- open_for: [28] ms
--
-- Says 1; 0 where the circuit has another generation: then nothing was done.
actor, why = ARGV[24], ARGV[25]

-- The state stays where it is, but that FORCED_CLOSED pins it to CLOSED.
local function override(wanted, length, soft)
    local previous = effective()
    if wanted == 'FORCED_CLOSED' and c.st ~= 'CLOSED' then
        begin('CLOSED', 'manual')
    else
        renumber()
        no_round()
        put('reason', 'manual')
    end
    put('ovr', wanted)
    put('ovr_until', length > 0 and now + length or 0)
    put('ovr_by', actor)
    put('ovr_why', why)
    put('soft', soft and 1 or 0)
    put('exceeded', 0)
    tell('override_set', previous, wanted, c.reason, {'until_ms', whole(c.ovr_until)})
end

local function open_by_hand(length)
    local previous = effective()
    no_override()
    local _, facts = open('manual', length, {})
    tell('opened', previous, 'OPEN', c.reason, facts)
end

local function reset()
    local previous = effective()
    no_override()
    put('att', 0)
    put('failed', 0)
    begin('CLOSED', 'reset')
    tell('reset', previous, 'CLOSED', c.reason, {})
end

local function obey()
    local order = ARGV[27]
    if order == 'open_for' then
        open_by_hand(tonumber(ARGV[28]))
    elseif order == 'reset' then
        reset()
    elseif ARGV[28] ~= 'NONE' then
        override(ARGV[28], tonumber(ARGV[29]), ARGV[30] == '1')
    elseif c.ovr ~= 'NONE' then
        release(ARGV[30] == '1')
    end
end

load()
if ARGV[26] ~= '' and tonumber(ARGV[26]) ~= c.gen then
    return finish({0})
end
take_up()
obey()
return finish({1})
