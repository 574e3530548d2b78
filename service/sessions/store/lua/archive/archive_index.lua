-- Archive files found on disk are put into the index; none replaces what is newer.
-- ARGV[4] then per file (≤ 500): id, name, generation, rev, archived at (ms), summary JSON
-- Returns per file 'ok', 'newer' (also, and Redis had an older state of the session, which went), 'known'
--   (this or a newer one is indexed), 'live' (Redis has this state or a newer one), 'beside' (Redis has an
--   older one, which somebody is connected to, or changed since the file was archived: it stays) or
--   'deleted' (a tombstone).
local names, answers = tag .. 'archive_names', {}
local CHANGED = {'last_update', 'last_activity', 'setup_timestamp', 'last_command'}

-- Does somebody need the session as Redis has it, whatever newer state was archived at that time? A
-- connection counts while its node's lease runs: Redis's own files may be from when it was there.
local function is_needed(id, session, archived_at)
  local is = call('HMGET', session, 'is_connected', 'node_id')
  if is[1] == '1' and tonumber(call('ZSCORE', tag .. 'leases', is[2] or '') or 0) > now then return true end
  for _, at in ipairs(call('HMGET', session, unpack(CHANGED))) do
    if tonumber(at or 0) > archived_at then return true end
  end
  return false
end

-- The session leaves Redis for a file with this summary; returns the project that it was in.
local function give_way(id, session, summary)
  local is = call('HMGET', session, 'node_id', 'project_id')
  call('SREM', tag .. 'owned:' .. (is[1] or ''), id)
  call('SREM', tag .. 'pending:' .. (is[1] or ''), id)
  for _, client in ipairs(call('SMEMBERS', key('clients', id))) do
    call('SREM', tag .. 'joined:' .. string.match(client, '^(.*)#'), id)
  end
  for _, command_id in ipairs(call('ZRANGE', key('commands_open', id), 0, -1)) do
    call('ZREM', tag .. 'commands_due', command_id .. ':' .. id)
  end
  for _, index in ipairs({'active', 'inactive', 'idle'}) do call('ZREM', tag .. index, id) end
  end_deadline(id)
  for name, value in pairs(summary) do call('HSET', session, name, value) end
  call('HSET', session, 'state', 'archived', 'project_id', summary.project_id or '')
  local before = is[2] or ''
  local moved = before ~= '' and before ~= summary.project_id
  if moved then call('ZREM', tag .. 'project:' .. before, id) end
  feed_state(id, moved and before or nil)
  unlink_all(id)
end

for i = 4, #ARGV, 6 do
  local id, name, generation, rev = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local session, archived_at, summary = key('session', id), tonumber(ARGV[i + 4]), cjson.decode(ARGV[i + 5])
  local function is_newer(known_generation, known_rev)
    known_generation, known_rev = tonumber(known_generation or -1), tonumber(known_rev or -1)
    return generation > known_generation or (generation == known_generation and rev > known_rev)
  end
  local is, answer = call('HMGET', session, 'generation', 'rev'), 'ok'
  if is[1] and not is_newer(is[1], is[2]) then
    answer = 'live'
  elseif tonumber(call('GET', key('tombstone', id)) or -1) >= generation then
    answer = is[1] and 'live' or 'deleted'
  elseif is[1] then
    answer = is_needed(id, session, archived_at) and 'beside' or 'newer'
  elseif not is_newer(string.match(call('HGET', names, id) or '', '~(%d+)%-(%d+)%.[^~]*$')) then
    answer = 'known'
  end
  if answer == 'newer' then give_way(id, session, summary) end
  if answer == 'newer' or answer == 'ok' then
    call('ZREM', tag .. 'active', id) -- of a device that sleeps
    end_deadline(id)
    call('ZADD', tag .. 'archived', 'NX', ARGV[i + 4], id)
    call('HSET', names, id, name)
    call('HSET', tag .. 'archive_summaries', id, ARGV[i + 5])
    local project = summary.project_id or ''
    if project ~= '' then call('ZADD', tag .. 'project:' .. project, 'NX', summary.created_at or now_ms, id) end
  end
  answers[#answers + 1] = answer
end
return answers
