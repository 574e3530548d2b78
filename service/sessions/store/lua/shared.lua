-- What every script shares; the store puts this text before each of them.
-- KEYS[1]  the partition's tag `P:{p}:`; all keys of the partition are this and a name (keys.py)
-- ARGV[1]  TTL of a session's keys, ms (0: none)
-- ARGV[2]  how long the feed keeps entries, ms
-- ARGV[3]  how much the feed keeps, bytes
-- The last one, behind what a script describes: by whom it is run, JSON; it is taken away here.
-- NOTE: the clock is Redis's. A script writes only below its tag.
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

-- The same where nobody else does it: only sessions with a connection have a node that renews them.
local function refresh_if_due(id)
  if ttl_ms ~= '0' and call('PTTL', key('session', id)) < tonumber(ttl_ms) * 3 / 4 then refresh(id) end
end

-- Writes one feed entry; its id is the partition's counter, so that a trim is seen as a gap.
-- Every 64 entries a mark (time, id, bytes so far) is set, and what is too old or too much goes.
local function feed_add(fields)
  local bytes = 0
  for _, field in ipairs(fields) do bytes = bytes + #field end
  local epoch, feed, marks = tag .. 'epoch', tag .. 'feed', tag .. 'feed_marks'
  local last = call('HINCRBY', epoch, 'last', 1)
  local total = call('HINCRBY', epoch, 'bytes', bytes)
  if last == 1 then call('UNLINK', feed, marks) end -- a counter that was lost starts a new feed
  call('XADD', feed, text(last) .. '-0', unpack(fields))
  if last % 64 ~= 0 then return end
  call('RPUSH', marks, now_ms .. ' ' .. text(last) .. ' ' .. text(total))
  local trim, feed_keep_ms, feed_max_bytes = nil, tonumber(ARGV[2]), tonumber(ARGV[3])
  while true do
    local mark = call('LINDEX', marks, 0)
    if not mark then break end
    local at, id, upto = string.match(mark, '^(%d+) (%d+) (%d+)$')
    if tonumber(at) > now - feed_keep_ms and tonumber(upto) > total - feed_max_bytes then break end
    trim = tonumber(id)
    call('LPOP', marks)
  end
  if trim then call('XTRIM', feed, 'MINID', text(trim + 1) .. '-0') end
end

local SUMMARY = {'session_name', 'project_id', 'state', 'is_connected', 'node_id', 'created_at',
  'start_time', 'disconnected_at', 'disconnect_reason', 'setup_version', 'reported_version',
  'active_clients', 'open_commands', 'last_activity', 'last_update', 'last_ping', 'expect_every', 'seen_by', 'rev'}

