-- Reservations are let in: all machines that live have written what they hold.
-- KEYS: epoch, ready, terms. ARGV: incarnation, how many must be ready, these; then those whose part must be there.
-- Gives whether they are open.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return 1
end
local ready = tonumber(ARGV[2])
for i = 3, #ARGV do
  if i < 3 + ready and redis.call('HGET', KEYS[2], ARGV[i]) ~= ARGV[1] then
    return 0
  end
  if redis.call('HEXISTS', KEYS[3], ARGV[i]) == 0 then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
