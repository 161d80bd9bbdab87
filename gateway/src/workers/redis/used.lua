-- How many slots are taken. KEYS: the workers' slots.
local time = redis.call('TIME')
local alive = '(' .. time[1] * 1000 + math.floor(time[2] / 1000)
local used = 0
for _, slots in ipairs(KEYS) do
    used = used + redis.call('ZCOUNT', slots, alive, '+inf')
end
return used
