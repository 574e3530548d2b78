-- A device without a socket was heard of: a deadline, what it says of itself, commands for it, and maybe its wait.
-- ARGV[4] id · [5] '1': make the session if it is in no index · [6] name, [7] project, [8] meta JSON: '' keeps what is
--   stored, else '=' and the value · [9] how often it reports, ms; '' keeps what is stored · [10] how long it counts as
--   active where that is not known, ms · [11] and at the least, ms, where its request waits on · [12] setup version
--   that it runs, or '' · [13] stream · [14] how many commands at most, [15] and bytes of params after which there are
--   no more · [16] the request that waits, `node#number`, or '' · [17] how long it waits still, ms · [18] '1': it begins
--   to wait, and ends the wait of another one · [19] '1': refuse a device that was sent away · then the ids of commands
--   that the device has
-- Returns {'unknown'} (ask the archive, then come again), {'replaced'} (a later request waits), {'kicked', ms to wait}, or {'ok' | 'connected'
--   (a socket owns the session), now, rev, last seq of the stream, setup version, setup version that the device runs,
--   setup, the request whose wait this one ended or '', the commands that became delivered: {id, command, waiter …},
--   commands: {id, command, params, attempt …}}
-- NOTE: may run twice; then `attempt` of each command counts one more.
local id, most, request = ARGV[4], tonumber(ARGV[14]), ARGV[16]
local session, waiting, commands_key = key('session', id), key('waiting', id), key('commands', id)
local was = call('HMGET', session, 'generation', 'is_connected', 'state', 'project_id', 'created_at', 'expect_every',
  'seen_by', 'reported_version')
local connected, is_changed, is_new = was[2] == '1', false, not was[1]
local noted = request ~= '' and call('GET', waiting)

local away = ARGV[19] == '1' and kicked(id) or 0
if away > 0 then return {'kicked', away} end
if is_new and (ARGV[5] ~= '1' or call('HEXISTS', tag .. 'archive_names', id) == 1) then return {'unknown'} end
if noted and noted ~= request and ARGV[18] ~= '1' then return {'replaced'} end
if is_new then
  local tombstone = call('GET', key('tombstone', id))
  make(id, tombstone and text(tonumber(tombstone) + 1) or '0')
  call('HSET', session, 'session_name', '', 'state', 'active', 'is_connected', '0')
  event(id, 'created')
end

local before, more = was[4] or '', 0
for i, name in ipairs({'session_name', 'project_id', 'meta'}) do
  local given, stored = ARGV[5 + i], call('HGET', session, name) or ''
  if given ~= '' and string.sub(given, 2) ~= stored then
    call('HSET', session, name, string.sub(given, 2))
    is_changed = true
    if name == 'meta' then more = #given - 1 - #stored end
  end
end
local project = ARGV[7] ~= '' and string.sub(ARGV[7], 2) or before
if project ~= before then
  if before ~= '' then call('ZREM', tag .. 'project:' .. before, id) end
  if project ~= '' then call('ZADD', tag .. 'project:' .. project, was[5] or now_ms, id) end
end
local every = ARGV[9] ~= '' and ARGV[9] or was[6]
if every ~= was[6] then
  call('HSET', session, 'expect_every', every)
  is_changed = true
end
if ARGV[12] ~= '' and ARGV[12] ~= (was[8] or '0') then
  call('HSET', session, 'reported_version', ARGV[12])
  is_changed = true
end
call('HSET', session, 'last_ping', now_ms)

local span = every and 3 * tonumber(every) or tonumber(ARGV[10])
if not connected then
  local until_then = now + math.max(span, tonumber(ARGV[11]))
  if request == '' and call('EXISTS', waiting) == 1 then -- of another request: its looks count as well
    until_then = math.max(until_then, tonumber(call('ZSCORE', tag .. 'deadlines', id) or 0))
  end
  if call('ZADD', tag .. 'deadlines', text(until_then), id) == 1 then event(id, 'active', {reason = 'http'}) end
  call('ZADD', tag .. 'asleep', now_ms, id)
  call('ZREM', tag .. 'idle', id) -- its own updates do not count as those of others
  go_active(id)
  if was[3] ~= 'active' or was[7] ~= 'http' then
    call('HSET', session, 'state', 'active', 'seen_by', 'http')
    is_changed = true
  end
end
if is_changed then
  grow(id, 1, more)
  feed_state(id, project ~= before and before ~= '' and before or nil)
end
if is_new then refresh(id) else refresh_if_due(id) end

local seen, commands, bytes = {}, {}, 0
for i = 20, #ARGV do
  local record = command_record(id, ARGV[i])
  if record and (record.status == 'queued' or record.status == 'sent') then
    call('ZADD', tag .. 'commands_due', text(record.ends_at), ARGV[i] .. ':' .. id)
    command_step(id, ARGV[i], record, 'delivered')
    for _, part in ipairs({ARGV[i], record.command, record.waiter or ''}) do seen[#seen + 1] = part end
  end
end
if not connected and most > 0 then
  for _, command_id in ipairs(call('ZRANGE', key('commands_open', id), 0, -1)) do
    if #commands == 4 * most or bytes >= tonumber(ARGV[15]) then break end
    local record = command_record(id, command_id)
    if record and record.status ~= 'delivered' then
      record.attempt, record.generation = record.attempt + 1, '' -- a socket is sent it once more
      if record.status == 'queued' then
        command_step(id, command_id, record, 'sent')
      else
        add_bytes(id, put(commands_key, command_id, cjson.encode(record)))
      end
      local params = call('HGET', commands_key, command_id .. ':params') or ''
      bytes = bytes + #params
      for _, part in ipairs({command_id, record.command, params, text(record.attempt)}) do
        commands[#commands + 1] = part
      end
    end
  end
end

if request ~= '' then
  if not connected and #commands == 0 and ARGV[17] ~= '0' then
    call('SET', waiting, request, 'PX', ARGV[17])
  elseif noted then
    call('UNLINK', waiting)
  end
  if #commands > 0 then call('ZADD', tag .. 'deadlines', text(now + span), id) end -- they end the wait
end
local is = call('HMGET', session, 'rev', 'stream', 'last_seq', 'setup_version', 'reported_version')
local last_seq = (is[2] or '') == ARGV[13] and tonumber(is[3] or 0) or seq_of_former(session, ARGV[13], was[1] or '0')
return {connected and 'connected' or 'ok', now_ms, is[1], text(last_seq), is[4] or '0', is[5] or '0',
  call('GET', key('setup', id)) or '', noted and noted ~= request and noted or '', seen, commands}
