-- A version of a setup, if it is kept: as the present one, or as a step back or forth. Writes nothing.
-- ARGV[4] id · [5] version
-- Returns {'missing' | 'gone'} or {'ok', document JSON or ''}.
local id, wanted = ARGV[4], '+' .. ARGV[5] .. '+'
if call('EXISTS', key('session', id)) == 0 then return {'missing'} end
local function is(versions) return string.find('+' .. versions .. '+', wanted, 1, true) end
local versions = setup_versions(id)
if is(versions.present) then return {'ok', call('GET', key('setup', id)) or ''} end
for _, kind in ipairs({'undo', 'redo'}) do
  for place, one in ipairs(versions[kind]) do
    if is(one) then return {'ok', call('LINDEX', key(kind, id), place - 1)} end
  end
end
return {'gone'}