-- The session's summary as it is now, behind what is in `fields`: name, value, name, value …
local function summary(id, fields)
  local values = call('HMGET', key('session', id), unpack(SUMMARY))
  for i, name in ipairs(SUMMARY) do
    if values[i] then
      fields[#fields + 1] = name
      fields[#fields + 1] = values[i]
    end
  end
  return fields
end

-- The session's summary as it is now becomes a feed entry.
local function feed_state(id, previous_project)
  local fields = summary(id, {'state', id})
  if previous_project then
    fields[#fields + 1] = 'previous_project_id'
    fields[#fields + 1] = previous_project
  end
  feed_add(fields)
end

-- A session that Redis does not know is made. What each update reads or writes comes first, because a hash of this
-- size is searched from its beginning.
local function make(id, generation)
  call('HSET', key('session', id), 'generation', generation, 'rev', '0', 'updates', '0', 'bytes_in', '0', 'counted', '',
    'project_id', '', 'stream', '', 'last_seq', '0', 'session_id', id, 'created_at', now_ms)
end

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
  if revs > 0 then call('HINCRBY', session, 'rev', revs) end
  if bytes then call('HSET', session, 'counted', count_of(bytes + more, rev + revs)) end
end
local function add_bytes(id, more) if more ~= 0 then grow(id, 0, more) end end

-- A lifecycle event: one line of the timeline, and a new rev, because the timeline is archived.
-- `actor`: by whom, JSON; nil: by whom the script is run.
local function event(id, name, detail, actor)
  detail = detail or {}
  detail.at, detail.event = now, name
  local timeline = key('timeline', id)
  call('RPUSH', timeline, string.sub(cjson.encode(detail), 1, -2) .. ',"by":' .. (actor or by) .. '}')
  call('LTRIM', timeline, -200, -1)
  grow(id, 1, 0)
end

-- What a session holds, counted from nothing: bytes of its meta, setups, commands, latest values and samples.
local function count_bytes(id)
  local bytes = call('HSTRLEN', key('session', id), 'meta') + call('STRLEN', key('setup', id))
  local function add(elements)
    for _, element in ipairs(elements) do bytes = bytes + #element end
    return #elements
  end
  for _, kind in ipairs({'undo', 'redo'}) do add(call('LRANGE', key(kind, id), 0, -1)) end
  for _, kind in ipairs({'latest', 'commands'}) do add(call('HGETALL', key(kind, id))) end
  for _, data_key in ipairs(call('HKEYS', key('latest', id))) do
    local first, history = 0, history_key(id, data_key)
    while add(call('LRANGE', history, first, first + 99)) == 100 do first = first + 100 end
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

-- How the summary of a session begins that is in the archive and whose device is expected: it counts as active.
local ASLEEP = '{"asleep":"1",'

-- Nothing is expected any more of a device without a socket.
local function end_deadline(id)
  call('ZREM', tag .. 'deadlines', id)
  call('ZREM', tag .. 'asleep', id)
end

-- The session leaves its connection (if it has one) and becomes inactive.
-- The first write frees, so that it also runs while Redis is at maxmemory.
local function go_inactive(id, node_id, reason, name, actor)
  local session = key('session', id)
  call('ZREM', tag .. 'active', id)
  call('ZREM', tag .. 'idle', id)
  end_deadline(id)
  if node_id ~= '' then
    call('SREM', tag .. 'owned:' .. node_id, id)
    call('SREM', tag .. 'pending:' .. node_id, id)
  end
  call('ZADD', tag .. 'inactive', 'NX', now_ms, id)
  local was = call('HMGET', session, 'is_connected', 'start_time', 'connected_ms')
  if was[1] == '1' then
    local connected = tonumber(was[3] or 0) + math.max(0, now - tonumber(was[2] or now))
    call('HSET', session, 'is_connected', '0', 'node_id', '', 'sid', '', 'disconnected_at', now_ms,
      'disconnect_reason', reason, 'last_activity', now_ms, 'connected_ms', text(connected))
  end
  call('HSET', session, 'state', 'inactive')
  event(id, name, {node_id = node_id, reason = reason}, actor)
  feed_state(id)
  refresh(id)
end

-- The session becomes active; its place in `active` stays the same while it is there.
local function go_active(id)
  call('ZREM', tag .. 'inactive', id)
  call('ZADD', tag .. 'active', 'NX', now_ms, id)
end

-- The session is no longer archived: it leaves the index, its project stays as it is. Returns the
-- project, or nil when it was not in the index.
local function unarchive(id)
  local summary = call('HGET', tag .. 'archive_summaries', id)
  call('ZREM', tag .. 'archived', id)
  call('HDEL', tag .. 'archive_summaries', id)
  if call('HDEL', tag .. 'archive_names', id) == 0 then return nil end
  return summary and cjson.decode(summary).project_id or ''
end

-- Every key of a session goes, and nothing else: no index, no set of a node. How often it registered lately
-- stays, for a few seconds: who archives or deletes it must not let it flap.
local function unlink_all(id)
  local gone, histories = {}, history_key(id, '')
  for _, data_key in ipairs(call('HKEYS', key('latest', id))) do
    gone[#gone + 1] = histories .. data_key
    if #gone == 1000 then
      call('UNLINK', unpack(gone))
      gone = {}
    end
  end
  for _, kind in ipairs(KINDS) do gone[#gone + 1] = key(kind, id) end
  call('UNLINK', unpack(gone))
end

-- Numbers are kept per stream. The present one is in `stream` and `last_seq`; `streams` has the 7 before it as JSON
-- {of, last = {{stream, last seq}, …}}, newest last. `of` is the generation it was written for: a node of an
-- earlier version knows the present stream only, so what it left behind by a register of its own counts no more.

-- The streams before the present one of a session with this generation, as it stands in `streams`.
local function former_streams(json, generation)
  local fits, read = pcall(cjson.decode, json or '')
  if not fits or type(read) ~= 'table' or read.of ~= generation or type(read.last) ~= 'table' then return {} end
  for _, one in ipairs(read.last) do -- an archive file may come from anywhere
    if type(one) ~= 'table' or type(one[1]) ~= 'string' or type(one[2]) ~= 'string'
      or not string.match(one[2], '^%d+$') or #one[2] > 16 then return {} end
  end
  return read.last
end

-- The last seq of a stream that is not the present one; 0: unknown.
local function seq_of_former(session, stream, generation)
  for _, one in ipairs(former_streams(call('HGET', session, 'streams'), generation)) do
    if one[1] == stream then return tonumber(one[2]) end
  end
  return 0
end

-- Makes a stream the present one, with the last seq it had, for a session that had `before` as its generation
-- and has `generation` now.
local function turn_to_stream(session, stream, before, generation)
  local is = call('HMGET', session, 'stream', 'last_seq', 'streams')
  local kept, last_seq = {}, '0'
  for _, one in ipairs(former_streams(is[3], before)) do
    if one[1] == stream then last_seq = one[2] else kept[#kept + 1] = one end
  end
  if is[1] ~= stream then
    if tonumber(is[2] or 0) > 0 then kept[#kept + 1] = {is[1], is[2]} end
    call('HSET', session, 'stream', stream, 'last_seq', last_seq)
  end
  while #kept > 7 do table.remove(kept, 1) end
  if #kept > 0 then
    call('HSET', session, 'streams', cjson.encode({of = generation, last = kept}))
  elseif is[3] then
    call('HDEL', session, 'streams')
  end
end

-- Names the time in which this Redis lost nothing: another process, another primary and an emptied Redis
-- are other lives. A server that does not tell who it is counts as never restarted.
local function life()
  local words = {}
  for section, name in pairs({server = 'run_id', replication = 'master_replid'}) do
    local info = redis.pcall('INFO', section)
    words[name] = type(info) == 'string' and string.match(info, name .. ':(%x+)') or ''
  end
  return words.run_id .. ':' .. words.master_replid .. ':' .. (call('HGET', tag .. 'epoch', 'epoch') or '')
end

-- The setup as it is now, as whoever changed it is answered.
local function setup_state(id)
  local is = call('HMGET', key('session', id), 'setup_version', 'setup_timestamp', 'reported_version',
    'is_connected', 'node_id', 'sid')
  return {'ok', call('GET', key('setup', id)) or '', is[1] or '0', is[2] or '0', is[3] or '0',
    call('LLEN', key('undo', id)), call('LLEN', key('redo', id)),
    is[4] == '1' and is[5] or '', is[4] == '1' and is[6] or ''}
end

local FINAL = {succeeded = true, failed = true, timed_out = true, expired = true, cancelled = true}

local function command_record(id, command_id)
  local record = call('HGET', key('commands', id), command_id)
  return record and cjson.decode(record)
end
-- A command as it is now: record, params, result and error as JSON, false for what it has not.
local function command_parts(id, command_id)
  return call('HMGET', key('commands', id), command_id, command_id .. ':params',
    command_id .. ':result', command_id .. ':error')
end

-- Names of the fields that a command has.
local function command_fields(command_id, record)
  local fields = {command_id, command_id .. ':params', command_id .. ':result', command_id .. ':error'}
  if record and record.key then fields[5] = 'key:' .. record.key end
  return fields
end

-- The oldest finished command goes.
local function drop_command(id)
  local commands, old, bytes = key('commands', id), call('LPOP', key('commands_done', id)), 0
  for _, field in ipairs(command_fields(old, command_record(id, old))) do bytes = bytes + take(commands, field) end
  add_bytes(id, bytes)
end

-- Makes room for what a command brings: finished commands go, oldest first. False: that is not enough, and
-- nothing went.
local function has_room(id, bytes, max_bytes)
  local held, count = held_by(id), 0
  local over = held and held + bytes - max_bytes or 0
  if over <= 0 then return true end
  local commands = key('commands', id)
  for _, old in ipairs(call('LRANGE', key('commands_done', id), 0, -1)) do
    for _, field in ipairs(command_fields(old, command_record(id, old))) do
      local length = call('HSTRLEN', commands, field)
      over = over - length - (length > 0 and #field or 0)
    end
    count = count + 1
    if over <= 0 then break end
  end
  if over > 0 then return false end
  for _ = 1, count do drop_command(id) end
  return true
end

-- A command takes a new status: record, indexes, timeline, feed. `result`, `error`: JSON or nil.
local function command_step(id, command_id, record, status, result, error)
  local commands, session = key('commands', id), key('session', id)
  record.status, record.updated_at = status, now
  local bytes = put(commands, command_id, cjson.encode(record))
  if result then bytes = bytes + put(commands, command_id .. ':result', result) end
  if error then bytes = bytes + put(commands, command_id .. ':error', error) end
  add_bytes(id, bytes)
  if FINAL[status] then
    call('ZREM', key('commands_open', id), command_id)
    call('ZREM', tag .. 'commands_due', command_id .. ':' .. id)
    if call('HINCRBY', session, 'open_commands', -1) <= 0 then
      call('SREM', tag .. 'pending:' .. (call('HGET', session, 'node_id') or ''), id)
    end
    local done = key('commands_done', id)
    local count = call('RPUSH', done, command_id)
    if count == 1 and ttl_ms ~= '0' then call('PEXPIRE', done, ttl_ms) end
    if count > 100 then drop_command(id) end
  end
  event(id, 'command_' .. status, {command_id = command_id, command = record.command})
  feed_add({'command', id, 'project_id', call('HGET', session, 'project_id') or '',
    'command_id', command_id, 'command', record.command, 'status', status,
    'result', result or '', 'error', error or '', 'at', now_ms})
  if FINAL[status] or record.attempt == 0 then feed_state(id) end
end

-- For how long a device that was sent away is not to come back, ms, and the socket that it had; 0: it may come.
local function kicked(id)
  local kick = call('GET', key('kicked', id))
  if not kick then return 0, '' end
  kick = cjson.decode(kick)
  local left = tonumber(kick[1]) - now
  return left <= 3600000 and math.max(left, 0) or 0, kick[4] -- a longer time comes from a clock that jumped back
end

-- How many open commands the device has not acknowledged.
local function undelivered(id)
  local count = 0
  for _, command_id in ipairs(call('ZRANGE', key('commands_open', id), 0, -1)) do
    local record = command_record(id, command_id)
    if record and record.status ~= 'delivered' then count = count + 1 end
  end
  return count
end
