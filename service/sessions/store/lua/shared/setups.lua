local function fit_versions(id, kind, versions)
  local length = call('LLEN', key(kind, id))
  for _ = length + 1, #versions do table.remove(versions, 1) end
  for _ = #versions + 1, length do table.insert(versions, 1, '-') end
end

-- Which versions the documents of a setup are: `present`, and those of `undo` and `redo`, oldest first. Each as
-- '7+3': a step back to version 3 was made as version 7, so both are this document; '-': a node that did not note it.
local function setup_versions(id)
  local is = call('HMGET', key('session', id), 'setup_version', 'setup_versions')
  local present, undo, redo = string.match(is[2] or '', '^(%d[%d+]*)|([%d+,-]*)|([%d+,-]*)$')
  if not present or string.match(present, '^%d+') ~= (is[1] or '0') then present, undo, redo = is[1] or '0', '', '' end
  local found = {present = present, undo = {}, redo = {}}
  for kind, versions in pairs({undo = undo, redo = redo}) do
    for one in string.gmatch(versions, '[^,]+') do table.insert(found[kind], one) end
    fit_versions(id, kind, found[kind])
  end
  return found
end

-- The same after a change to version `version`, whose document is also `others`, as far as the lists go back.
local function note_setup_versions(id, found, version, others)
  for _, kind in ipairs({'undo', 'redo'}) do fit_versions(id, kind, found[kind]) end
  local present = string.match(version .. '+' .. (others or ''), '^%d+%+?%d*%+?%d*%+?%d*%+?%d*'):gsub('%+$', '')
  call('HSET', key('session', id), 'setup_versions',
    present .. '|' .. table.concat(found.undo, ',') .. '|' .. table.concat(found.redo, ','))
end

-- Gives the setup the next version, which is above all that devices of this id are known to have. Where Redis may have lost
-- changes since the last one, 100 to 199 numbers are left out: a number names one document for ever.
local function next_setup_version(id)
  local session, run, replication = key('session', id), string.match(server_life(), '^(%x*):(%x*)')
  local is = call('HMGET', session, 'setup_version', 'setup_floor', 'reported_version', 'setup_life')
  local now_life = string.sub(run, 1, 8) .. string.sub(replication, 1, 8)
  local version, reported = math.max(tonumber(is[1] or 0), tonumber(is[2] or 0) or 0), tonumber(is[3] or 0)
  if reported < 2147483648 then version = math.max(version, reported) end -- a device may say anything
  if is[4] and is[4] ~= now_life then version = version + 100 + tonumber(string.sub('0' .. clock[2], -2)) end
  call('HSET', session, 'setup_version', text(version + 1), 'setup_life', now_life)
  return version + 1
end

-- The setup as it is now, as whoever changed it is answered.
local function setup_state(id)
  local is = call('HMGET', key('session', id), 'setup_version', 'setup_timestamp', 'reported_version',
    'is_connected', 'node_id', 'sid')
  return {'ok', call('GET', key('setup', id)) or '', is[1] or '0', is[2] or '0', is[3] or '0',
    call('LLEN', key('undo', id)), call('LLEN', key('redo', id)),
    is[4] == '1' and is[5] or '', is[4] == '1' and is[6] or ''}
end
