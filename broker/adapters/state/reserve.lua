-- Takes all charges of a call, or none.
-- KEYS: epoch, ready, terms; then for each charge the window that it takes of, and those before it that count, the
--       oldest first.
-- ARGV: incarnation, machine, term; then for each charge: amount, cap, when it is forgotten (unix seconds; 0: held),
--       how many windows count besides, when the oldest of them ends, and how much later each next one; whether it is
--       observed only; from what amount on it is told (0: it is not).
-- Gives a text, of numbers for each limit: what is taken of it, whether that is told (a client reads one text faster than
-- many numbers); or why not: {1, place of the first charge over its cap, what is taken, when there is room}, {2}: not
-- all machines have said what they hold, {3, the machine's term}.
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
local function told(first, last)
  for i = first, last do
    if redis.call('HEXISTS', KEYS[i], 'told') == 1 then
      return true
    end
  end
  return false
end
local answer, key, place = {}, 4, 0
for arg = 4, #ARGV, 8 do
  local amount, cap = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
  local besides, free_at, later = tonumber(ARGV[arg + 3]), tonumber(ARGV[arg + 4]), tonumber(ARGV[arg + 5])
  local warn_at = tonumber(ARGV[arg + 7])
  local sum = 0
  for i = key, key + besides do
    sum = sum + taken(KEYS[i])
  end
  if sum + amount > cap and ARGV[arg + 6] == '0' then
    local left = sum
    for i = key + 1, key + besides do
      left = left - taken(KEYS[i])
      if left + amount <= cap then
        break
      end
      free_at = free_at + later
    end
    return {1, place, sum, free_at}
  end
  sums[KEYS[key]] = taken(KEYS[key]) + amount
  answer[#answer + 1] = sum + amount
  answer[#answer + 1] = warn_at > 0 and sum + amount >= warn_at and 1 or 0
  key, place = key + besides + 1, place + 1
end
key, place = 4, 0
for arg = 4, #ARGV, 8 do
  local held = redis.call('HINCRBY', KEYS[key], term, ARGV[arg])
  if ARGV[arg + 2] == '0' then
    redis.call('EXPIREAT', KEYS[key], now + 604800) -- held by calls, of which none lasts so long
  elseif held == tonumber(ARGV[arg]) then -- the first that this machine takes
    redis.call('EXPIREAT', KEYS[key], math.max(tonumber(ARGV[arg + 2]), now + 60))
  end
  if answer[2 * place + 2] == 1 then
    if told(key, key + tonumber(ARGV[arg + 3])) then
      answer[2 * place + 2] = 0
    else
      redis.call('HSET', KEYS[key], 'told', '1')
    end
  end
  key, place = key + tonumber(ARGV[arg + 3]) + 1, place + 1
end
for i, each in ipairs(answer) do
  answer[i] = string.format('%.0f', each)
end
return table.concat(answer, ' ')
