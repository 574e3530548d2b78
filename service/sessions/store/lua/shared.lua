-- What every script shares; the store puts this text before each of them.
-- KEYS[1]  the partition's tag `P:{p}:`; all keys of the partition are this and a name (keys.py)
-- ARGV[1]  TTL of a session's keys, ms (0: none)
-- ARGV[2]  how long the feed keeps entries, ms
-- ARGV[3]  how much the feed keeps, bytes
-- NOTE: the clock is Redis's. A script writes only below its tag.
local call = redis.call
local tag, ttl_ms, feed_keep_ms, feed_max_bytes = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local function text(number) return string.format('%.0f', number) end

local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local now_ms = text(now)

local function key(kind, id) return tag .. kind .. ':' .. id end

-- In history keys the id is followed by the data key, so its ':' and '%' are escaped (keys.py).
local function history_key(id, data_key)
  return tag .. 'history:' .. string.gsub(id, '[%%:]', {['%'] = '%25', [':'] = '%3A'}) .. ':' .. data_key
end

local KINDS = {'session', 'latest', 'setup', 'undo', 'redo', 'commands', 'commands_open',
  'commands_done', 'timeline', 'clients'}

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
  local trim
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
  'active_clients', 'open_commands', 'last_activity', 'last_update', 'last_ping', 'rev'}

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

-- A lifecycle event: one line of the timeline, and a new rev, because the timeline is archived.
local function event(id, name, detail)
  detail = detail or {}
  detail.at, detail.event = now, name
  local timeline = key('timeline', id)
  call('RPUSH', timeline, cjson.encode(detail))
  call('LTRIM', timeline, -200, -1)
  call('HINCRBY', key('session', id), 'rev', 1)
end

-- The session leaves its connection (if it has one) and becomes inactive.
-- The first write frees, so that it also runs while Redis is at maxmemory.
local function go_inactive(id, node_id, reason, name)
  local session = key('session', id)
  call('ZREM', tag .. 'active', id)
  call('ZREM', tag .. 'idle', id)
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
  event(id, name, {node_id = node_id, reason = reason})
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

-- A command takes a new status: record, indexes, timeline, feed. `result`, `error`: JSON or nil.
local function command_step(id, command_id, record, status, result, error)
  local commands, session = key('commands', id), key('session', id)
  record.status, record.updated_at = status, now
  call('HSET', commands, command_id, cjson.encode(record))
  if result then call('HSET', commands, command_id .. ':result', result) end
  if error then call('HSET', commands, command_id .. ':error', error) end
  if FINAL[status] then
    call('ZREM', key('commands_open', id), command_id)
    call('ZREM', tag .. 'commands_due', command_id .. ':' .. id)
    if call('HINCRBY', session, 'open_commands', -1) <= 0 then
      call('SREM', tag .. 'pending:' .. (call('HGET', session, 'node_id') or ''), id)
    end
    local done = key('commands_done', id)
    local count = call('RPUSH', done, command_id)
    if count == 1 and ttl_ms ~= '0' then call('PEXPIRE', done, ttl_ms) end
    if count > 100 then
      local old = call('LPOP', done)
      local gone = command_record(id, old)
      call('HDEL', commands, old, old .. ':params', old .. ':result', old .. ':error')
      if gone and gone.key then call('HDEL', commands, 'key:' .. gone.key) end
    end
  end
  event(id, 'command_' .. status, {command_id = command_id, command = record.command})
  feed_add({'command', id, 'project_id', call('HGET', session, 'project_id') or '',
    'command_id', command_id, 'command', record.command, 'status', status,
    'result', result or '', 'error', error or '', 'at', now_ms})
  if FINAL[status] or record.attempt == 0 then feed_state(id) end
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
