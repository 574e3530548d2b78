-- Histories: lists of runs, oldest first. A run is a sample `[value,ts]`, or the number of its samples and these, each
-- behind a line feed, which no sample has. Before a latest value stand the number of samples of its history, and a line
-- feed. Bytes are those of the samples alone.

-- Small numbers come again and again, and `tonumber` and `text` take long.
local numbers = setmetatable({}, {__index = function(known, digits)
  known[digits] = tonumber(digits)
  return known[digits]
end})
local texts = setmetatable({}, {__index = function(known, number)
  known[number] = text(number)
  return known[number]
end})

-- How many samples a run has, and where they begin.
local function samples_in(run)
  local count, at = string.match(run, '^(%d+)\n()')
  if not count then return 1, 1 end
  return numbers[count], at
end

local function bytes_in(run)
  local count, first = samples_in(run)
  return #run - first - count + 2
end

-- The samples of a run behind its first ones, as a run.
local function rest_of(run, samples)
  local count, at = samples_in(run)
  for _ = 1, samples do at = string.find(run, '\n', at, true) + 1 end
  local rest = string.sub(run, at)
  return count - samples > 1 and texts[count - samples] .. '\n' .. rest or rest
end

-- How many samples a history has whose latest value is this one, and how many bytes that is. A version that knew no runs
-- wrote no number before it.
local function samples_of(history, latest)
  if not latest then return 0, 0 end
  local count, at = samples_in(latest)
  if at > 1 then return count, #latest - at + 1 end
  local first, runs = 0
  count = 0
  repeat
    runs = call('LRANGE', history, first, first + 99)
    for _, run in ipairs(runs) do count = count + samples_in(run) end
    first = first + 100
  until #runs < 100
  return count, #latest
end

-- Takes the oldest samples, all but one at most, from a history of so many samples in so many runs; returns how many bytes
-- are gone. As many runs as these mostly are go at once; what goes too far comes back.
local function take_oldest(history, samples, all, runs)
  local freed = 0
  if all == runs then -- all are single ones
    for _, sample in ipairs(call('LPOP', history, samples) or {}) do freed = freed + #sample end
    return freed
  end
  while samples > 0 do
    local taken, back = call('LPOP', history, math.min(math.ceil(samples * runs / all), 1000)), {} -- Lua unpacks 8000
    if not taken then break end -- there were fewer than was said
    for _, run in ipairs(taken) do
      local count, first = samples_in(run)
      if count > samples then
        table.insert(back, 1, samples > 0 and rest_of(run, samples) or run)
        freed = freed + bytes_in(run) - bytes_in(back[1])
      else
        freed = freed + #run - first - count + 2
        runs, all = runs - 1, all - count
      end
      samples = math.max(samples - count, 0)
    end
    if #back > 0 then
      call('LPUSH', history, unpack(back))
      if #back == runs and ttl_ms ~= '0' then call('PEXPIRE', history, ttl_ms) end -- it was gone for a moment
    end
  end
  return freed
end

-- How many of the oldest samples of a history, and then of the runs `coming`, go, at least `fewest` and at most `most`, so
-- that `bytes` are free; and how many bytes they are.
local function oldest_samples(history, coming, bytes, fewest, most)
  local count, freed, first = 0, 0, 0
  while true do
    local runs = coming and call('LRANGE', history, first, 2 * first) or {}
    if #runs == 0 then runs, coming = coming or {}, nil end
    if #runs == 0 then return count, freed end
    first = first + #runs
    for _, run in ipairs(runs) do
      local left, at = samples_in(run)
      while left > 0 do
        if count >= most or (count >= fewest and freed >= bytes) then return count, freed end
        local after = left > 1 and string.find(run, '\n', at, true) or #run + 1
        count, freed, left, at = count + 1, freed + after - at, left - 1, after + 1
      end
    end
  end
end
