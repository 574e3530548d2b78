-- A node gets back what it still holds, with the generation it holds, never a new one.
-- ARGV[4] node id · [5] lease, ms · [6] '1': make again what Redis does not know · then per session (≤ 500): id, sid, generation, rev, name,
--   project, meta JSON, stream, last seq, created (ms)
-- Returns per session 'ok', 'ok <node id> <sid>' (whom it took over), 'superseded', 'deleted',
--   'archived' (nothing changed: it has to come back from the archive first) or 'unknown'.
-- NOTE: the caller tells those that lost.
local node_id, answers = ARGV[4], {}
call('ZADD', tag .. 'leases', 'NX', text(now + tonumber(ARGV[5])), node_id)

for i = 7, #ARGV, 10 do
  local id, sid, generation, project = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5]
  local held, session = tonumber(generation), key('session', id)
  local is = call('HMGET', session, 'generation', 'node_id', 'sid', 'is_connected')
  local stored = tonumber(is[1] or -1)
  local tombstone = tonumber(call('GET', key('tombstone', id)) or -1)
  local answer = 'ok'
  if tombstone >= held then
    answer = 'deleted'
  elseif stored > held then
    answer = 'superseded'
  elseif stored < 0 and call('HEXISTS', tag .. 'archive_names', id) == 1 then
    answer = 'archived'
  elseif stored < 0 and ARGV[6] ~= '1' then
    answer = 'unknown'
  elseif is[4] == '1' and stored == held then
    call('SADD', tag .. 'owned:' .. node_id, id)
  else
    if is[4] == '1' then -- Redis lost our newer register and holds an older owner
      call('SREM', tag .. 'owned:' .. is[2], id)
      call('SREM', tag .. 'pending:' .. is[2], id)
      answer = 'ok ' .. is[2] .. ' ' .. is[3]
    end
    if stored < 0 then -- an emptied Redis
      call('HSET', session, 'session_id', id, 'rev', ARGV[i + 3], 'session_name', ARGV[i + 4],
        'project_id', project, 'meta', ARGV[i + 6], 'stream', ARGV[i + 7], 'last_seq', ARGV[i + 8],
        'created_at', ARGV[i + 9], 'connects', '1')
      if project ~= '' then call('ZADD', tag .. 'project:' .. project, ARGV[i + 9], id) end
    end
    go_active(id)
    call('ZREM', tag .. 'idle', id)
    call('SADD', tag .. 'owned:' .. node_id, id)
    call('HSET', session, 'state', 'active', 'is_connected', '1', 'generation', generation,
      'node_id', node_id, 'sid', sid, 'start_time', now_ms, 'last_activity', now_ms)
    event(id, 'connected', {node_id = node_id, reason = 'reclaimed'})
    if undelivered(id) > 0 then call('SADD', tag .. 'pending:' .. node_id, id) end
    feed_state(id)
    refresh(id)
  end
  answers[#answers + 1] = answer
end
return answers
