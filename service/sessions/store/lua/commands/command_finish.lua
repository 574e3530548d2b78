-- A command ends: by the device's result, or cancelled by a person.
-- ARGV[4] id · [5] generation of the device ('' for people) · [6] command id · [7] status ·
--   [8] result JSON or '' · [9] error JSON or '' · [10] bytes that a session may hold
-- Returns {'missing' | 'stale' | 'too_large'} or {'ok' | 'late', command, status, waiter}; 'late': it had
--   ended. Where a person ends it, or a request waits for it, `command_parts` is behind that.
-- NOTE: up to 512 bytes always fit, because every command must end.
local id, generation, command_id = ARGV[4], ARGV[5], ARGV[6]
local record = command_record(id, command_id)
if not record then return {'missing'} end
if generation ~= '' and call('HGET', key('session', id), 'generation') ~= generation then return {'stale'} end
local answer = 'late'
if not FINAL[record.status] then
  local bytes = #ARGV[8] + #ARGV[9]
  if bytes > 512 and not has_room(id, bytes + #command_id + #':result', tonumber(ARGV[10])) then return {'too_large'} end
  answer = 'ok'
  command_step(id, command_id, record, ARGV[7], ARGV[8] ~= '' and ARGV[8] or nil, ARGV[9] ~= '' and ARGV[9] or nil)
end
local is_shown = generation == '' or (record.waiter or '') ~= ''
local parts = is_shown and command_parts(id, command_id) or nil
return {answer, record.command, record.status, record.waiter or '', parts}
