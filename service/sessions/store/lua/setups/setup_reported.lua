-- The device says which setup version it runs.
-- ARGV[4] id · [5] generation · [6] version
-- Returns 'current' (it is the present one), 'ok', 'stale' or 'missing'.
local id, session = ARGV[4], key('session', ARGV[4])
local is = call('HMGET', session, 'generation', 'reported_version', 'setup_version')
if not is[1] then return 'missing' end
if is[1] ~= ARGV[5] then return 'stale' end
if is[2] ~= ARGV[6] then
  call('HSET', session, 'reported_version', ARGV[6])
  grow(id, 1, 0)
  feed_state(id, nil, true)
end
return is[3] == ARGV[6] and 'current' or 'ok'
