-- A node that has disconnected all it held gives back its lease at once.
-- ARGV[4] node id
-- ARGV[5] lease, ms
-- Returns 'ok', or 'draining' when something is still held: `expire` takes that up now, also when no other
-- node lives (it waits a lease longer where all leases end together).
local leases, node_id = tag .. 'leases', ARGV[4]
local held = call('SCARD', tag .. 'owned:' .. node_id) + call('SCARD', tag .. 'joined:' .. node_id)
call('ZREM', leases, node_id)
if held > 0 then
  call('ZADD', leases, text(now - tonumber(ARGV[5]) - 1), node_id)
  return 'draining'
end
call('UNLINK', tag .. 'pending:' .. node_id)
return 'ok'
