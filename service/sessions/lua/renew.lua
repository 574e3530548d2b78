-- Moves a node's lease, and tells which of its sessions have undelivered commands.
-- ARGV[4] node id · [5] lease, ms
-- Returns {'held' | 'lost', now, id…}: 'lost' when the lease was over or unknown, so that the node
-- reclaims what it holds here; at most 500 ids.
local leases, node_id = tag .. 'leases', ARGV[4]
local deadline = tonumber(call('ZSCORE', leases, node_id) or 0)
call('ZREM', leases, node_id) -- first write: frees, so that it runs at maxmemory too
call('ZADD', leases, text(now + tonumber(ARGV[5])), node_id)
local answer = {deadline >= now and 'held' or 'lost', now_ms}
for _, id in ipairs(call('SRANDMEMBER', tag .. 'pending:' .. node_id, 500)) do
  answer[#answer + 1] = id
end
return answer
