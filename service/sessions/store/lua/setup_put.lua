-- A new setup document; the one before can be undone.
-- ARGV[4] id · [5] document JSON · [6] version it must have now ('' any) · [7] timestamp, ms
--   ('' now) · [8] generation of the device that writes it ('' for people)
-- Returns {'missing' | 'stale' | 'precondition'} or `setup_state`: the setup as this very change made it.
local id, expected, generation = ARGV[4], ARGV[6], ARGV[8]
local session, setup, undo = key('session', id), key('setup', id), key('undo', id)
local is = call('HMGET', session, 'generation', 'setup_version')
if not is[1] then return {'missing'} end
if generation ~= '' and is[1] ~= generation then return {'stale'} end
if expected ~= '' and expected ~= (is[2] or '0') then return {'precondition'} end
call('RPUSH', undo, call('GET', setup) or 'null')
call('LTRIM', undo, -100, -1)
call('UNLINK', key('redo', id))
call('SET', setup, ARGV[5])
local version = call('HINCRBY', session, 'setup_version', 1)
call('HSET', session, 'setup_timestamp', ARGV[7] ~= '' and ARGV[7] or now_ms, 'last_update', now_ms)
event(id, 'setup_changed', {version = version})
feed_state(id)
refresh(id)
return setup_state(id)
