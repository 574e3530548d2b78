-- A person's socket leaves a session.
-- ARGV[4] id · [5] node id · [6] sid
-- Returns the number of clients left, or -1 when the session is unknown.
local id, node_id = ARGV[4], ARGV[5]
local session, clients = key('session', id), key('clients', id)
local removed = call('SREM', clients, node_id .. '#' .. ARGV[6])
local left = call('SMEMBERS', clients)
local others = false
for _, client in ipairs(left) do
  others = others or string.sub(client, 1, #node_id + 1) == node_id .. '#'
end
if not others then call('SREM', tag .. 'joined:' .. node_id, id) end
if call('EXISTS', session) == 0 then return -1 end
if removed == 1 then
  call('HDEL', key('client_names', id), node_id .. '#' .. ARGV[6])
  call('HSET', session, 'active_clients', #left, 'last_activity', now_ms)
  grow(id, 1, 0)
  feed_state(id, nil, true)
end
return #left
