-- Signs of life of sessions, and their TTLs.
-- ARGV[4] '1': refresh all TTLs · then per session: id, generation ('' any), last ping (ms, 0: none)
-- Returns how many of them were there with that generation.
local refreshed, count = ARGV[4] == '1', 0
for i = 5, #ARGV, 3 do
  local id, generation, last_ping = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local stored = call('HGET', key('session', id), 'generation')
  if stored and (generation == '' or stored == generation) then
    if last_ping ~= '0' then call('HSET', key('session', id), 'last_ping', last_ping) end
    if refreshed then refresh(id) end
    count = count + 1
  end
end
return count
