-- What an absent machine last held counts again, where the store has lost it.
-- KEYS: terms, replay. ARGV: machine, term, a name for this attempt. Gives 0 where it was emptied meanwhile.
if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return 1
