-- One step back or forth through the setups of a session.
-- ARGV[4] id · [5] 'undo' or 'redo' · [6] version it must have now ('' any)
-- Returns {'missing' | 'nothing'}, {'precondition', version it has} or `setup_state`: the setup as this very step made it.
local id, direction, expected = ARGV[4], ARGV[5], ARGV[6]
local session, setup = key('session', id), key('setup', id)
local version = call('HMGET', session, 'generation', 'setup_version')
if not version[1] then return {'missing'} end
if expected ~= '' and expected ~= (version[2] or '0') then return {'precondition', version[2] or '0'} end
local versions = setup_versions(id)
local document = call('RPOP', key(direction, id))
if not document then return {'nothing'} end
local back = key(direction == 'undo' and 'redo' or 'undo', id)
local now_is = call('GET', setup)
local gone, freed = oldest(back, 0, call('RPUSH', back, now_is or 'null') - 100, 1)
if gone > 0 then call('LPOP', back, gone) end
add_bytes(id, (now_is and 0 or 4) - freed)
call('SET', setup, document)
local now_version = call('HINCRBY', session, 'setup_version', 1)
table.insert(versions[direction == 'undo' and 'redo' or 'undo'], versions.present)
note_setup_versions(id, versions, now_version, table.remove(versions[direction]))
call('HSET', session, 'setup_timestamp', now_ms, 'last_update', now_ms)
event(id, 'setup_changed', {version = now_version, reason = direction})
feed_state(id, nil, true)
refresh(id)
return setup_state(id)
