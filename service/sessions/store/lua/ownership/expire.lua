-- Sessions and clients of nodes whose lease is over are let go, and sessions whose device without a socket is overdue;
-- commands past their deadline end.
-- ARGV[4] lease, ms · [5] how many of each at most
-- Returns {'ok' | 'grace', sessions, 1 when there is more, then per command: id, command id,
--   command, status, waiter}
-- NOTE: within the grace nobody is expired. Harmless when run twice.
local leases, epoch, lease, limit = tag .. 'leases', tag .. 'epoch', tonumber(ARGV[4]), tonumber(ARGV[5])
call('ZREM', leases, '') -- first write: frees, so that the rest runs at maxmemory too

-- A deadline further off than a lease comes from a clock that jumped back.
for _, node_id in ipairs(call('ZRANGEBYSCORE', leases, '(' .. text(now + lease + 1000), '+inf')) do
  call('ZADD', leases, text(now + lease), node_id)
end

local grace, run_id = grace_until(lease)
call('HSET', epoch, 'expire_run_id', run_id, 'expired_at', now_ms, 'grace_until', text(grace))

-- A session in the archive whose device is overdue is what others there are.
local function is_archived_now(id)
  call('ZREM', tag .. 'active', id)
  local summaries = tag .. 'archive_summaries'
  local summary = call('HGET', summaries, id)
  if not summary then
    feed_add({'removed', id, 'project_id', ''})
    return
  end
  summary = string.sub(summary, 1, #ASLEEP) == ASLEEP and '{' .. string.sub(summary, #ASLEEP + 1) or summary
  local fields = {'state', id}
  for name, value in pairs(cjson.decode(summary)) do
    fields[#fields + 1], fields[#fields + 2] = name, value
  end
  call('ZADD', tag .. 'archived', 'NX', now_ms, id)
  call('HSET', summaries, id, summary)
  feed_add(fields)
end

local sessions, left, word = 0, limit, now < grace and 'grace' or 'ok'
if word == 'ok' then
  for _, node_id in ipairs(call('ZRANGEBYSCORE', leases, '-inf', now_ms)) do
    local owned, joined = tag .. 'owned:' .. node_id, tag .. 'joined:' .. node_id
    if left > 0 then
      for _, id in ipairs(call('SRANDMEMBER', owned, left)) do
        left = left - 1
        call('SREM', owned, id)
        local is = call('HMGET', key('session', id), 'node_id', 'is_connected')
        if is[1] == node_id and is[2] == '1' then
          go_inactive(id, node_id, 'lease_expired', 'lease_expired')
          sessions = sessions + 1
        end
      end
    end
    if left > 0 then
      for _, id in ipairs(call('SRANDMEMBER', joined, left)) do
        left = left - 1
        call('SREM', joined, id)
        local clients = key('clients', id)
        for _, client in ipairs(call('SMEMBERS', clients)) do
          if string.sub(client, 1, #node_id + 1) == node_id .. '#' then
            call('SREM', clients, client)
            call('HDEL', key('client_names', id), client)
          end
        end
        if call('EXISTS', key('session', id)) == 1 then
          call('HSET', key('session', id), 'active_clients', call('SCARD', clients))
          grow(id, 1, 0)
          feed_state(id)
        end
      end
    end
    if left > 0 then
      call('ZREM', leases, node_id)
      call('UNLINK', tag .. 'pending:' .. node_id)
    end
  end
end

if word == 'ok' and left > 0 then
  for _, id in ipairs(call('ZRANGEBYSCORE', tag .. 'deadlines', '-inf', now_ms, 'LIMIT', 0, left)) do
    left = left - 1
    end_deadline(id)
    local is = call('HMGET', key('session', id), 'state', 'is_connected')
    if not is[1] then
      is_archived_now(id)
    elseif is[1] == 'active' and is[2] ~= '1' and not call('ZSCORE', tag .. 'idle', id) then -- else others updated it
      go_inactive(id, '', 'overdue', 'inactive')
    end
  end
end

local due = call('ZRANGEBYSCORE', tag .. 'commands_due', '-inf', now_ms, 'LIMIT', 0, limit)
local answer = {word, sessions, (left <= 0 or #due == limit) and 1 or 0}
for _, member in ipairs(due) do
  call('ZREM', tag .. 'commands_due', member)
  local command_id, id = string.match(member, '^([^:]+):(.*)$')
  local record = command_record(id, command_id)
  if record and not FINAL[record.status] then
    command_step(id, command_id, record, record.status == 'delivered' and 'timed_out' or 'expired')
    for _, part in ipairs({id, command_id, record.command, record.status, record.waiter or ''}) do
      answer[#answer + 1] = part
    end
  end
end
return answer
