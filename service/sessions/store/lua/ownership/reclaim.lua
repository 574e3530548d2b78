-- A node gets back what it still holds, with the generation it holds, never a new one.
-- ARGV[4] node id · [5] lease, ms · [6] '1': make again what Redis does not know · then per session (≤ 500): id, sid, generation, rev, name,
--   project, meta JSON, stream, last seq, created (ms), accepted (ms), newest setup version that its device surely had
-- Returns per session 'ok', 'ok <node id> <sid>' (whom it took over), 'superseded', 'deleted', 'kicked',
--   'archived' (nothing changed: it has to come back from the archive first) or 'unknown'.
-- NOTE: the caller tells those that lost.
local node_id, answers = ARGV[4], {}
call('ZADD', tag .. 'leases', 'NX', text(now + tonumber(ARGV[5])), node_id)

-- What its node was answered about a session is so, whatever this Redis, or the file it was restored from,
-- has of it: nothing that was acked looks as if it had not been.
local function raise(session, i, stored)
  local held, is = ARGV[i + 2], call('HMGET', session, 'rev', 'stream', 'project_id', 'setup_version',
    'setup_floor')
  if tonumber(ARGV[i + 3]) > tonumber(is[1] or 0) then call('HSET', session, 'rev', ARGV[i + 3]) end
  if is[2] ~= ARGV[i + 7] or stored ~= held then turn_to_stream(session, ARGV[i + 7], stored, held) end
  if tonumber(ARGV[i + 8]) > tonumber(call('HGET', session, 'last_seq') or 0) then
    call('HSET', session, 'last_seq', ARGV[i + 8])
  end
  -- The device runs a setup that Redis has lost.
  if tonumber(ARGV[i + 11]) > math.max(tonumber(is[4] or 0), tonumber(is[5] or 0) or 0) then
    call('HSET', session, 'setup_floor', ARGV[i + 11])
    if is[4] then
      call('HSET', session, 'reported_version', '0')
      grow(ARGV[i], 1, 0)
      feed_state(ARGV[i], nil, true)
    end
  end
  if stored == held then return end
  call('HSET', session, 'session_name', ARGV[i + 4], 'project_id', ARGV[i + 5], 'meta', ARGV[i + 6], 'counted', '',
    'setup_life', '') -- its device may have had setups that it did not confirm
  if is[3] and is[3] ~= '' then call('ZREM', tag .. 'project:' .. is[3], ARGV[i]) end
  if ARGV[i + 5] ~= '' then call('ZADD', tag .. 'project:' .. ARGV[i + 5], ARGV[i + 9], ARGV[i]) end
end

for i = 7, #ARGV, 12 do
  local id, sid, generation, project = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5]
  local held, session = tonumber(generation), key('session', id)
  local is = call('HMGET', session, 'generation', 'node_id', 'sid', 'is_connected')
  local stored = tonumber(is[1] or -1)
  local tombstone = tonumber(call('GET', key('tombstone', id)) or -1)
  local answer, _, sent_away = 'ok', kicked(id)
  if tombstone >= held then
    answer = 'deleted'
  elseif stored > held or (stored == held and is[4] == '1' and (is[2] ~= node_id or is[3] ~= sid)) then
    answer = 'superseded'
  elseif sent_away == sid then -- its socket was not told
    answer = 'kicked'
  elseif stored < 0 and call('HEXISTS', tag .. 'archive_names', id) == 1 then
    answer = 'archived'
  elseif stored < 0 and ARGV[6] ~= '1' then
    answer = 'unknown'
  elseif is[4] == '1' and stored == held then
    raise(session, i, is[1])
    call('SADD', tag .. 'owned:' .. node_id, id)
  else
    if is[4] == '1' then -- Redis lost our newer register and holds an older owner
      call('SREM', tag .. 'owned:' .. is[2], id)
      call('SREM', tag .. 'pending:' .. is[2], id)
      answer = 'ok ' .. is[2] .. ' ' .. is[3]
    end
    if stored < 0 then -- an emptied Redis
      make(id, generation)
      call('HSET', session, 'rev', ARGV[i + 3], 'session_name', ARGV[i + 4], 'project_id', project,
        'meta', ARGV[i + 6], 'stream', ARGV[i + 7], 'last_seq', ARGV[i + 8],
        'created_at', ARGV[i + 9], 'connects', '1', 'setup_life', '')
      if ARGV[i + 11] ~= '0' then call('HSET', session, 'setup_floor', ARGV[i + 11]) end
      if project ~= '' then call('ZADD', tag .. 'project:' .. project, ARGV[i + 9], id) end
    else
      raise(session, i, is[1])
    end
    go_active(id)
    call('ZREM', tag .. 'idle', id)
    end_deadline(id)
    call('SADD', tag .. 'owned:' .. node_id, id)
    call('HSET', session, 'state', 'active', 'is_connected', '1', 'generation', generation,
      'node_id', node_id, 'sid', sid, 'start_time', now_ms, 'last_activity', now_ms,
      'accepted_at', ARGV[i + 10], 'seen_by', 'socket')
    event(id, 'connected', {node_id = node_id, reason = 'reclaimed'})
    if undelivered(id) > 0 then call('SADD', tag .. 'pending:' .. node_id, id) end
    feed_state(id)
    refresh(id)
  end
  answers[#answers + 1] = answer
end
return answers
