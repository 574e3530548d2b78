-- What every script shares; the store puts the files of this folder before each of them, this one first.
-- KEYS[1]  the partition's tag `P:{p}:`; all keys of the partition are this and a name (keys.py)
-- ARGV[1]  TTL of a session's keys, ms (0: none)
-- ARGV[2]  how long the feed keeps entries, ms
-- ARGV[3]  how much the feed keeps, bytes
-- The last one, behind what a script describes: by whom it is run, JSON; it is taken away here.
-- NOTE: the clock is Redis's. A script writes only below its tag, but for messages to nodes (`notify`).
local call = redis.call
local tag, ttl_ms, by = KEYS[1], ARGV[1], table.remove(ARGV)

-- A whole number as digits; as an integer, where it is one everywhere, it takes half as long.
local function text(number) return string.format(number < 2147483648 and '%d' or '%.0f', number) end

local clock = call('TIME')
local now_ms = clock[1] .. string.sub('00000' .. clock[2], -6, -4) -- seconds, and the first 3 of 6 digits
local now = tonumber(now_ms)

local function key(kind, id) return tag .. kind .. ':' .. id end

-- In history keys the id is followed by the data key, so its ':' and '%' are escaped (keys.py).
local ESCAPED = {['%'] = '%25', [':'] = '%3A', ['|'] = '%7C'}
local function history_key(id, data_key)
  if string.find(id, '[%%:]') then id = string.gsub(id, '[%%:]', ESCAPED) end
  return tag .. 'history:' .. id .. ':' .. data_key
end

local KINDS = {'session', 'latest', 'setup', 'undo', 'redo', 'commands', 'commands_open',
  'commands_done', 'timeline', 'clients', 'client_names'}

-- All keys of a session get their TTL anew, together.
local function refresh(id)
  if ttl_ms == '0' then return end
  for _, kind in ipairs(KINDS) do call('PEXPIRE', key(kind, id), ttl_ms) end
  for _, data_key in ipairs(call('HKEYS', key('latest', id))) do
    call('PEXPIRE', history_key(id, data_key), ttl_ms)
  end
end

-- The same where nobody else does it: only sessions with a connection have a node that renews them. `made`: kinds of
-- keys that may be new; they get the TTL that their session has left, so that they end with it.
local function refresh_if_due(id, made)
  if ttl_ms == '0' then return end
  local left = call('PTTL', key('session', id))
  if left < tonumber(ttl_ms) * 3 / 4 then return refresh(id) end
  for _, kind in ipairs(made or {}) do call('PEXPIRE', key(kind, id), text(left)) end
end

-- Names the process that this Redis is, and as whose primary: after a restart or a failover, either of which may have taken
-- the last writes, it is another one. A server that does not tell who it is counts as never restarted.
local function server_life()
  local words = {}
  for section, name in pairs({server = 'run_id', replication = 'master_replid'}) do
    local info = redis.pcall('INFO', section)
    words[name] = type(info) == 'string' and string.match(info, name .. ':(%x+)') or ''
  end
  return words.run_id .. ':' .. words.master_replid
end

-- Names the time in which this Redis lost nothing: that process and primary, until it is emptied.
local function life()
  return server_life() .. ':' .. (call('HGET', tag .. 'epoch', 'epoch') or '')
end
