-- What a session holds, in bytes, and its rev.

-- The field `counted` of a session: the bytes that it holds, and behind them the last six digits of the rev at
-- which it held so many, so that a change by a script of a version that does not count shows.
local REVS = 1000000
local function count_of(bytes, rev) return bytes * REVS + rev % REVS end

-- The bytes of a count; nil: there is none, or it is not of this rev.
local function counted(count, rev)
  count = tonumber(count or nil)
  if count and count % REVS == rev % REVS then return math.floor(count / REVS) end
end

-- The session changed: one rev more, and `more` bytes. Its count stays right, if it was.
local function grow(id, revs, more)
  local session = key('session', id)
  local is = call('HMGET', session, 'counted', 'rev')
  local rev = tonumber(is[2] or 0)
  local bytes = counted(is[1], rev)
  if bytes and revs > 0 then
    call('HSET', session, 'rev', text(rev + revs), 'counted', count_of(bytes + more, rev + revs))
  elseif bytes then
    call('HSET', session, 'counted', count_of(bytes + more, rev))
  elseif revs > 0 then
    call('HINCRBY', session, 'rev', revs)
  end
end
local function add_bytes(id, more) if more ~= 0 then grow(id, 0, more) end end

-- What a session holds, counted from nothing: bytes of its meta, setups, commands, latest values and samples.
local function count_bytes(id)
  local bytes = call('HSTRLEN', key('session', id), 'meta') + call('STRLEN', key('setup', id))
  local function add(elements)
    for _, element in ipairs(elements) do bytes = bytes + #element end
  end
  for _, kind in ipairs({'undo', 'redo'}) do add(call('LRANGE', key(kind, id), 0, -1)) end
  add(call('HGETALL', key('commands', id)))
  local latest = call('HGETALL', key('latest', id))
  for i = 1, #latest, 2 do
    local history, first, runs = history_key(id, latest[i]), 0
    local _, sample = samples_in(latest[i + 1])
    bytes = bytes + #latest[i] + #latest[i + 1] - sample + 1
    repeat
      runs = call('LRANGE', history, first, first + 99)
      for _, run in ipairs(runs) do bytes = bytes + bytes_in(run) end
      first = first + 100
    until #runs < 100
  end
  return bytes
end

-- What a session holds; counted where there is no count, or not of this rev. nil: not now, because this
-- script has read much to count others, and nobody else is served meanwhile.
local bytes_read = 0
local function bytes_held(id, count, rev)
  local bytes = counted(count, rev)
  if bytes or bytes_read > 4194304 then return bytes end
  bytes = count_bytes(id)
  bytes_read = bytes_read + bytes
  call('HSET', key('session', id), 'counted', count_of(bytes, rev))
  return bytes
end

local function held_by(id)
  local is = call('HMGET', key('session', id), 'counted', 'rev')
  return bytes_held(id, is[1], tonumber(is[2] or 0))
end

-- How many of the oldest elements of a list go, at least `fewest` and at most `most`, so that `bytes` are free;
-- and how many bytes they are.
local function oldest(list, bytes, fewest, most)
  local count, freed, first, chunk = 0, 0, 0, {}
  while count < most and (count < fewest or freed < bytes) do
    if not chunk[count - first + 1] then
      first, chunk = count, call('LRANGE', list, count, 2 * count)
      if #chunk == 0 then break end
    end
    freed = freed + #chunk[count - first + 1]
    count = count + 1
  end
  return count, freed
end

-- Sets and removes fields of a hash; returns how many bytes it has more.
local function put(hash, field, value)
  local before = call('HSTRLEN', hash, field)
  return #value - before + call('HSET', hash, field, value) * #field
end

local function take(hash, field)
  return -call('HSTRLEN', hash, field) - call('HDEL', hash, field) * #field
end
