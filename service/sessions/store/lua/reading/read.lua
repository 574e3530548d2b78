-- All of a session, as it is at one moment. Writes nothing.
-- ARGV[4] id · [5] '1': also undo and redo steps and commands, for the archive
-- Returns {} when it is unknown, else {fields, setup or '', undo, redo (steps, or their numbers),
--   timeline, commands, finished command ids, now, then per data key: key, its runs (shared/histories.lua)}
local id, entire = ARGV[4], ARGV[5] == '1'
local fields = call('HGETALL', key('session', id))
if #fields == 0 then return {} end
local undo, redo = key('undo', id), key('redo', id)
local answer = {
  fields,
  call('GET', key('setup', id)) or '',
  entire and call('LRANGE', undo, 0, -1) or call('LLEN', undo),
  entire and call('LRANGE', redo, 0, -1) or call('LLEN', redo),
  call('LRANGE', key('timeline', id), 0, -1),
  entire and call('HGETALL', key('commands', id)) or {},
  entire and call('LRANGE', key('commands_done', id), 0, -1) or {},
  now_ms,
}
for _, data_key in ipairs(call('HKEYS', key('latest', id))) do
  answer[#answer + 1] = data_key
  answer[#answer + 1] = call('LRANGE', history_key(id, data_key), 0, -1)
end
return answer
