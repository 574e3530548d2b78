-- A socket becomes the owner of a session.
-- ARGV[4] id · [5] node id · [6] sid · [7] name, [8] project, [9] meta JSON: '' keeps what is
--   stored, else '=' and the value · [10] stream · [11] lease, ms · [12] registers accepted within
--   [13] the flapping window, ms (0: no limit) · [14] '1': make the session if it is in no index ·
--   when its socket was accepted: surely not before [15] and not after [16] · [17] when this call was
--   sent; '' for each of them: not known
-- Returns {'unknown'} (ask the archive, then come again), {'flapping' | 'kicked', ms to wait}, {'late'} or {'closed'}
--   (this call, or its socket, is over), {'superseded', generation} (the owner is a later socket) or {'new' | 'resumed' | 'same', generation, rev, last seq,
--   setup version, setup, name, project, created, undelivered, old node, old sid, now, meta}
local id, node_id, sid, stream = ARGV[4], ARGV[5], ARGV[6], ARGV[10]
local limit, window = tonumber(ARGV[12]), tonumber(ARGV[13])
local accepted, accepted_by, sent = ARGV[15], tonumber(ARGV[16]), tonumber(ARGV[17])
local session = key('session', id)
local was = call('HMGET', session, 'generation', 'node_id', 'sid', 'is_connected', 'project_id',
  'stream', 'start_time', 'connected_ms', 'created_at', 'accepted_at')
local known, connected = was[1], was[4] == '1'
local same = connected and was[2] == node_id and was[3] == sid
local word = same and 'same' or known and 'resumed' or 'new'
local generation, old_node, old_sid = was[1], '', ''

-- Sent long ago, or by a clock that jumped: the sender measures the time again.
if sent and math.abs(now - sent) > 10000 then return {'late'} end
if call('EXISTS', key('closed', sid)) == 1 then return {'closed'} end
local away = kicked(id)
if away > 0 then return {'kicked', away} end
-- A socket's past does not supersede what came later, as long as that is alive: its node may renew, or is not given up.
if connected and not same and accepted_by then
  local owner, lease = tonumber(was[10]) or 0, tonumber(call('ZSCORE', tag .. 'leases', was[2]) or 0)
  if owner > accepted_by and owner <= now and (lease > now or lease > 0 and now < grace_until(tonumber(ARGV[11]))) then
    return {'superseded', generation}
  end
end
if not known and (ARGV[14] ~= '1' or call('HEXISTS', tag .. 'archive_names', id) == 1) then
  return {'unknown'}
end
if not same then
  if limit > 0 then
    local registers = key('registers', id)
    local oldest = tonumber(call('LINDEX', registers, limit - 1) or 0)
    -- one later than now comes from a clock that jumped back
    if oldest > now - window and oldest <= now then return {'flapping', oldest + window - now} end
    call('LPUSH', registers, now_ms)
    call('LTRIM', registers, 0, limit - 1)
    call('PEXPIRE', registers, window)
  end
  local former = math.max(tonumber(was[1] or 0), tonumber(call('GET', key('tombstone', id)) or 0))
  -- Where the clock is far behind, by how much it grows is random (microseconds): a Redis that lost its last registers
  -- must not give the generation of one of them to another socket.
  local step = former - now > 1000 and 1 + tonumber(string.sub('00' .. clock[2], -3)) or 1
  generation = text(math.max(now, former + step))
  if connected then
    old_node, old_sid = was[2], was[3]
    call('SREM', tag .. 'owned:' .. old_node, id)
    call('SREM', tag .. 'pending:' .. old_node, id)
    call('HSET', session, 'connected_ms',
      text(tonumber(was[8] or 0) + math.max(0, now - tonumber(was[7] or now))))
    event(id, 'superseded', {node_id = old_node})
  end
  go_active(id)
  call('ZREM', tag .. 'idle', id)
  end_deadline(id)
  call('SADD', tag .. 'owned:' .. node_id, id)
  call('ZADD', tag .. 'leases', 'NX', text(now + tonumber(ARGV[11])), node_id)
  if not known then make(id, generation) end
  call('HSET', session, 'state', 'active', 'is_connected', '1', 'generation',
    generation, 'node_id', node_id, 'sid', sid, 'start_time', now_ms, 'last_activity', now_ms, 'accepted_at', accepted,
    'seen_by', 'socket')
  call('HINCRBY', session, 'connects', 1)
  if not known then event(id, 'created', {node_id = node_id}) end
  event(id, 'connected', {node_id = node_id})
end
turn_to_stream(session, stream, known, generation)

local before, project = was[5] or '', was[5] or ''
local meta_bytes = call('HSTRLEN', session, 'meta')
for i, name in ipairs({'session_name', 'project_id', 'meta'}) do
  local given = ARGV[6 + i]
  if given ~= '' then call('HSET', session, name, string.sub(given, 2)) end
end
add_bytes(id, call('HSTRLEN', session, 'meta') - meta_bytes)
if ARGV[8] ~= '' then project = string.sub(ARGV[8], 2) end
if project ~= before then
  if before ~= '' then call('ZREM', tag .. 'project:' .. before, id) end
  if project ~= '' then call('ZADD', tag .. 'project:' .. project, was[9] or now_ms, id) end
end
if same then grow(id, 1, 0) end
local open = undelivered(id)
if open > 0 then call('SADD', tag .. 'pending:' .. node_id, id) end
feed_state(id, project ~= before and before ~= '' and before or nil)
refresh(id)

local is = call('HMGET', session, 'rev', 'last_seq', 'setup_version', 'session_name', 'created_at', 'meta')
return {word, generation, is[1], is[2] or '0', is[3] or '0', call('GET', key('setup', id)) or '',
  is[4] or '', project, is[5], open, old_node, old_sid, now_ms, is[6] or ''}
