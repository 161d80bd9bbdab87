-- Gives leases back.
--
-- KEYS: the stream's sessions; then for each lease its worker's slots and its session.
-- ARGV: for each lease its name and session; the lease that its session still has and that one's worker, or two empty
-- ones.
for i = 2, #KEYS, 2 do
    local slots, hash = KEYS[i], KEYS[i + 1]
    local lease, session, left, worker = unpack(ARGV, 2 * i - 3, 2 * i)
    redis.call('ZREM', slots, lease)
    -- Another lease in it: the session moved, or came again, before this was told. Not ours to remove.
    if redis.call('HGET', hash, 'lease') == lease then
        if left ~= '' then
            redis.call('HSET', hash, 'worker', worker, 'lease', left)
        else
            redis.call('DEL', hash)
            redis.call('ZREM', KEYS[1], session)
        end
    end
end
return 1
