-- A machine's term begins: what it has written under that term counts from now on, what is under the one before does not.
-- KEYS: ready, terms, unsure, replay. ARGV: incarnation, machine, term.
-- Gives 1; 0 where the store was emptied meanwhile: then it writes all of it once more.
if redis.call('GET', KEYS[4]) ~= ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[2])
redis.call('DEL', KEYS[4])
return 1
