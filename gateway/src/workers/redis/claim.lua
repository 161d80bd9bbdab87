-- Takes a slot on the nearest of the candidates that has one free; among the nearest on the least loaded, among equals
-- on the first.
--
-- KEYS: the stream's sessions, the session, then the candidates' slots.
-- ARGV: session, lease, its length in ms, gateway, the stream's limit, how long a set is kept in ms; then for each
-- candidate, the nearest first, its instance, its capacity, and a number for how far it is. What stands in place of the
-- lease, whose name has a `-`: `look` takes no slot, and notes for the length whose the session is; `yields` does so even
-- if there is no slot.
-- Returns the candidate's number from 1; 0: none has a free slot; -1: the stream is full; -2: another gateway has this
-- session.
local session, lease, length, gateway, limit, kept = unpack(ARGV, 1, 6)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local alive = '(' .. now

local owner = redis.call('HGET', KEYS[2], 'gateway')
if owner and owner ~= gateway then
    return -2
end
local function own()
    redis.call('HSET', KEYS[2], 'gateway', gateway)
    redis.call('PEXPIRE', KEYS[2], length)
end
if lease == 'yields' then
    own()
    return 1
end
local until_ = redis.call('ZSCORE', KEYS[1], session)
if not (until_ and tonumber(until_) > now) and redis.call('ZCOUNT', KEYS[1], alive, '+inf') >= tonumber(limit) then
    return -1
end

local best, least, distance
for i = 3, #KEYS do
    local at = 3 * i - 2
    if best and ARGV[at + 2] ~= distance then
        break
    end
    local load = redis.call('ZCOUNT', KEYS[i], alive, '+inf')
    if load < tonumber(ARGV[at + 1]) and (not least or load < least) then
        best, least, distance = i, load, ARGV[at + 2]
        if load == 0 then
            break
        end
    end
end
if not best then
    return 0
end
if lease == 'look' then
    own()
    return best - 2
end

for _, member in ipairs({ { KEYS[best], lease }, { KEYS[1], session } }) do
    redis.call('ZREMRANGEBYSCORE', member[1], '-inf', now)
    redis.call('ZADD', member[1], now + length, member[2])
    redis.call('PEXPIRE', member[1], kept)
end
redis.call('HSET', KEYS[2], 'gateway', gateway, 'worker', ARGV[3 * best - 2], 'lease', lease)
redis.call('PEXPIRE', KEYS[2], length)
return best - 2
