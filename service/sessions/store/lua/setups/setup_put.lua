-- A new setup document; the one before can be undone.
-- ARGV[4] id · [5] document JSON · [6] version it must have now ('' any) · [7] timestamp, ms
--   ('' now) · [8] generation of the device that writes it ('' for people) · [9] bytes that
--   a session may hold
-- Returns {'missing' | 'stale' | 'too_large'}, {'precondition', version it has} or `setup_state`: the setup as this
--   very change made it. Undo steps are dropped, oldest first.
local id, expected, generation = ARGV[4], ARGV[6], ARGV[8]
local session, setup, undo = key('session', id), key('setup', id), key('undo', id)
local is = call('HMGET', session, 'generation', 'setup_version')
if not is[1] then return {'missing'} end
if generation ~= '' and is[1] ~= generation then return {'stale'} end
if expected ~= '' and expected ~= (is[2] or '0') then return {'precondition', is[2] or '0'} end
local before, held, redo = call('GET', setup), held_by(id), key('redo', id)
local bytes, steps = #ARGV[5] + (before and 0 or 4), call('LLEN', undo) -- the document before only moves
before = before or 'null'
local versions = setup_versions(id)
for _, document in ipairs(call('LRANGE', redo, 0, -1)) do bytes = bytes - #document end
local most = math.max(tonumber(ARGV[9]), held or 0)
local gone, freed = oldest(undo, (held or 0) + bytes - tonumber(ARGV[9]), steps - 99, steps)
local over = held and held + bytes - freed - most or 0
if over > #before then return {'too_large'} end
if gone > 0 then call('LPOP', undo, gone) end
if over <= 0 then
  call('RPUSH', undo, before)
else -- not even that step fits
  freed = freed + #before
end
call('UNLINK', redo)
call('SET', setup, ARGV[5])
add_bytes(id, bytes - freed)
local version = next_setup_version(id)
table.insert(versions.undo, versions.present)
versions.redo = {}
note_setup_versions(id, versions, version)
call('HSET', session, 'setup_timestamp', ARGV[7] ~= '' and ARGV[7] or now_ms, 'last_update', now_ms)
event(id, 'setup_changed', {version = version})
feed_state(id, nil, true)
refresh(id)
return setup_state(id)
