-- A machine tells that it lives, and hears how all of them stand.
-- KEYS: epoch, ready, terms, beats, unsure. ARGV: machine, the beat that it left last, for how many microseconds the
-- name is of whoever left another one.
-- Gives {epoch, ready, terms, beats as they were, whether this machine is unsure, the beat that it left now; empty
-- where another broker lives under its name}. A beat is the store's time in microseconds.
local time = redis.call('TIME')
local beats, last = redis.call('HGETALL', KEYS[4]), redis.call('HGET', KEYS[4], ARGV[1])
local beat = string.format('%d%06d', time[1], time[2])
if last and last ~= ARGV[2] and tonumber(beat) - tonumber(last) < tonumber(ARGV[3]) then
  beat = ''
else
  redis.call('HSET', KEYS[4], ARGV[1], beat)
end
return {
  redis.call('GET', KEYS[1]) or '',
  redis.call('HGETALL', KEYS[2]),
  redis.call('HGETALL', KEYS[3]),
  beats,
  redis.call('SISMEMBER', KEYS[5], ARGV[1]),
  beat,
}
