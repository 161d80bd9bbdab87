-- Forgets whose a session is that never had a lease.
--
-- KEYS: the session. ARGV: gateway.
local known = redis.call('HMGET', KEYS[1], 'gateway', 'lease')
if known[1] == ARGV[1] and not known[2] then
    redis.call('DEL', KEYS[1])
end
return 1
