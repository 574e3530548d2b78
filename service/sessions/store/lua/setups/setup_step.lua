-- One step back or forth through the setups of a session; or the present one again, as a version above those that Redis
-- has lost.
-- ARGV[4] id · [5] 'undo', 'redo' or 'again' · [6] version it must have now ('' any)
-- Returns {'missing' | 'nothing'}, {'precondition', version it has} or `setup_state`: the setup as this very step made it.
local id, direction, expected = ARGV[4], ARGV[5], ARGV[6]
local session, setup = key('session', id), key('setup', id)
local version = call('HMGET', session, 'generation', 'setup_version', 'setup_floor')
if not version[1] then return {'missing'} end
if expected ~= '' and expected ~= (version[2] or '0') then return {'precondition', version[2] or '0'} end
local versions = setup_versions(id)
local now_is, also = call('GET', setup), versions.present
if direction == 'again' then
  if not now_is then return {'nothing'} end
  if tonumber(version[2] or 0) > (tonumber(version[3] or 0) or 0) then return setup_state(id) end
else
  local document = call('RPOP', key(direction, id))
  if not document then return {'nothing'} end
  local back = direction == 'undo' and 'redo' or 'undo'
  local gone, freed = oldest(key(back, id), 0, call('RPUSH', key(back, id), now_is or 'null') - 100, 1)
  if gone > 0 then call('LPOP', key(back, id), gone) end
  add_bytes(id, (now_is and 0 or 4) - freed)
  call('SET', setup, document)
  table.insert(versions[back], versions.present)
  also = table.remove(versions[direction])
end
local now_version = next_setup_version(id)
note_setup_versions(id, versions, now_version, also)
call('HSET', session, 'setup_timestamp', now_ms, 'last_update', now_ms)
event(id, 'setup_changed', {version = now_version, reason = direction})
feed_state(id, nil, true)
refresh(id)
return setup_state(id)
