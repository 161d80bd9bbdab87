-- Writes leases that a gateway holds, whether they are there or not: what was lost is there again.
--
-- KEYS: the stream's sessions; then for each lease its worker's slots and its session.
-- ARGV: length in ms, gateway, how long a set is kept in ms; then for each lease its name, session and worker's instance.
local length, gateway, kept = unpack(ARGV, 1, 3)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + length

local sets, sessions = { [KEYS[1]] = true }, {}
for i = 2, #KEYS, 2 do
    local at = i / 2 * 3 + 1
    local slots, hash, lease, session, worker = KEYS[i], KEYS[i + 1], ARGV[at], ARGV[at + 1], ARGV[at + 2]
    sets[slots] = true
    sessions[#sessions + 1] = ends
    sessions[#sessions + 1] = session
    redis.call('ZADD', slots, ends, lease)
    -- Two gateways may have placed one session while this store was away: the first to be here again is asked for it.
    local known = redis.call('HMGET', hash, 'gateway', 'lease')
    if not known[1] or known[1] == gateway then
        if known[2] ~= lease then
            redis.call('HSET', hash, 'gateway', gateway, 'worker', worker, 'lease', lease)
        end
        redis.call('PEXPIRE', hash, length)
    end
end
redis.call('ZADD', KEYS[1], unpack(sessions))
for set in pairs(sets) do
    redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
    redis.call('PEXPIRE', set, kept)
end
return 1
