-- Moves a node's lease, and tells which of its sessions have undelivered commands.
-- ARGV[4] node id · [5] lease, ms · [6] token that the node was answered last, '' none
-- Returns {'held' | 'lost', token, id…}: 'lost' when the lease was over or is not the one that the
-- node was given (Redis was emptied and a register made another, or a reply was lost), or when this is another
-- process or primary, which may lack what came after that lease; so that it reclaims what it holds here; at most 500 ids.
local leases, node_id, server = tag .. 'leases', ARGV[4], server_life()
local was, deadline = tonumber(call('ZSCORE', leases, node_id) or 0), text(now + tonumber(ARGV[5]))
local held = was >= now and text(was) .. ' ' .. server == ARGV[6]
call('ZREM', leases, node_id) -- first write: frees, so that it runs at maxmemory too
call('ZADD', leases, deadline, node_id)
local answer = {held and 'held' or 'lost', deadline .. ' ' .. server}
for _, id in ipairs(call('SRANDMEMBER', tag .. 'pending:' .. node_id, 500)) do
  answer[#answer + 1] = id
end
return answer
