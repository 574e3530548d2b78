-- The feed: what changed, for the nodes to show.

-- Writes feed entries; their ids are the partition's counter, so that a trim is seen as a gap.
-- Every 64 entries a mark (time, id, bytes so far) is set, and what is too old or too much goes.
local function feed_add(...)
  local entries, bytes = {...}, 0
  for _, fields in ipairs(entries) do
    for _, field in ipairs(fields) do bytes = bytes + #field end
  end
  local epoch, feed, marks = tag .. 'epoch', tag .. 'feed', tag .. 'feed_marks'
  local last = call('HINCRBY', epoch, 'last', #entries)
  local total = call('HINCRBY', epoch, 'bytes', bytes)
  if last == #entries then call('UNLINK', feed, marks) end -- a counter that was lost starts a new feed
  for i, fields in ipairs(entries) do call('XADD', feed, text(last - #entries + i) .. '-0', unpack(fields)) end
  if last % 64 >= #entries then return end
  call('RPUSH', marks, now_ms .. ' ' .. text(last) .. ' ' .. text(total))
  local trim, feed_keep_ms, feed_max_bytes = nil, tonumber(ARGV[2]), tonumber(ARGV[3])
  while true do
    local mark = call('LINDEX', marks, 0)
    if not mark then break end
    local at, id, upto = string.match(mark, '^(%d+) (%d+) (%d+)$')
    if tonumber(at) > now - feed_keep_ms and tonumber(upto) > total - feed_max_bytes then break end
    trim = tonumber(id)
    call('LPOP', marks)
  end
  if trim then call('XTRIM', feed, 'MINID', text(trim + 1) .. '-0') end
end

local SUMMARY = {'session_name', 'project_id', 'state', 'is_connected', 'node_id', 'created_at',
  'start_time', 'disconnected_at', 'disconnect_reason', 'setup_version', 'reported_version',
  'active_clients', 'open_commands', 'last_activity', 'last_update', 'last_ping', 'expect_every', 'seen_by', 'rev'}

-- The session's summary as it is now, behind what is in `fields`: name, value, name, value …
local function summary(id, fields)
  local values = call('HMGET', key('session', id), unpack(SUMMARY))
  for i, name in ipairs(SUMMARY) do
    if values[i] then
      fields[#fields + 1] = name
      fields[#fields + 1] = values[i]
    end
  end
  return fields
end

-- The session's summary as it is now, as a feed entry. `as_many`: the session is in its project, and active,
-- inactive or archived, as before; so nothing has to be counted again.
local function state_entry(id, previous_project, as_many)
  local fields = summary(id, {'state', id})
  if previous_project then
    fields[#fields + 1] = 'previous_project_id'
    fields[#fields + 1] = previous_project
  end
  if as_many then
    fields[#fields + 1] = 'counts'
    fields[#fields + 1] = 'same'
  end
  return fields
end

local function feed_state(...) feed_add(state_entry(...)) end
