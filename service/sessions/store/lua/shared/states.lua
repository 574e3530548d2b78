-- Sessions come, become active and inactive, and go; their timeline.

-- A session that Redis does not know is made. What each update reads or writes comes first, because a hash of this
-- size is searched from its beginning.
local function make(id, generation)
  call('HSET', key('session', id), 'generation', generation, 'rev', '0', 'updates', '0', 'bytes_in', '0', 'counted', '',
    'project_id', '', 'stream', '', 'last_seq', '0', 'session_id', id, 'created_at', now_ms)
end

-- A lifecycle event: one line of the timeline, and a new rev, because the timeline is archived.
-- `actor`: by whom, JSON; nil: by whom the script is run. `more`: the bytes that the session has more by it.
local function event(id, name, detail, actor, more)
  detail = detail or {}
  detail.at, detail.event = now, name
  local timeline = key('timeline', id)
  local lines = call('RPUSH', timeline, string.sub(cjson.encode(detail), 1, -2) .. ',"by":' .. (actor or by) .. '}')
  if lines > 200 then call('LTRIM', timeline, -200, -1) end
  grow(id, 1, more or 0)
end

-- How the summary of a session begins that is in the archive and whose device is expected: it counts as active.
local ASLEEP = '{"asleep":"1",'

-- Nothing is expected any more of a device without a socket.
local function end_deadline(id)
  call('ZREM', tag .. 'deadlines', id)
  call('ZREM', tag .. 'asleep', id)
end

-- The session leaves its connection (if it has one) and becomes inactive.
-- The first write frees, so that it also runs while Redis is at maxmemory.
local function go_inactive(id, node_id, reason, name, actor)
  local session = key('session', id)
  call('ZREM', tag .. 'active', id)
  call('ZREM', tag .. 'idle', id)
  end_deadline(id)
  if node_id ~= '' then
    call('SREM', tag .. 'owned:' .. node_id, id)
    call('SREM', tag .. 'pending:' .. node_id, id)
  end
  call('ZADD', tag .. 'inactive', 'NX', now_ms, id)
  local was = call('HMGET', session, 'is_connected', 'start_time', 'connected_ms')
  if was[1] == '1' then
    local connected = tonumber(was[3] or 0) + math.max(0, now - tonumber(was[2] or now))
    call('HSET', session, 'is_connected', '0', 'node_id', '', 'sid', '', 'disconnected_at', now_ms,
      'disconnect_reason', reason, 'last_activity', now_ms, 'connected_ms', text(connected))
  end
  call('HSET', session, 'state', 'inactive')
  event(id, name, {node_id = node_id, reason = reason}, actor)
  feed_state(id)
  refresh(id)
end

-- The session becomes active; its place in `active` stays the same while it is there.
local function go_active(id)
  call('ZREM', tag .. 'inactive', id)
  call('ZADD', tag .. 'active', 'NX', now_ms, id)
end

-- The session is no longer archived: it leaves the index, its project stays as it is. Returns the
-- project, or nil when it was not in the index.
local function unarchive(id)
  local summary = call('HGET', tag .. 'archive_summaries', id)
  call('ZREM', tag .. 'archived', id)
  call('HDEL', tag .. 'archive_summaries', id)
  if call('HDEL', tag .. 'archive_names', id) == 0 then return nil end
  return summary and cjson.decode(summary).project_id or ''
end

-- Every key of a session goes, and nothing else: no index, no set of a node. How often it registered lately
-- stays, for a few seconds: who archives or deletes it must not let it flap.
local function unlink_all(id)
  local gone, histories = {}, history_key(id, '')
  for _, data_key in ipairs(call('HKEYS', key('latest', id))) do
    gone[#gone + 1] = histories .. data_key
    if #gone == 1000 then
      call('UNLINK', unpack(gone))
      gone = {}
    end
  end
  for _, kind in ipairs(KINDS) do gone[#gone + 1] = key(kind, id) end
  call('UNLINK', unpack(gone))
end

-- For how long a device that was sent away is not to come back, ms, and the socket that it had; 0: it may come.
local function kicked(id)
  local kick = call('GET', key('kicked', id))
  if not kick then return 0, '' end
  kick = cjson.decode(kick)
  local left = tonumber(kick[1]) - now
  return left <= 3600000 and math.max(left, 0) or 0, kick[4] -- a longer time comes from a clock that jumped back
end

-- Until when no node counts as dead although its lease is over, and the run id of this server. After a pause of `expire`
-- of more than 2 s, or a restart of Redis, it is a lease's time: the nodes may just not have been able to renew. A server
-- that does not tell its run id counts as never restarted.
local function grace_until(lease)
  local info = redis.pcall('INFO', 'server')
  local run_id = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
  local was = call('HMGET', tag .. 'epoch', 'expire_run_id', 'expired_at', 'grace_until')
  local grace, pause = tonumber(was[3] or 0), now - tonumber(was[2] or 0)
  if was[1] ~= run_id or pause > 2000 or pause < -2000 then grace = now + lease end

  -- The same where all leases end nearly together: more likely than so many deaths is that the nodes were cut off. In one
  -- moment, they renewed within a third of a lease; one that lives still has half of it.
  local first = tonumber(call('ZRANGE', tag .. 'leases', 0, 0, 'WITHSCORES')[2])
  local last = tonumber(call('ZREVRANGE', tag .. 'leases', 0, 0, 'WITHSCORES')[2])
  if first and first <= now and last - first <= lease * 0.4 then grace = math.max(grace, last + lease) end
  return grace, run_id
end
