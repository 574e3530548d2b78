-- A command ends: by the device's result, or cancelled by a person.
-- ARGV[4] id · [5] generation of the device ('' for people) · [6] command id · [7] status ·
--   [8] result JSON or '' · [9] error JSON or '' · [10] bytes that a session may hold · [11…14] as in `notify`
-- Returns {'missing' | 'stale' | 'too_large'} or {'ok' | 'late' | 'sent', command, status, waiter}; 'late': it had
--   ended; 'sent': the waiter was notified. Where a person ends it, or a request waits that was not notified,
--   `command_parts` is behind that.
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
local waiter = record.waiter or ''
-- the message has the end: it can change no more. The inbox of a node keeps many messages, so none of them is long.
if answer == 'ok' and waiter ~= '' and #ARGV[8] + #ARGV[9] <= 900 then
  local told = '{"session_id":' .. cjson.encode(id) .. ',"command_id":' .. cjson.encode(command_id) .. ',"status":"'
    .. record.status .. '","end":{"attempt":' .. text(record.attempt) .. ',"updated_at":'
    .. string.format('%.3f', now / 1000) .. (ARGV[8] ~= '' and ',"result":' .. ARGV[8] or '')
    .. (ARGV[9] ~= '' and ',"error":' .. ARGV[9] or '') .. '}}'
  if notify(waiter, 'command', told, 11) then answer = 'sent' end
end
local is_shown = generation == '' or waiter ~= '' and answer ~= 'sent'
local parts = is_shown and command_parts(id, command_id) or nil
return {answer, record.command, record.status, waiter, parts}
