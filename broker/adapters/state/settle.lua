-- Changes what is taken of windows, never below zero; a window that nothing is held of stays so.
-- KEYS: terms, then the windows. ARGV: machine, the term in which its log has recorded it, then each amount.
-- Gives 0; 1 where the machine's term has not begun here yet. What was recorded in an earlier term counts already.
local term, now = ARGV[2], redis.call('HGET', KEYS[1], ARGV[1])
if now ~= term then
  return (now and tonumber(now) > tonumber(term)) and 0 or 1
end
for i = 2, #KEYS do
  local held, amount = redis.call('HGET', KEYS[i], term), ARGV[i + 1]
  if held and tonumber(held) + tonumber(amount) > 0 then
    redis.call('HINCRBY', KEYS[i], term, amount)
  elseif held and redis.call('TTL', KEYS[i]) < 0 then
    redis.call('HDEL', KEYS[i], term)
  elseif held then
    redis.call('HSET', KEYS[i], term, '0')
  end
end
return 0
