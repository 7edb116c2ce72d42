-- Takes all charges of a call, or none.
-- KEYS: epoch, ready, terms; then for each charge the window that it takes of, and those that count besides.
-- ARGV: incarnation, machine, term; then for each charge: amount, cap, expiry (unix seconds; 0: never), how many windows
--       count besides.
-- Gives {0, what is taken of each limit …}, or why not: {1, place of the first charge over its cap, what is taken},
-- {2}: not all machines have said what they hold, {3, the machine's term}, {4}: a window has long ended.
local incarnation, machine, term = ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', KEYS[1]) ~= incarnation or redis.call('HGET', KEYS[2], machine) ~= incarnation then
  return {2}
end
local current = redis.call('HGET', KEYS[3], machine)
if current ~= term then
  return {3, current or ''}
end
local counts = {}
for _, each in ipairs(redis.call('HVALS', KEYS[3])) do
  counts[each] = true
end
local now = tonumber(redis.call('TIME')[1])
local sums = {}
local function taken(window)
  if not sums[window] then
    local sum, held = 0, redis.call('HGETALL', window)
    for i = 1, #held, 2 do
      if counts[held[i]] then
        sum = sum + tonumber(held[i + 1])
      end
    end
    sums[window] = sum
  end
  return sums[window]
end
local answer, key, place = {0}, 4, 0
for arg = 4, #ARGV, 4 do
  local amount, cap, expiry, besides = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3])
  if expiry ~= 0 and expiry <= now then
    return {4}
  end
  local sum = 0
  for i = key, key + besides do
    sum = sum + taken(KEYS[i])
  end
  if sum + amount > cap then
    return {1, place, sum}
  end
  sums[KEYS[key]] = sums[KEYS[key]] + amount
  answer[#answer + 1] = sum + amount
  key, place = key + besides + 1, place + 1
end
key = 4
for arg = 4, #ARGV, 4 do
  local held = redis.call('HINCRBY', KEYS[key], term, ARGV[arg])
  if held == tonumber(ARGV[arg]) and ARGV[arg + 2] ~= '0' then -- the first that this machine takes
    redis.call('EXPIREAT', KEYS[key], ARGV[arg + 2])
  end
  key = key + tonumber(ARGV[arg + 3]) + 1
end
return answer
