-- Commands: their parts, their steps, and room for them.

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

-- A command takes a new status: record, indexes, timeline, feed. `result`, `error`: JSON or nil. `more`: the bytes
-- that the session has more by it already.
local function command_step(id, command_id, record, status, result, error, more)
  local commands, session = key('commands', id), key('session', id)
  record.status, record.updated_at = status, now
  local bytes = (more or 0) + put(commands, command_id, cjson.encode(record))
  if result then bytes = bytes + put(commands, command_id .. ':result', result) end
  if error then bytes = bytes + put(commands, command_id .. ':error', error) end
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
  event(id, 'command_' .. status, {command_id = command_id, command = record.command}, nil, bytes)
  local entry = {'command', id, 'project_id', call('HGET', session, 'project_id') or '',
    'command_id', command_id, 'command', record.command, 'status', status,
    'result', result or '', 'error', error or '', 'at', now_ms}
  if FINAL[status] or record.attempt == 0 then feed_add(entry, state_entry(id, nil, true)) else feed_add(entry) end
end

-- Sends a message to a node, if the caller has given how: [at] what names of inboxes begin with · [at + 1] its own
-- token, as it needs none · [at + 2] name of the message · [at + 3] entries that an inbox keeps, about. False: it is
-- not sent; the inbox may be gone, or no stream.
local function notify(node_id, topic, data, at)
  local token = ARGV[at] and string.match(node_id, '[^-]+$')
  if not token or token == ARGV[at + 1] then return false end
  local message = '{"method":"notify","topic":"' .. topic .. '","data":' .. data .. '}'
  return type(redis.pcall('XADD', ARGV[at] .. token, 'NOMKSTREAM', 'MAXLEN', '~', ARGV[at + 3], '*',
    'n', ARGV[at + 2], 'd', message)) == 'string'
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
