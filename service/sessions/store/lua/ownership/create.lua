-- A session without a connection is made; it is active while it is updated.
-- ARGV[4] id · [5] name · [6] project
-- Returns its summary; one that is there stays as it is.
local id, name, project = ARGV[4], ARGV[5], ARGV[6]
local session = key('session', id)
if call('EXISTS', session) == 1 then return summary(id, {}) end
make(id, '0')
call('HSET', session, 'session_name', name, 'project_id', project, 'state', 'active', 'is_connected', '0',
  'last_activity', now_ms, 'last_update', now_ms)
call('ZADD', tag .. 'active', 'NX', now_ms, id)
call('ZADD', tag .. 'idle', now_ms, id)
if project ~= '' then call('ZADD', tag .. 'project:' .. project, now_ms, id) end
event(id, 'created')
feed_state(id)
refresh(id)
return summary(id, {})
