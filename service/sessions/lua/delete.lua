-- A session goes for good; a tombstone keeps late reclaims from bringing it back for an hour.
-- ARGV[4] id
-- Returns {} when it is unknown, else {generation, node id, sid, then per command that was open:
--   id, command id, command, status, waiter}
-- NOTE: the caller tells the socket.
local id = ARGV[4]
local session = key('session', id)
local is = call('HMGET', session, 'generation', 'node_id', 'sid', 'is_connected', 'project_id')
call('ZREM', tag .. 'active', id) -- first write: frees, so that it runs at maxmemory too
call('ZREM', tag .. 'inactive', id)
call('ZREM', tag .. 'idle', id)
if not is[1] then return {} end

local connected, project = is[4] == '1', is[5] or ''
local answer = {is[1], connected and is[2] or '', connected and is[3] or ''}
for _, command_id in ipairs(call('ZRANGE', key('commands_open', id), 0, -1)) do
  local record = command_record(id, command_id)
  if record then
    command_step(id, command_id, record, 'cancelled')
    for _, part in ipairs({id, command_id, record.command, 'cancelled', record.waiter or ''}) do
      answer[#answer + 1] = part
    end
  end
end
if connected then
  call('SREM', tag .. 'owned:' .. is[2], id)
  call('SREM', tag .. 'pending:' .. is[2], id)
end
for _, client in ipairs(call('SMEMBERS', key('clients', id))) do
  call('SREM', tag .. 'joined:' .. string.match(client, '^(.*)#'), id)
end
if project ~= '' then call('ZREM', tag .. 'project:' .. project, id) end
for _, data_key in ipairs(call('HKEYS', key('latest', id))) do call('UNLINK', history_key(id, data_key)) end
for _, kind in ipairs(KINDS) do call('UNLINK', key(kind, id)) end
call('UNLINK', key('registers', id))
call('SET', key('tombstone', id), is[1], 'PX', 3600000)
feed_add({'removed', id, 'project_id', project})
return answer
