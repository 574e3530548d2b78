-- A person's socket joins a session.
-- ARGV[4] id · [5] node id · [6] sid · [7] lease, ms
-- Returns the number of clients, or -1 when the session is unknown.
local id, node_id = ARGV[4], ARGV[5]
local session, clients = key('session', id), key('clients', id)
if call('EXISTS', session) == 0 then return -1 end
call('ZADD', tag .. 'leases', 'NX', text(now + tonumber(ARGV[7])), node_id)
call('SADD', tag .. 'joined:' .. node_id, id)
local added = call('SADD', clients, node_id .. '#' .. ARGV[6])
local count = call('SCARD', clients)
if added == 1 then
  local names = key('client_names', id)
  call('HSET', names, node_id .. '#' .. ARGV[6], now_ms .. ' ' .. by)
  if ttl_ms ~= '0' then
    call('PEXPIRE', clients, ttl_ms)
    call('PEXPIRE', names, ttl_ms)
  end
  call('HSET', session, 'active_clients', count, 'last_activity', now_ms)
  grow(id, 1, 0)
  feed_state(id, nil, true)
end
return count
