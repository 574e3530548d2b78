-- A command ends: by the device's result, or cancelled by a person.
-- ARGV[4] id · [5] generation of the device ('' for people) · [6] command id · [7] status ·
--   [8] result JSON or '' · [9] error JSON or ''
-- Returns {'missing' | 'stale'} or {'ok' | 'late', command, status, waiter}; 'late': it had ended.
local id, generation, command_id = ARGV[4], ARGV[5], ARGV[6]
local record = command_record(id, command_id)
if not record then return {'missing'} end
if generation ~= '' and call('HGET', key('session', id), 'generation') ~= generation then return {'stale'} end
if FINAL[record.status] then return {'late', record.command, record.status, record.waiter or ''} end
command_step(id, command_id, record, ARGV[7], ARGV[8] ~= '' and ARGV[8] or nil, ARGV[9] ~= '' and ARGV[9] or nil)
return {'ok', record.command, ARGV[7], record.waiter or ''}
