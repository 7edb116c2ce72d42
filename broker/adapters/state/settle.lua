-- Changes what is taken of windows, never below zero; a window that nothing is taken of stays so.
-- KEYS: terms, then the windows. ARGV: machine, the term in which its log has recorded it, then of each: the amount,
--       whether it is held by calls: then nothing is left of it where nobody holds any.
-- Gives 0; 1 where the machine's term has not begun here yet. What was recorded in an earlier term counts already.
local term, now = ARGV[2], redis.call('HGET', KEYS[1], ARGV[1])
if now ~= term then
  return (now and tonumber(now) > tonumber(term)) and 0 or 1
end
for i = 2, #KEYS do
  local taken, amount = redis.call('HGET', KEYS[i], term), ARGV[2 * i - 1]
  if taken and tonumber(taken) + tonumber(amount) > 0 then
    redis.call('HINCRBY', KEYS[i], term, amount)
  elseif taken and ARGV[2 * i] == '0' then
    redis.call('HSET', KEYS[i], term, '0')
  elseif taken then
    redis.call('HDEL', KEYS[i], term)
    if redis.call('HLEN', KEYS[i]) == 1 then
      redis.call('HDEL', KEYS[i], 'told')
    end
  end
end
return 0
