-- A session goes for good; a tombstone keeps late reclaims from bringing it back for an hour.
-- ARGV[4] id · [5] `generation-rev` that it must have, or ''
-- Also one that is archived: then its files are gone already (lua/cleanup/delete_begin.lua).
-- Returns {} when it is unknown, {'changed'} when it is not as wanted, else {generation, node id, sid, then per command that was open:
--   id, command id, command, status, waiter}
-- NOTE: the caller tells the socket.
local id = ARGV[4]
local session = key('session', id)
local is = call('HMGET', session, 'generation', 'node_id', 'sid', 'is_connected', 'project_id', 'rev')
if ARGV[5] ~= '' and is[1] and is[1] .. '-' .. (is[6] or '0') ~= ARGV[5] then return {'changed'} end
call('ZREM', tag .. 'active', id) -- first write: frees, so that it runs at maxmemory too
call('ZREM', tag .. 'inactive', id)
call('ZREM', tag .. 'idle', id)
end_deadline(id)
call('UNLINK', key('waiting', id))
local archived_project = unarchive(id)
if not is[1] then
  if not archived_project then return {} end
  if archived_project ~= '' then call('ZREM', tag .. 'project:' .. archived_project, id) end
  feed_add({'removed', id, 'project_id', archived_project})
  return {call('GET', key('tombstone', id)) or '0', '', ''}
end

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
unlink_all(id)
local tombstone = math.max(tonumber(is[1]), tonumber(call('GET', key('tombstone', id)) or 0))
call('SET', key('tombstone', id), text(tombstone), 'PX', 3600000)
feed_add({'removed', id, 'project_id', project})
return answer
