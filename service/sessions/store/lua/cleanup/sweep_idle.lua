-- Sessions that never had a connection and were not updated for long become inactive; entries of
-- sessions whose keys ran out leave the index.
-- ARGV[4] idle after, ms · [5] how many at most · [6] TTL of a session, ms
-- Returns how many of them changed.
local limit, count = tonumber(ARGV[5]), 0
local idle = call('ZRANGEBYSCORE', tag .. 'idle', '-inf', text(now - tonumber(ARGV[4])), 'LIMIT', 0, limit)
for _, id in ipairs(idle) do
  if tonumber(call('ZSCORE', tag .. 'deadlines', id) or 0) > now then -- its device is expected for longer
    call('ZREM', tag .. 'idle', id)
  elseif call('EXISTS', key('session', id)) == 1 then
    go_inactive(id, '', 'idle', 'inactive')
  else
    call('ZREM', tag .. 'active', id)
    call('ZREM', tag .. 'idle', id)
  end
  count = count + 1
end
if ARGV[6] ~= '0' then
  local old = call('ZRANGEBYSCORE', tag .. 'inactive', '-inf', text(now - tonumber(ARGV[6])), 'LIMIT', 0, limit)
  for _, id in ipairs(old) do
    if call('EXISTS', key('session', id)) == 0 then
      call('ZREM', tag .. 'inactive', id)
      feed_add({'removed', id, 'project_id', ''})
      count = count + 1
    end
  end
end
return count
