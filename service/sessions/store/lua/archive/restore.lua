-- A session comes back from its archive file, as inactive, or as active where its device is expected; its parts lie in staging keys.
-- ARGV[4] id · [5] name of the file · [6] generation and [7] rev in the file · [8] staging prefix,
--   below the tag · [9] number of session fields, then name and value of each · then the parts:
--   kind ('history' with the data key behind a ':')
-- Returns {'ok' | 'exists', its summary} ('exists': it is in Redis), {'deleted'} (a tombstone), {'changed'}
--   (the index names another file) or {'late'} (staging keys ran out).
local id, name, generation, staging = ARGV[4], ARGV[5], ARGV[6], tag .. ARGV[8]
local session = key('session', id)
local first = 10 + 2 * tonumber(ARGV[9])

local function drop(...)
  for i = first, #ARGV do call('UNLINK', staging .. ARGV[i]) end
  return {...}
end

if call('EXISTS', session) == 1 then return drop('exists', summary(id, {})) end
if tonumber(call('GET', key('tombstone', id)) or -1) >= tonumber(generation) then return drop('deleted') end
local indexed = call('HGET', tag .. 'archive_names', id)
if indexed and indexed ~= name then return drop('changed') end
for i = first, #ARGV do
  if call('EXISTS', staging .. ARGV[i]) == 0 then return drop('late') end
end

local asleep = tonumber(call('ZSCORE', tag .. 'deadlines', id) or 0) > now
unarchive(id)
for i = first, #ARGV do
  local kind, data_key = string.match(ARGV[i], '^(%a[%a_]*):?(.*)$')
  local target = kind == 'history' and history_key(id, data_key) or key(kind, id)
  call('RENAME', staging .. ARGV[i], target)
  call('PERSIST', target)
end
for i = 10, first - 1, 2 do call('HSET', session, ARGV[i], ARGV[i + 1]) end
call('HSET', session, 'session_id', id, 'state', asleep and 'active' or 'inactive', 'is_connected', '0', 'node_id', '', 'sid', '',
  'generation', generation, 'rev', ARGV[7], 'active_clients', '0', 'archived_as', name)
if asleep then
  call('ZADD', tag .. 'asleep', now_ms, id)
else
  end_deadline(id) -- `expire` has not come to it yet
  call('ZREM', tag .. 'active', id)
  call('ZADD', tag .. 'inactive', now_ms, id)
end
local project = call('HGET', session, 'project_id') or ''
if project ~= '' then call('ZADD', tag .. 'project:' .. project, 'NX', call('HGET', session, 'created_at'), id) end
event(id, 'restored')
feed_state(id)
refresh(id)
return {'ok', summary(id, {})}
