-- A socket ended without an answer to its register: whatever becomes of that call, it changes nothing more.
-- ARGV[4] id · [5] node id · [6] sid · [7] reason · [8] how long such a call may still come, ms
-- Returns 'ok' when the session was the socket's, else 'stale'.
local id, node_id, sid = ARGV[4], ARGV[5], ARGV[6]
call('ZREM', tag .. 'active', '') -- first write: frees, so that the rest runs at maxmemory too
call('SET', key('closed', sid), '', 'PX', ARGV[8])
local is = call('HMGET', key('session', id), 'node_id', 'sid', 'is_connected')
if is[1] ~= node_id or is[2] ~= sid or is[3] ~= '1' then return 'stale' end
go_inactive(id, node_id, ARGV[7], 'disconnected')
return 'ok'
