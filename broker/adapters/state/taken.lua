-- What all machines have taken of each window.
-- KEYS: terms, then the windows.
local counts = {}
for _, each in ipairs(redis.call('HVALS', KEYS[1])) do
  counts[each] = true
end
local sums = {}
for i = 2, #KEYS do
  local sum, held = 0, redis.call('HGETALL', KEYS[i])
  for j = 1, #held, 2 do
    if counts[held[j]] then
      sum = sum + tonumber(held[j + 1])
    end
  end
  sums[i - 1] = sum
end
return sums
