-- The device has acknowledged a command.
-- ARGV[4] id · [5] generation · [6] command id
-- Returns {'missing' | 'stale'} or {'ok' | 'late', command, status, waiter}.
local id, command_id = ARGV[4], ARGV[6]
local generation = call('HGET', key('session', id), 'generation')
local record = command_record(id, command_id)
if not record then return {'missing'} end
if generation ~= ARGV[5] then return {'stale'} end
if record.status ~= 'queued' and record.status ~= 'sent' then
  return {'late', record.command, record.status, record.waiter or ''}
end
call('ZADD', tag .. 'commands_due', text(record.ends_at), command_id .. ':' .. id)
command_step(id, command_id, record, 'delivered')
return {'ok', record.command, 'delivered', record.waiter or ''}
